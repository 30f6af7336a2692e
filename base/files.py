"""Files and folders that are there whole or not at all, whoever is killed while writing them.

Everything that the workspace leaves behind is written beside its place, under a name that no other
process has, and then renamed. So a reader never meets a half, a full disk leaves what was there
before, and of two processes that write the same thing at once one is simply the later.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import pathlib
import secrets
import shutil
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from base.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

# What a killed process has left is removed once nobody has written to it for so long, in seconds.
STALE_SECONDS = 3600

# With these, a file system says that it has no such call; some network and FUSE mounts lack fsync,
# or renaming over what is there.
_NO_SUCH_CALL = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}


@contextlib.contextmanager
def atomic(path: Any, mode: str = "wb") -> Iterator[Any]:
    """A file to write, which takes its place when the block ends without an exception.

    Args:
        path: a str, a pathlib.Path, or an etils path, which may be in a bucket.
        mode: `wb`, or `w` for UTF-8 text.

    Raises:
        OSError: the file cannot be written (a full disk); it names `path`, which is as it was.
    """
    place = _place(path)
    temporary = temporary_beside(place)
    with _named(place, temporary):
        try:
            encoding = {} if "b" in mode else {"encoding": "utf-8"}
            with temporary.open(mode, **encoding) as file:
                yield file
                file.flush()
                _fsync(file)
            replace(temporary, place)
        except BaseException:
            _remove(temporary)
            raise


def save_png(picture: Image.Image, path: str) -> None:
    """Writes a PNG file, and makes its directory where it is missing.

    Raises:
        UserError: it cannot be written.
    """
    target = pathlib.Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic(target) as file:
            picture.save(file, format="PNG")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None


@contextlib.contextmanager
def atomic_path(path: Any, *, beside: Any = None) -> Iterator[Any]:
    """A temporary path for what opens its file by name; the file takes its place afterwards.

    What was left of the same file by killed processes, long ago, is removed.

    Args:
        path: as for `atomic`.
        beside: another folder of the same file system, in which the file is while unfinished.

    Raises:
        OSError: as `atomic`.
    """
    place = _place(path)
    folder = place.parent if beside is None else _place(beside)
    _remove_stale(folder, place.name)
    temporary = temporary_beside(folder / place.name)
    with _named(place, temporary):
        try:
            yield temporary
            with temporary.open("rb") as file:
                _fsync(file)
            replace(temporary, place)
        except BaseException:
            _remove(temporary)
            raise


@contextlib.contextmanager
def atomic_folder(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A new folder to fill, which takes its place when the block ends without an exception.

    What was left of the same folder by killed processes, long ago, is removed.

    Raises:
        OSError: it cannot be made, or `path` is there and is not an empty folder.
    """
    _remove_stale(path.parent, path.name)
    unfinished = temporary_beside(path)
    with _named(path, unfinished):
        unfinished.mkdir(parents=True)
    try:
        yield unfinished
        with _named(path, unfinished):
            unfinished.rename(path)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def temporary_beside(path: Any) -> Any:
    """A path in the same folder that no other process has: `<name>.<random>.tmp`."""
    return path.parent / f"{path.name}.{secrets.token_hex(8)}.tmp"


def second_name(file: pathlib.Path, place: pathlib.Path) -> None:
    """Gives a file a second name, over what has it; a copy, where a file can have one name only.

    Raises:
        OSError: it cannot be written.
    """
    temporary = temporary_beside(place)
    try:
        try:
            os.link(file, temporary)
        except OSError as error:
            if error.errno not in {*_NO_SUCH_CALL, errno.EMLINK, errno.EXDEV}:
                raise
            shutil.copyfile(file, temporary)
        replace(temporary, place)
    except BaseException:
        _remove(temporary)
        raise


def replace(temporary: Any, place: Any) -> None:
    """Renames a file, over what is there.

    Where the file system cannot do both at once, what is there goes first, and for a moment a
    reader finds nothing.

    Raises:
        OSError: it cannot be renamed.
    """
    try:
        temporary.replace(place)
    except OSError as error:
        if error.errno not in {*_NO_SUCH_CALL, errno.EEXIST} or not place.is_file():
            raise
        place.unlink()
        temporary.replace(place)


def _place(path: Any) -> Any:
    """The path as a pathlib.Path, unless it is in a bucket, where only etils can write."""
    text = os.fspath(path)
    return path if "://" in text else pathlib.Path(text)


def _fsync(file: Any) -> None:
    """Makes sure that what was written is on the disk, where there is one, and a way to."""
    try:
        os.fsync(file.fileno())
    except (AttributeError, ValueError):  # a bucket's file has no descriptor (or one that refuses)
        return
    except OSError as error:
        if error.errno not in _NO_SUCH_CALL:
            raise


@contextlib.contextmanager
def _named(place: Any, temporary: Any) -> Iterator[None]:
    """Names the file that people know in an OSError that names none, or the temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, os.fspath(temporary)):
            raise
        raise OSError(error.errno, error.strerror, os.fspath(place)) from error


def matching(directory: Any, pattern: str) -> list[Any]:
    """The files and folders below an etils path that match a pattern, sorted.

    The directory is taken as it is: its own `glob` takes brackets in its name for a pattern, too.
    """
    return sorted(type(directory)(glob.escape(os.fspath(directory))).glob(pattern))


def _remove(path: Any) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _remove_stale(folder: Any, name: str) -> None:
    if not isinstance(folder, pathlib.Path) or not folder.is_dir():
        return  # a bucket keeps no half-written files
    for path in folder.glob(f"{glob.escape(name)}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
