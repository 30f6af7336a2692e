"""A tree of SPLIT/CLASS/image, sorted into images, class folders and remarks."""

import pathlib
from collections.abc import Collection, Iterator
from typing import NamedTuple

from data_prep.schema import SPLITS
from data_prep.source import containers, naming, tar_files, trees
from data_prep.source.entries import APPENDED, PLAIN, Entry, Folder, Item, Passed
from data_prep.source.official import DEVKIT
from data_prep.source.remarks import Remarks


class Found(NamedTuple):
    """One image: its split, the parts of its path below the split's folder, and its place."""

    split: str
    parts: list[str]
    entry: Entry


class SplitTree:
    """What lies below one directory of a tree.

    Args:
        root: the directory, tar or zip.
        home: the directory within it that the splits' folders are in.
        splits: those to be read. Of the others only the names of the class folders are taken, as
            the label order follows from all of them.
        remarks: gets what is not taken.

    Attributes:
        folders: class folders and the number of their images, for each split; complete once
            `images` has ended.
    """

    def __init__(
        self, root: pathlib.Path, home: str, splits: Collection[str], remarks: Remarks
    ) -> None:
        self.folders: dict[str, dict[str, int]] = {split: {} for split in SPLITS}
        self._root, self._home, self._splits = root, home, splits
        self._remarks = remarks
        self._once: set[tuple[str, str]] = set()  # folders that were noted
        self._named: dict[str, str] = {}  # split to the name of its folder
        self._directory = ("", "")  # the last one, and what is hidden of its path

    def images(self) -> Iterator[Found]:
        """Every image of the splits; what is none goes into the remarks."""
        directory = self._root.is_dir()
        prefix = "" if directory else self._home
        top = self._root / self._home if directory else self._root
        for item in containers.walk(top, self._wanted):
            if isinstance(item, Passed) and item.reason == APPENDED:
                self._remarks.note(APPENDED, item.name)
            elif item.name.startswith(prefix):
                yield from self._sorted(item, item.name.removeprefix(prefix))
            elif isinstance(item, Entry):
                self._other_home(item)

    def _wanted(self, name: str) -> bool:
        """Whether a directory is to be gone into."""
        parts = name.split("/")
        if naming.hidden(parts[-1]) or naming.is_test(parts[0]):
            return False
        split = naming.split_of(parts[0])
        return split is None or len(parts) == 1 or split in self._splits

    def _other_home(self, entry: Entry) -> None:
        above = trees.above_split(entry)
        if above is not None and above.count("/") == self._home.count("/"):
            self._note_once("second", above)

    def _note_once(self, kind: str, folder: str) -> None:
        if (kind, folder) not in self._once:
            self._once.add((kind, folder))
            self._remarks.note(kind, folder)

    def _sorted(self, item: Item, name: str) -> Iterator[Found]:
        above, _, last = name.rpartition("/")
        if self._directory[0] != above:
            self._directory = (above, _hidden_part(above))
        if self._directory[1]:
            self._note_once("hidden", self._directory[1])
        elif not last:
            self._note_if_passed(item, str(self._root))
        elif naming.hidden(last):
            self._hidden(item, name)
        elif split := self._split(name.split("/")[0]):
            yield from self._of_split(item, split, name.split("/")[1:])
        else:
            self._outside(item, name)

    def _hidden(self, item: Item, name: str) -> None:
        if isinstance(item, Folder):
            self._note_once("hidden", name)
            return
        self._remarks.note("hidden", name)
        # A class of an archive without folders of their own may have nothing else.
        first, *below = name.split("/")
        if len(below) > 1 and (split := self._split(first)):
            self.folders[split].setdefault(below[0], 0)

    def _note_if_passed(self, item: Item, name: str) -> None:
        if isinstance(item, Passed):
            self._remarks.note(item.reason, name)

    def _split(self, name: str) -> str | None:
        split = naming.split_of(name)
        if split and self._named.setdefault(split, name) != name:
            self._note_once("second", name)
            return None
        return split

    def _outside(self, item: Item, name: str) -> None:
        first, _, below = name.partition("/")
        if naming.is_test(first) and (below or isinstance(item, Folder)):
            self._note_once("test", first)
        elif isinstance(item, Entry):
            kind = naming.kind_of(name)
            if kind == naming.IMAGE:
                self._remarks.note("outside", name)
            elif kind != naming.OTHER and not below and not name.startswith(DEVKIT):
                self._remarks.note("beside", name)

    def _of_split(self, item: Item, split: str, parts: list[str]) -> Iterator[Found]:
        folders = self.folders[split]
        if isinstance(item, Folder):
            if len(parts) == 1:
                folders.setdefault(parts[0], 0)
        elif isinstance(item, Passed):
            self._remarks.note(item.reason, item.name)
        elif not parts:
            self._remarks.note("other", item.name)  # a file of a split's name
        elif split not in self._splits:
            if len(parts) > 1:
                folders.setdefault(parts[0], 0)
            elif naming.kind_of(parts[0]) == naming.TAR:
                folders.setdefault(_stem(parts[0]), 0)
        elif len(parts) == 1 and naming.kind_of(parts[0]) == naming.TAR and item.packing == PLAIN:
            yield from self._class_tar(item, split, _stem(parts[0]))
        else:
            if len(parts) > 1:
                folders.setdefault(parts[0], 0)
            if is_image(item, self._remarks):
                if len(parts) > 1:
                    folders[parts[0]] += 1
                yield Found(split, parts, item)

    def _class_tar(self, tar: Entry, split: str, wnid: str) -> Iterator[Found]:
        """The members of a class's tar, as ILSVRC's train tar leaves 1000 of them."""
        if wnid in self.folders[split]:
            self._remarks.note("twice", tar.name)
        self.folders[split].setdefault(wnid, 0)
        self._remarks.note("in_place", tar.name)
        for entry in members(pathlib.Path(tar.path), tar.offset, tar.size, self._remarks):
            self.folders[split][wnid] += 1
            parts = entry.name.split("/")
            yield Found(split, [wnid, *(parts[1:] if parts[0] == wnid else parts)], entry)


def members(
    path: pathlib.Path, start: int, length: int | None, remarks: Remarks
) -> Iterator[Entry]:
    """The images of a tar (in another file at `start`, with a length), whatever their folders."""
    for item in tar_files.walk(path, start, length):
        if isinstance(item, Folder):
            continue
        if isinstance(item, Passed):
            remarks.note(item.reason, item.name)
        elif _hidden_part(item.name):
            remarks.note("hidden", item.name)
        elif is_image(item, remarks):
            yield item


def is_image(entry: Entry, remarks: Remarks) -> bool:
    """Whether a file where images belong is one; what is odd about it, or it is not, is noted."""
    kind = naming.kind_of(entry.name)
    if kind == naming.IMAGE:
        return True
    if kind == naming.OTHER and naming.begins_as_image(containers.beginning(entry)):
        remarks.note("suffix", entry.name)
        return True
    noted = {
        naming.TAR: "archive",
        naming.PACKED: "archive",
        naming.UNFINISHED: "half",
    }
    remarks.note(noted.get(kind, "other"), entry.name)
    return False


def _hidden_part(path: str) -> str:
    """The path up to its first part that is hidden; empty where none is."""
    parts = path.split("/")
    for depth, part in enumerate(parts):
        if naming.hidden(part):
            return "/".join(parts[: depth + 1])
    return ""


def _stem(name: str) -> str:
    return pathlib.PurePosixPath(name).stem
