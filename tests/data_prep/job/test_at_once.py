"""Two jobs at once, and file systems and checkouts that lack what others have."""

import errno
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

from base.errors import UserError
from data_prep.config import SourceConfig
from data_prep.job import repair, verification
from data_prep.job.claim import claimed
from tests.conftest import ROOT
from tests.making import small_sources
from tests.making.preloaded import lacking
from tests.making.small_builds import built, files

pytestmark = pytest.mark.slow(reason="commands in processes of their own")


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> pathlib.Path:
    train = {
        wnid: {
            f"{wnid}_{i}.JPEG": small_sources.encoded(
                small_sources.picture(i + 1000 * label, 500, 700), quality=90
            )
            for i in range(150)
        }
        for label, wnid in enumerate(small_sources.WNIDS)
    }
    return small_sources.tars(tmp_path_factory.mktemp("source") / "images", train)


FLAGS = ("--train_shards=6", "--val_shards=1", "--max_rejected=0.5", "--workers=1")


def command(source: pathlib.Path, data_dir: pathlib.Path, *more: str) -> list[str]:
    script = str(ROOT / "data_prep" / "build_tfrecords.py")
    return [sys.executable, script, f"--source={source}", f"--data_dir={data_dir}", *FLAGS, *more]


def begin(arguments: list[str], **options) -> subprocess.Popen:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(arguments, **pipes, **options)


@pytest.fixture(scope="module")
def expected(source, tmp_path_factory) -> dict[str, bytes]:
    data_dir = tmp_path_factory.mktemp("data")
    subprocess.run(command(source, data_dir), check=True, stdout=subprocess.DEVNULL)
    return made(data_dir)


def made(data_dir: pathlib.Path) -> dict[str, bytes]:
    (directory,) = data_dir.glob("images/*/1.0.0")
    return files(directory)


def verify(data_dir: pathlib.Path) -> None:
    script = str(ROOT / "data_prep" / "verify_tfrecords.py")
    subprocess.run([sys.executable, script, f"--data_dir={data_dir}"], check=True)


@pytest.mark.parametrize(("lead", "locks"), [(0, True), (3, False)], ids=["flock", "no flock"])
def test_of_the_same_command_twice_one_works(lead, locks, source, expected, tmp_path):
    environment = os.environ if locks else lacking(tmp_path, "flock", errno.ENOSYS)
    first = begin(command(source, tmp_path), env=environment)
    time.sleep(lead)
    second = begin(command(source, tmp_path), env=environment)
    ends = [(*process.communicate(), process.returncode) for process in (first, second)]
    assert 0 in [code for _, _, code in ends], ends
    for said, error, code in ends:
        if code:
            (line,) = error.splitlines()
            assert "another build (pid " in line and "is at work in" in line
            assert "wait for it, or stop it" in line
        else:
            assert "built" in said
    assert made(tmp_path) == expected
    verify(tmp_path)


def test_a_killed_one_leaves_the_directory_free_and_another_config_is_not_disturbed(
    source, expected, tmp_path
):
    other = begin(command(source, tmp_path, "--size=64"))
    killed = begin(command(source, tmp_path))
    while not list(tmp_path.glob("images/short_side_256*/1.0.0/*.tfrecord-*")):
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGSTOP)  # or it might be finished before the second has begun
    second = subprocess.run(command(source, tmp_path), capture_output=True, text=True, check=False)
    assert second.returncode == 1 and f"another build (pid {killed.pid}, " in second.stderr
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert subprocess.run(command(source, tmp_path), check=False).returncode == 0
    assert other.communicate()[1] == "" and other.returncode == 0
    (directory,) = tmp_path.glob("images/short_side_256*/1.0.0")
    assert files(directory) == expected


def test_a_repair_waits_for_nobody_and_disturbs_nobody(tmp_path):
    small = small_sources.tars(tmp_path / "images")
    directory = built(small, tmp_path / "data")
    shard = next(directory.glob("*.tfrecord-*"))
    shard.write_bytes(b"")
    fault = verification.Fault(shard.name, "empty")
    where = SourceConfig(source=str(small))
    with claimed(directory), pytest.raises(UserError, match="another build"):
        repair.repair(where, directory, [fault], 1, print)
    assert shard.stat().st_size == 0
    repair.repair(where, directory, [fault], 1, print)
    assert shard.stat().st_size > 0


def test_two_processes_make_the_embedded_sample_at_once(tmp_path):
    code = (
        "import sys; from data_prep.source import sample; "
        "sample.TRAIN_PER_CLASS = 3; "
        "print(sample.ensure(sys.argv[1], print))"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path)]
    both = [begin(arguments, cwd=ROOT) for _ in range(2)]
    for process in both:
        assert process.communicate()[1] == "" and process.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["generated_source"]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_these_calls_is_written(code, source, expected, tmp_path):
    environment = lacking(tmp_path, "fsync,link,flock,rename_over", code)
    (folder := tmp_path / "data").mkdir()
    killed = begin(command(source, folder), env=environment)
    while not list(folder.glob("images/*/1.0.0/*.tfrecord-*")):
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    again = begin(command(source, folder), env=environment)  # which writes over some files
    assert again.communicate()[1] == "" and again.returncode == 0
    assert made(folder) == expected


def test_a_file_system_without_renaming_is_named_before_the_work(source, tmp_path):
    environment = lacking(tmp_path, "rename", errno.EPERM)
    process = begin(command(source, tmp_path / "data"), env=environment)
    said, error = process.communicate()
    assert process.returncode == 1
    assert error.startswith("error: cannot make ") and error.count("\n") == 1
    assert "take another --data_dir" in error
    assert "built " not in said and not list(tmp_path.rglob("*.tfrecord-*"))


def test_a_read_only_checkout_without_a_home(tmp_path):
    checkout = tmp_path / "checkout"
    for room in ("base", "data_prep"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / room, checkout / room, ignore=ignored)
    for folder in [path for path in checkout.rglob("*") if path.is_dir()]:
        (folder / "__pycache__").touch()  # no folder can be made, not even by root
    small = small_sources.tars(tmp_path / "images")
    arguments = command(small, tmp_path / "data", "--size=32")
    arguments[1] = str(checkout / "data_prep" / "build_tfrecords.py")
    homeless = {key: value for key, value in os.environ.items() if not key.startswith("XDG")}
    homeless |= {"HOME": "/proc/none", "PYTHONPATH": str(checkout)}
    process = begin(arguments, env=homeless, cwd=tmp_path)
    assert process.communicate()[1] == "" and process.returncode == 0
