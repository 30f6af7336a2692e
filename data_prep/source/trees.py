"""A directory, a tar or a zip, seen as a tree of files; it may lie a directory or two deeper."""

import functools
import os
import pathlib
from collections.abc import Iterator

from base.errors import UserError
from data_prep.source import containers, naming
from data_prep.source.entries import Entry


def locate(root: pathlib.Path, name: str) -> str | None:
    """The directory within a tree that a text file is in: '', 'a/' or 'a/b/'; None: nowhere."""
    if root.is_dir():
        for level in _levels(root):
            for above in level:
                if os.path.isfile(root / above / name):  # False where it may not be looked at
                    return above
        return None
    status = root.stat()
    return _texts(root, (status.st_mtime_ns, status.st_size)).get(name)


@functools.lru_cache(maxsize=2)
def _texts(root: pathlib.Path, version: tuple[int, int]) -> dict[str, str]:
    """The text files of an archive by their last names, and where the first of each lies.

    They are kept, as each look through a large archive takes a minute.
    """
    found: dict[str, str] = {}
    for entry in containers.entries(root):
        if entry.name.endswith(".txt"):
            above, _, name = entry.name.rpartition("/")
            if not any(naming.hidden(part) for part in above.split("/")):
                found.setdefault(name, f"{above}/" if above else "")
    return found


def homes(root: pathlib.Path) -> list[str]:
    """The directories within a tree that splits are in, of those that are least deep.

    Of an archive only the first, as reading it from end to end takes minutes.
    """
    if root.is_dir():
        for level in _levels(root):
            if found := [above for above in level if holds_splits(root / above)]:
                return found
        return []
    for entry in containers.entries(root):
        above = above_split(entry)
        if above is not None:
            return [above]
    return []


def above_split(entry: Entry) -> str | None:
    """What leads to the first split's folder in a file's name; None where there is none."""
    parts = entry.name.split("/")
    if any(naming.hidden(part) for part in parts):
        return None
    for depth, part in enumerate(parts[:-1]):
        if naming.split_of(part):
            return "".join(f"{above}/" for above in parts[:depth])
    return None


def text(root: pathlib.Path, name: str) -> str:
    """The text of a file of a tree. Raises UserError where it is not there or unreadable."""
    found = find(root, name)
    if found is None:
        raise UserError(f"{root} holds no {name}: unpack or download it again")
    return decoded(containers.read(found))


def find(root: pathlib.Path, name: str) -> Entry | None:
    """A file of a tree by its whole name; None where there is none."""
    if root.is_dir():
        path = root / name
        return Entry(name, str(path), 0, path.stat().st_size) if os.path.isfile(path) else None
    return next((entry for entry in containers.entries(root) if entry.name == name), None)


def decoded(data: bytes) -> str:
    """Text in whichever encoding a side file was saved: UTF-8, UTF-16 with its mark, Latin-1."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _levels(root: pathlib.Path) -> Iterator[list[str]]:
    """The directories that a tree may begin in: the root, those in it, and those in these."""
    level = [""]
    yield level
    for _ in range(2):
        level = [f"{above}{name}/" for above in level for name in folders(root / above)]
        yield level


def folders(directory: pathlib.Path) -> list[str]:
    """The folders in a directory, sorted, without hidden ones."""
    try:
        with os.scandir(directory) as scanned:
            return sorted(
                entry.name for entry in scanned if entry.is_dir() and not naming.hidden(entry.name)
            )
    except OSError:  # what may not be read is said by the listing
        return []


def holds_splits(directory: pathlib.Path) -> bool:
    """Whether a directory has a folder of a split's name."""
    return any(naming.split_of(name) for name in folders(directory))
