"""What a container holds, as its listing gives it: files as positions, folders, and what not."""

import posixpath
from typing import NamedTuple

PLAIN, DEFLATED = "", "deflated"

# Why something cannot be taken.
UNREADABLE = "unreadable"  # no permission
DANGLING = "dangling"  # a link that leads nowhere
CIRCLE = "circle"  # a link to a folder that it lies in
SPECIAL = "special"  # a pipe, a socket, a device
SPARSE = "sparse"  # a member of a tar that lacks its holes
APPENDED = "appended"  # a second archive behind the first one's end; its files are listed too


class Entry(NamedTuple):
    """One regular file.

    Attributes:
        name: its path within the container, with slashes.
        path: the file on the disk that its bytes are in.
        offset: where they begin, in bytes; for a zip, where its local header does.
        size: of the file itself, in bytes.
        packing: PLAIN, or DEFLATED for what is behind a local header of a zip.
    """

    name: str
    path: str
    offset: int
    size: int
    packing: str = PLAIN


class Folder(NamedTuple):
    """One folder, empty or not."""

    name: str


class Passed(NamedTuple):
    """What cannot be taken, or is odd: its name, and one of the reasons above."""

    name: str
    reason: str


Item = Entry | Folder | Passed


def relative(name: str) -> str:
    """A member's name without what leads to it, and without detours: as unpacking it would give."""
    name = name.removeprefix("./")
    if "//" in name or "./" in name:
        name = posixpath.normpath(name)
    while name.startswith("../"):
        name = name[3:]
    return "" if name == "." else name.lstrip("/")


def readable(name: str) -> str:
    """A file's name as text that can be printed and written: one that is not UTF-8 as Latin-1."""
    if name.isascii():
        return name
    raw = name.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
