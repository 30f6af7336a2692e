"""Flags from dataclasses and back, and one line for what a user can mend."""

import dataclasses
import errno
import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import pytest
from absl import flags

from base.commandline import config_from_flags, define_flags, flag, flag_lines, parse_flags
from base.errors import UserError
from tests.conftest import ROOT
from trainers import config


@dataclasses.dataclass(frozen=True)
class Inner:
    depth: int = flag(3, "Depth.")


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner = dataclasses.field(default_factory=Inner)
    rate: float = flag(0.1, "Rate.")
    kind: str = flag("a", "Kind.", choices=("a", "b"))
    fast: bool = flag(False, "Fast.")
    names: tuple[str, ...] = flag((), "Names.")


def parse(*arguments: str) -> Outer:
    values = flags.FlagValues()
    define_flags(Outer, values)
    parse_flags(arguments, values)
    return config_from_flags(Outer, values)


def test_defaults_are_the_dataclass_own():
    assert parse() == Outer()


def test_every_kind_of_flag_is_read():
    found = parse("--depth=5", "--rate=0.5", "--kind=b", "--fast", "--names=x,y")
    assert found == Outer(Inner(5), 0.5, "b", True, ("x", "y"))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--learning_rate=-0.1", "must be at least 0"),
        ("--learning_rate=inf", "must be at least 0 and finite"),
        ("--weight_decay=-5e-4", "must be at least 0"),
        ("--clip_norm=nan", "must be at least 0"),
        ("--label_smoothing=10", "must be at least 0 and at most 1"),
        ("--stop_at_top1=70", "must be at least 0 and at most 1"),
        ("--ema_decay=1.5", "must be at least 0 and below 1"),
        ("--eval_epochs=0", "must be above 0"),
        ("--keep_checkpoints=0", "must be at least 1 and at most 1000000000"),
        ("--shuffle_buffer_mb=-1", "must be at least 0"),
        ("--seed=-1", "must be at least 0"),
    ],
)
def test_a_number_out_of_its_range_is_one_line_that_says_the_range(line, says):
    with pytest.raises(UserError) as info:
        config.parse([line])
    assert f"--{line[2:].partition('=')[0]}=" in str(info.value) and says in str(info.value)


def test_a_home_folder_is_expanded_in_every_flag(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    found = config.parse(["--runs_dir=~/runs", "--cache=~/fast", "--plugins=~/a.py,b.py"])
    assert (found.runs_dir, found.pipeline.cache) == ("/home/me/runs", "/home/me/fast")
    assert found.pipeline.plugins == ("/home/me/a.py", "b.py")
    assert config.parse(["--note=~5 % better"]).note == "~5 % better"


def test_flag_lines_are_sorted_marked_and_read_back(tmp_path):
    config = Outer(Inner(7), fast=True, names=("x", "y z"))
    lines = flag_lines(config)
    assert [line for line, _ in lines] == sorted(line for line, _ in lines)
    assert {line for line, differs in lines if differs} == {
        "--depth=7",
        "--fast=true",
        "--names=x,y z",
    }
    file = tmp_path / "flags.cfg"
    file.write_text("\n".join(line for line, _ in lines))
    assert parse(f"--flagfile={file}") == config


COMMAND = textwrap.dedent(
    '''
    """A command."""
    import dataclasses
    import os
    from base import commandline

    @dataclasses.dataclass(frozen=True)
    class Config:
        depth: int = commandline.flag(3, "How deep, in layers.")

    def main():
        depth = commandline.config_from_flags(Config).depth
        if depth > 9:
            raise commandline.UserError("too deep: use less")
        if depth < 0:
            raise OSError(-depth, os.strerror(-depth), "/some/file")
        print("depth", depth)

    commandline.run(main, configs=[Config], share_flag_files=%s, tensorflow=False)
    '''
)


def run(directory: pathlib.Path, *arguments: str, share: bool = False):
    script = directory / "command.py"
    script.write_text(COMMAND % share)
    return subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--depth=10"], "error: too deep: use less"),
        (["--dept=1"], "Unknown command line flag 'dept'"),
        (["--depth=x"], "depth"),
        (["depth=4"], "unexpected argument 'depth=4'"),
        (["--flagfile=missing.cfg"], "cannot read the flag file missing.cfg: No such file"),
        (["--flagfile=/"], "cannot read the flag file /: Is a directory"),
        ([f"--flagfile={ROOT}/docs/contact_sheet.png"], "contact_sheet.png is no text"),
        (["--flagfile"], "--flagfile with no argument"),
        ([f"--depth=-{errno.ENOSPC}"], "/some/file: No space left on device: free some"),
        ([f"--depth=-{errno.EROFS}"], "/some/file: Read-only file system: take another place"),
    ],
)
@pytest.mark.parametrize("share", [False, True])
def test_what_a_user_can_mend_is_one_line_and_exit_code_1(tmp_path, arguments, says, share):
    done = run(tmp_path, *arguments, share=share)
    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_help_lists_the_flags(tmp_path):
    done = run(tmp_path, "--help")
    assert done.returncode == 0
    assert "How deep, in layers." in done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["--depth=4"]])
def test_a_reader_that_leaves_ends_the_command_without_a_word(tmp_path, arguments):
    script = tmp_path / "command.py"
    script.write_text(COMMAND % False)
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, str(script), *arguments]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_foreign_flags_are_ignored_in_shared_flag_files_only(tmp_path):
    (tmp_path / "inner.cfg").write_text("--other=1\n--depth=5\n")
    (tmp_path / "outer.cfg").write_text(f"# a comment\n--flagfile={tmp_path}/inner.cfg\n--more\n")
    shared = f"--flagfile={tmp_path}/outer.cfg"
    done = run(tmp_path, shared, share=True)
    assert (done.returncode, done.stdout) == (0, "depth 5\n")
    assert run(tmp_path, shared).returncode == 1
    assert run(tmp_path, shared, "--other=1", share=True).returncode == 1
