"""Flag files are found from anywhere, and read the same however they were written."""

import pathlib

import hypothesis
import pytest
from hypothesis import strategies

from base import flag_files
from base.commandline import flag_lines
from base.errors import UserError
from pipelines.config import PipelineConfig
from tests.conftest import ROOT
from trainers import config
from trainers.config import TrainConfig


def texts(*arguments: str) -> list[str]:
    return [each.text for each in flag_files.expanded(arguments)]


def write(path: pathlib.Path, text: str) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def test_a_nested_file_is_found_beside_the_one_that_names_it(tmp_path, monkeypatch):
    write(tmp_path / "base.cfg", "--a=1\n")
    write(tmp_path / "deep" / "middle.cfg", "--flagfile=../base.cfg\n--b=2\n")
    outer = write(tmp_path / "outer.cfg", "--flagfile=deep/middle.cfg\n--a=3\n")
    monkeypatch.chdir("/")
    assert texts("--x", f"--flagfile={outer}", "--y") == ["--x", "--a=1", "--b=2", "--a=3", "--y"]
    assert flag_files.read(outer)[0].place == f"{tmp_path}/deep/../base.cfg, line 1"


def test_a_file_of_the_old_rule_names_another_from_the_working_directory(tmp_path, monkeypatch):
    write(tmp_path / "flags" / "base.cfg", "--a=1\n")
    write(tmp_path / "flags" / "old.cfg", "--flagfile=flags/base.cfg\n")
    monkeypatch.chdir(tmp_path)
    assert texts("--flagfile=flags/old.cfg") == ["--a=1"]


def test_the_home_folder_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "base.cfg", "--a=1\n")
    write(tmp_path / "mine" / "outer.cfg", "--flagfile=~/base.cfg\n")
    assert texts("--flagfile=~/mine/outer.cfg") == ["--a=1"]
    assert texts("-flagfile", "~/base.cfg") == ["--a=1"]


@pytest.mark.parametrize("line", ["--net=alexnet # small", "--train_epochs=9 // or ten", "--a= #"])
def test_a_comment_behind_a_value_is_refused_where_it_stands(tmp_path, line):
    file = write(tmp_path / "a.cfg", f"# one\n{line}\n")
    with pytest.raises(UserError) as info:
        texts(f"--flagfile={file}")
    assert str(info.value).startswith(f"{file}, line 2: {line!r}: a comment has a line of its own")


def test_text_for_people_and_addresses_may_hold_such_signs(tmp_path):
    lines = ["--note=why # see issue #5", "--data_dir=gs://bucket/a#b"]
    assert texts(f"--flagfile={write(tmp_path / 'a.cfg', chr(10).join(lines))}") == lines


def test_a_missing_nested_file_is_named_with_both_places(tmp_path, monkeypatch):
    outer = write(tmp_path / "outer.cfg", "# a\n--flagfile=gone.cfg\n")
    monkeypatch.chdir("/")
    with pytest.raises(UserError) as info:
        texts(f"--flagfile={outer}")
    said = f"{outer}, line 2: --flagfile=gone.cfg: there is neither {tmp_path}/gone.cfg nor "
    assert str(info.value) == f"{said}gone.cfg"


@pytest.mark.parametrize(
    "written",
    [
        "\ufeff--a=1\r\n\r\n# why\r\n--b= x#y\r\n",
        "\t--a=1  \n   \n// why\n\t--b= x#y\t",
        "\n\n--a=1\n--b= x#y",
    ],
)
def test_what_an_editor_leaves_is_no_error(tmp_path, written):
    assert texts(f"--flagfile={write(tmp_path / 'a.cfg', written)}") == ["--a=1", "--b= x#y"]


def test_a_circle_is_shown_and_a_file_that_is_named_twice_is_none(tmp_path):
    a = write(tmp_path / "a.cfg", "--flagfile=b.cfg\n")
    b = write(tmp_path / "b.cfg", "--flagfile=a.cfg\n")
    with pytest.raises(UserError, match=f"in a circle: {a} -> {b} -> {a}$"):
        texts(f"--flagfile={a}")
    write(b, "--b=1\n")
    both = write(tmp_path / "both.cfg", "--flagfile=a.cfg\n--flagfile=b.cfg\n")
    assert texts(f"--flagfile={both}") == ["--b=1", "--b=1"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("net=alexnet", "line 2: 'net=alexnet' is no flag: each line is one flag"),
        ("--", "line 2: '--' is no flag"),
        ("--flagfile=", "line 2: '--flagfile=' names no file: write --flagfile=FILE"),
        ("--flagfile base.cfg", "'--flagfile base.cfg' names no file"),
        ("--nte=alexnet", r"line 2: Unknown command line flag 'nte'. Did you mean: net"),
        ("--seed=x", "line 2: flag --seed=x: "),
        ("--net", "line 2: --net has no value: write --net=VALUE"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, says):
    file = write(tmp_path / "a.cfg", f"--train_epochs=1\n{line}\n--seed=1\n")
    with pytest.raises(UserError, match=says) as info:
        config.read_flag_file(file)
    assert str(file) in str(info.value) and "\n" not in str(info.value)


def test_what_follows_two_dashes_is_no_flag_file(tmp_path):
    assert texts("--", "--flagfile=none.cfg") == ["--", "--flagfile=none.cfg"]


def test_committed_files_are_read_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in sorted((ROOT / "flags").rglob("*.cfg")):
        for each in flag_files.read(path):
            assert each.file is not None and each.file.resolve().is_relative_to(ROOT / "flags")


# What a command line can give: no flag holds the end of a line or ends in a blank, and the items of
# a list have none at either end.
WORDS = strategies.text(
    strategies.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=20
)
# Nor has a value anything that looks like a comment, or a home folder that no shell has expanded.
VALUES = WORDS.map(str.rstrip).filter(
    lambda text: not (flag_files.has_comment_behind(f"--x={text}") or text.startswith("~"))
)
LISTS = strategies.lists(VALUES.map(str.strip), max_size=3).map(tuple)
POSITIVE = strategies.floats(min_value=1e-30, allow_infinity=False)


@hypothesis.given(
    pipeline=strategies.builds(
        PipelineConfig,
        data_dir=VALUES,
        classes=LISTS,
        seed=strategies.integers(0, 2**32 - 1),
        train_batch_size=strategies.integers(1, 10**9),
        eval_map=VALUES,
    ),
    given=strategies.fixed_dictionaries(
        {
            "note": VALUES,
            "experiment": VALUES.filter(bool),
            "resume": strategies.booleans(),
            "train_epochs": POSITIVE,
            "learning_rate": strategies.floats(0, allow_infinity=False),
            "precision": strategies.sampled_from(["float32", "mixed_bfloat16"]),
        }
    ),
)
def test_reading_what_flag_lines_writes_gives_an_equal_configuration(
    tmp_path_factory, pipeline, given
):
    written = TrainConfig(pipeline, net="alexnet", **given)
    path = tmp_path_factory.getbasetemp() / "written.cfg"
    path.write_text("\n".join(line for line, _ in flag_lines(written)), encoding="utf-8")
    assert config.read_flag_file(path) == written
