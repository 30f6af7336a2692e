"""A folder's lock: one process at a time, free once its holder is gone, with flock and without."""

import errno
import json
import multiprocessing
import os
import pathlib
import signal
import socket
import time

import pytest

from base import lock

WITHOUT = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.ENOLCK)


def refuse_flock(code: int) -> None:
    def flock(descriptor, operation):
        raise OSError(code, os.strerror(code))

    lock.fcntl.flock = flock


def hold(path: pathlib.Path, code: int, ready, release) -> None:
    if code:
        refuse_flock(code)
    with lock.sole(path):
        ready.set()
        release.wait(60)


class Other:
    """Another process that holds a lock."""

    def __init__(self, path: pathlib.Path, code: int) -> None:
        context = multiprocessing.get_context("fork")
        ready, self.release = context.Event(), context.Event()
        self.process = context.Process(target=hold, args=(path, code, ready, self.release))
        self.process.start()
        assert ready.wait(30)


@pytest.fixture(params=[0, *WITHOUT])
def code(request, monkeypatch) -> int:
    if request.param:
        monkeypatch.setattr(lock.fcntl, "flock", lock.fcntl.flock)  # to be put back
        refuse_flock(request.param)
    return request.param


def test_a_second_one_is_told_who_is_there(tmp_path, code):
    path = tmp_path / "deep" / "set" / ".lock"
    other = Other(path, code)
    said = pytest.raises(lock.HeldError, match=f"pid {other.process.pid}, .*, since 20")
    with said, lock.sole(path):
        raise AssertionError("two at once")
    other.release.set()
    other.process.join()
    with lock.sole(path):
        assert path.parent.is_dir()
    assert list(tmp_path.iterdir()) == []  # nothing was left in it


def test_a_killed_holder_leaves_it_free(tmp_path, code):
    path = tmp_path / ".lock"
    other = Other(path, code)
    os.kill(other.process.pid, signal.SIGKILL)
    other.process.join()
    assert list(tmp_path.iterdir())
    with lock.sole(path):
        (tmp_path / "work").touch()
    assert [file.name for file in tmp_path.iterdir()] == ["work"]


def test_a_look_sees_a_holder_and_changes_nothing(tmp_path, code):
    path = tmp_path / ".lock"
    assert not lock.is_held(path) and not list(tmp_path.iterdir())
    assert not lock.is_held(tmp_path / "nowhere" / ".lock")
    other = Other(path, code)
    before = sorted(tmp_path.iterdir())
    assert lock.is_held(path)
    os.kill(other.process.pid, signal.SIGKILL)
    other.process.join()
    assert not lock.is_held(path), "its holder is gone"
    assert sorted(tmp_path.iterdir()) == before


def contend(path: pathlib.Path, code: int, seconds: float, log: pathlib.Path) -> None:
    if code:
        refuse_flock(code)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with lock.sole(path):
                inside = path.parent / "inside"
                inside.touch(exist_ok=False)  # which fails where another is in there
                time.sleep(0.002)
                inside.unlink()
                with log.open("a") as file:
                    file.write("x")
        except lock.HeldError:
            pass


@pytest.mark.slow(reason="processes contend for seconds")
@pytest.mark.parametrize("code", [0, errno.ENOSYS])
def test_of_many_that_try_all_the_time_there_is_never_more_than_one(tmp_path, code, monkeypatch):
    monkeypatch.setattr(lock, "_PAUSE", 0.005)
    context = multiprocessing.get_context("fork")
    arguments = (tmp_path / "set" / ".lock", code, 2.0, tmp_path / "log")
    processes = [context.Process(target=contend, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert len((tmp_path / "log").read_text()) > 10


def described(**other) -> bytes:
    holder = json.loads(lock._text(lock.Holder.this()))
    return json.dumps(holder | other).encode()


@pytest.mark.parametrize(
    ("holder", "free"),
    [
        (described(pid=2**22 + 1), True),  # no such process
        (described(started="1"), True),  # its number was used again
        (described(boot="another start"), True),
        (described(), False),
        (described(host="elsewhere", pid=2**22 + 1), False),  # who can know?
        (described(boot=lock._boot() + " of a container", pid=2**22 + 1), False),
        (b"", False),  # just being written
    ],
)
def test_who_is_taken_for_gone(tmp_path, monkeypatch, holder, free):
    monkeypatch.setattr(lock.fcntl, "flock", lock.fcntl.flock)
    refuse_flock(errno.ENOSYS)
    monkeypatch.setattr(lock, "_PAUSE", 0.001)
    (tmp_path / ".lock.0123.holder").write_bytes(holder)
    if free:
        with lock.sole(tmp_path / ".lock"):
            pass
        assert not list(tmp_path.iterdir())
        return
    with pytest.raises(lock.HeldError) as caught, lock.sole(tmp_path / ".lock"):
        pass
    elsewhere = b"elsewhere" in holder
    assert ("delete" in caught.value.remedy) == elsewhere
    assert socket.gethostname() in str(caught.value) or elsewhere or not holder
