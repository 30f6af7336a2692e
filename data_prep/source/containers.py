"""What lies where in a directory, a tar or a zip, without unpacking it.

`walk(path)` gives everything that a container holds: each regular file as a position (`Entry`),
each folder, and each thing that cannot be taken with the reason, so that nothing is left out
without a word. `read(entry)` gives a file's bytes. Both archives are read by their headers alone: a
million files in 150 GB are listed in minutes, in memory that does not grow.

Names are relative to the container, with slashes. A name that is not UTF-8 is shown as Latin-1,
while `Entry.path` stays as the disk has it.
"""

import os
import pathlib
import stat
import struct
import zlib
from collections.abc import Callable, Iterator

from base.errors import UserError
from data_prep.source import tar_files, zip_files
from data_prep.source.entries import (
    CIRCLE,
    DANGLING,
    PLAIN,
    SPECIAL,
    UNREADABLE,
    Entry,
    Folder,
    Item,
    Passed,
    readable,
)

_BLOCKS, _BLOCK, _END = 64, 4096, 1 << 16  # how many, and of how many bytes, tell a file


def walk(path: pathlib.Path, enter: Callable[[str], bool] = lambda name: True) -> Iterator[Item]:
    """Everything in a directory (at any depth, sorted), a tar or a zip.

    Args:
        path: of the container.
        enter: of a folder's name, whether what it holds is wanted; asked for directories only, as
            archives are read from end to end.

    Raises:
        UserError: the path is none of these, unreadable, truncated or damaged.
    """
    if path.is_dir():
        yield from _walk_directory(str(path), "", (), enter)
    elif zip_files.is_zip(path):
        yield from zip_files.walk(path)
    else:
        yield from tar_files.walk(path)


def entries(path: pathlib.Path) -> Iterator[Entry]:
    """The regular files alone."""
    return (item for item in walk(path) if isinstance(item, Entry))


def read(entry: Entry) -> bytes:
    """A file's bytes. Raises UserError where the container has shrunk, changed or gone."""
    try:
        if entry.packing == PLAIN:
            # In few calls of the system, after each of which a thread may wait for the others.
            number = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                data = os.pread(number, entry.size, entry.offset)
            finally:
                os.close(number)
        else:
            with open(entry.path, "rb", buffering=0) as file:
                file.seek(entry.offset)
                data = zip_files.read_member(file.read(30), file.read, entry.size)
    except (OSError, zlib.error, struct.error) as error:
        raise UserError(f"cannot read {entry.name} in {readable(entry.path)}: {error}") from None
    if len(data) != entry.size:
        raise UserError(
            f"{readable(entry.path)} ends within {entry.name} (at byte "
            f"{entry.offset + len(data)}): it is truncated, or changed since it was listed"
        )
    return data


def beginning(entry: Entry, count: int = 512) -> bytes:
    """A file's first bytes, or fewer. Raises UserError where they cannot be read."""
    if entry.packing == PLAIN:
        return read(entry._replace(size=min(count, entry.size)))
    try:
        with open(entry.path, "rb", buffering=0) as file:
            file.seek(entry.offset)
            return zip_files.read_member(file.read(30), file.read, min(count, entry.size))
    except (OSError, zlib.error, struct.error) as error:
        raise UserError(f"cannot read {entry.name} in {readable(entry.path)}: {error}") from None


def _walk_directory(
    directory: str, prefix: str, above: tuple[tuple[int, int], ...], enter: Callable[[str], bool]
) -> Iterator[Item]:
    """What a directory holds; `above` are the identities of the directories that lead to it."""
    try:
        with os.scandir(directory) as scanned:
            found = sorted(scanned, key=lambda entry: entry.name)
        here = os.stat(directory)
    except OSError:
        yield Passed(prefix.removesuffix("/"), UNREADABLE)
        return
    inside = (*above, (here.st_dev, here.st_ino))
    for entry in found:
        name = prefix + readable(entry.name)
        try:
            status = entry.stat()
        except OSError:
            yield Passed(name, DANGLING if entry.is_symlink() else UNREADABLE)
            continue
        if stat.S_ISDIR(status.st_mode):
            if (status.st_dev, status.st_ino) in inside:
                yield Passed(name, CIRCLE)
                continue
            yield Folder(name)
            if enter(name):
                yield from _walk_directory(entry.path, f"{name}/", inside, enter)
        elif not stat.S_ISREG(status.st_mode):
            yield Passed(name, SPECIAL)
        elif not os.access(entry.path, os.R_OK):
            yield Passed(name, UNREADABLE)
        else:
            yield Entry(name, entry.path, 0, status.st_size)


def spread_blocks(path: str, count: int = _BLOCKS) -> bytes:
    """A file's size, its end, and `count` blocks spread over it: what tells it from another."""
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        blocks = [str(size).encode()]
        for place in (*(size * part // count for part in range(count)), max(0, size - _END)):
            file.seek(place)
            blocks.append(file.read(_END if place == size - _END else _BLOCK))
    return b"".join(blocks)
