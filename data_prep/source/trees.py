"""A directory, a tar or a zip, seen as a tree of files; it may lie a directory or two deeper."""

import pathlib
from collections.abc import Iterator

from base.errors import UserError
from data_prep.schema import IMAGE_SUFFIXES
from data_prep.source import containers


def locate(root: pathlib.Path, name: str) -> str | None:
    """The directory within a tree that a file of this relative name is in: '', 'a/' or 'a/b/'."""
    if root.is_dir():
        found = [path for up in ("", "*/", "*/*/") for path in sorted(root.glob(up + name))]
        if not found:
            return None
        return found[0].relative_to(root).as_posix().removesuffix(name)
    for entry in containers.entries(root):
        if entry.name == name or entry.name.endswith("/" + name):
            return entry.name.removesuffix(name)
    return None


def text(root: pathlib.Path, name: str) -> str:
    """The text of a file of a tree."""
    if root.is_dir():
        return (root / name).read_text("utf-8")
    for entry in containers.entries(root):
        if entry.name == name:
            return containers.read(entry).decode("utf-8")
    raise UserError(f"{root} holds no {name}: unpack or download it again")


def images(root: pathlib.Path, below: str) -> Iterator[tuple[list[str], containers.Entry]]:
    """Every image of a tree below a directory: (parts of its path there, entry)."""
    top = root / below if root.is_dir() else root
    prefix = "" if root.is_dir() else below
    for entry in containers.entries(top):
        suffix = pathlib.PurePosixPath(entry.name).suffix.lower()
        if entry.name.startswith(prefix) and suffix in IMAGE_SUFFIXES:
            yield entry.name.removeprefix(prefix).split("/"), entry
