"""One process at a time: a lock on a folder, which a killed process leaves free.

The kernel's lock (`flock`) is let go with the process that held it, however that ended. Where a
file system has none, each process instead puts a file with its name beside the lock and then looks
for others': of two that are alive at least one gives way, and a file whose process is gone counts
for nothing. Both are files that begin with the lock's own name; both are removed at the end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import random
import secrets
import socket
import time
from collections.abc import Iterator

from base.files import atomic

# Two that begin at the same moment give way to one another, and try again after a while that is
# not the same for both.
_TRIES = 8
_PAUSE = 0.15  # seconds, on average
# Who looks whether a lock is held has it for a moment; who wants it waits that long.
_LOOKS = 20
_LOOK = 0.01  # seconds


@dataclasses.dataclass(frozen=True)
class Holder:
    """A process, so that another can see whether it is there still.

    Attributes:
        pid: its number.
        host: its machine's name.
        since: when it took the lock, in local time.
        boot: the machine's start and the space that the number counts in; other processes'
            numbers mean nothing where these differ.
        started: when the process began, in the kernel's ticks, as numbers are used again.
    """

    pid: int
    host: str
    since: str
    boot: str
    started: str

    @classmethod
    def this(cls) -> Holder:
        """This process."""
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        return cls(os.getpid(), socket.gethostname(), since, _boot(), _started(os.getpid()))

    @property
    def gone(self) -> bool:
        """Whether it is certain that the process is no more."""
        if self.host != socket.gethostname():
            return False
        began, _, space = self.boot.partition(" ")
        ours, _, our_space = _boot().partition(" ")
        if began != ours:
            return True  # the machine was started again
        return space == our_space and self.started != _started(self.pid)

    def __str__(self) -> str:
        return f"pid {self.pid}, {self.host}, since {self.since}"


class HeldError(Exception):
    """Another process has the lock; the message says which, as far as is known."""

    def __init__(self, holder: Holder | None, file: pathlib.Path | None = None) -> None:
        super().__init__("just begun" if holder is None else str(holder))
        self.remedy = (
            ""
            if file is None or holder is None or holder.host == socket.gethostname()
            else f" (if it is no more, delete {file})"
        )


@contextlib.contextmanager
def sole(path: pathlib.Path) -> Iterator[None]:
    """Holds a lock while the block runs; its folder is made, and goes again where it stays empty.

    Args:
        path: of the lock's file, whose folder is what is locked.

    Raises:
        HeldError: another process has it.
        OSError: the folder or the file cannot be made.
    """
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        with _locked(path):
            yield
    finally:
        for folder in missing:
            with contextlib.suppress(OSError):  # it holds something, so it stays
                folder.rmdir()


def is_held(path: pathlib.Path) -> bool:
    """Whether another process holds a lock, as far as one can see. Changes nothing."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass  # never locked, not ours to read, or no such locks here
    try:
        return _other(path, path, remove=False) is not None
    except OSError:
        return False


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:  # another has just removed the folder, as it found it empty
            continue
        try:
            _take(descriptor)
        except BlockingIOError:
            text = os.pread(descriptor, 4096, 0)
            os.close(descriptor)
            raise HeldError(_read(text)) from None
        except OSError:  # EINVAL, ENOSYS, EPERM, ENOLCK, ...: no such locks here
            os.close(descriptor)
            with contextlib.suppress(OSError):
                path.unlink()
            with _announced(path):
                yield
            return
        if _is_still(path, descriptor):
            break
        os.close(descriptor)  # it was removed by its holder between opening and locking
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, _text(Holder.this()), 0)
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # while it is held: whoever has opened it looks whether it is still it
        os.close(descriptor)


def _take(descriptor: int) -> None:
    for look in range(_LOOKS):
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if look == _LOOKS - 1:
                raise
            time.sleep(_LOOK)


@contextlib.contextmanager
def _announced(path: pathlib.Path) -> Iterator[None]:
    """The same without the kernel's help, by a file for each process."""
    own = path.with_name(f"{path.name}.{secrets.token_hex(8)}.holder")
    for turn in range(_TRIES):
        _announce(own)
        other = _other(path, own)
        if other is None:
            break
        own.unlink()
        if turn == _TRIES - 1:
            raise HeldError(*other)
        time.sleep(random.uniform(0, 2 * _PAUSE))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            own.unlink()


def _announce(own: pathlib.Path) -> None:
    while True:
        own.parent.mkdir(parents=True, exist_ok=True)
        try:
            with atomic(own) as file:
                file.write(_text(Holder.this()))
            return
        except FileNotFoundError:  # another has just removed the folder, as it found it empty
            continue


def _other(
    path: pathlib.Path, own: pathlib.Path, *, remove: bool = True
) -> tuple[Holder | None, pathlib.Path] | None:
    """Another process that may be alive, and its file; files of those that are gone may go too."""
    for file in sorted(path.parent.iterdir()):
        mine = file.name.startswith(f"{path.name}.") and file.name.endswith(".holder")
        if not mine or file == own:
            continue
        try:
            holder = _read(file.read_bytes())
        except OSError:
            continue  # removed meanwhile
        if holder is None or not holder.gone:
            return holder, file
        if remove:
            with contextlib.suppress(OSError):
                file.unlink()
    return None


def _is_still(path: pathlib.Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _text(holder: Holder) -> bytes:
    return json.dumps(dataclasses.asdict(holder)).encode()


def _read(text: bytes) -> Holder | None:
    try:
        return Holder(**json.loads(text))
    except (ValueError, TypeError):
        return None  # its holder is writing it


def _boot() -> str:
    try:
        began = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{began} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process began; empty where there is none of that number."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()  # what is before it is the name, which may hold any
    return "" if fields[0] in "ZX" else fields[19]
