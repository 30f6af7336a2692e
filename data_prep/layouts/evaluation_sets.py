"""Sets that ILSVRC's nets are evaluated on: ImageNet-V2, -A, -R, -Sketch.

Their class folders are WNIDs, or ILSVRC's labels 0 to 999, without a split's folder above. Labels
are ILSVRC's, so that a net of its thousand classes can be evaluated on a set of two hundred.
"""

import dataclasses
import pathlib
from collections.abc import Collection, Iterator

from data_prep.layouts.listed import Listed
from data_prep.schema import VALIDATION
from data_prep.source import containers, naming, split_tree, synsets, trees
from data_prep.source.entries import Entry, Passed
from data_prep.source.images import ImageRef
from data_prep.source.remarks import Remarks


def recognise(root: pathlib.Path) -> str:
    """How many classes of ILSVRC it has, and how they are named."""
    above, names = _class_folders(root)
    how = "numbers" if names and next(iter(names)).isdecimal() else "WNIDs"
    return f"{len(names)} folders {above}CLASS/ that are ILSVRC's {how}" if names else ""


def list_images(root: pathlib.Path, splits: Collection[str], remarks: Remarks) -> Listed:
    """CLASS/image, all of them for validation."""
    above, names = _class_folders(root)
    classes = dataclasses.replace(synsets.ilsvrc2012(), train_images=None)
    for name in sorted(names):
        remarks.note("mapped", f"{name} is {_wnid(name, classes)}")

    def refs() -> Iterator[ImageRef]:
        top = root / above if root.is_dir() else root
        prefix = "" if root.is_dir() else above
        empty = set(names)
        for item in containers.walk(top):
            parts = item.name.removeprefix(prefix).split("/")
            if any(naming.hidden(part) for part in parts):
                remarks.note("hidden", item.name)
            elif isinstance(item, Passed):
                remarks.note(item.reason, item.name)
            elif isinstance(item, Entry) and parts[0] in names and len(parts) > 1:
                if split_tree.is_image(item, remarks):
                    empty.discard(parts[0])
                    ref = ImageRef.of(item, VALIDATION, _wnid(parts[0], classes))
                    yield ref._replace(name="/".join(parts[1:]))
            elif isinstance(item, Entry) and naming.kind_of(item.name) == naming.IMAGE:
                remarks.note("outside", item.name)
        for name in sorted(empty):
            remarks.note("empty", name)

    return classes, refs() if VALIDATION in splits else []


def _wnid(name: str, classes: synsets.Classes) -> str:
    return classes.wnids[int(name)] if name.isdecimal() else name


def _class_folders(root: pathlib.Path) -> tuple[str, frozenset[str]]:
    """What leads to the class folders, and their names; no names where they are not ILSVRC's."""
    for above, names in _candidates(root):
        if _are_ilsvrcs(names):
            return above, frozenset(names)
    return "", frozenset()


def _candidates(root: pathlib.Path) -> Iterator[tuple[str, set[str]]]:
    if root.is_dir():
        yield "", set(trees.folders(root))
        for name in trees.folders(root):
            yield f"{name}/", set(trees.folders(root / name))
        return
    found: dict[str, set[str]] = {}
    for entry in containers.entries(root):
        *above, name, _ = ["", *entry.name.split("/")]
        if not any(naming.hidden(part) for part in (*above, name) if part) and name:
            found.setdefault("".join(f"{part}/" for part in above if part), set()).add(name)
    yield from found.items()


def _are_ilsvrcs(names: set[str]) -> bool:
    """Whether all are WNIDs of ILSVRC, or the numbers of all its classes: fewer could be any."""
    labels = synsets.ilsvrc2012().labels
    if names and all(name in labels for name in names):
        return True
    numbers = {int(name) for name in names if name.isdecimal() and name.isascii()}
    return len(names) == len(labels) and numbers == set(range(len(labels)))
