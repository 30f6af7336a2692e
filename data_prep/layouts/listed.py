"""What a layout gives, and what the class folders of a tree say of its classes."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from data_prep.schema import SPLITS, TRAIN, VALIDATION
from data_prep.source import naming, synsets
from data_prep.source.images import ImageRef
from data_prep.source.remarks import Remarks
from data_prep.source.split_tree import SplitTree

# The classes of a source, and its images.
Listed = tuple[synsets.Classes, Iterable[ImageRef]]
# Gives what a function gives of each file, in order: `map`, or on a cluster's workers, which know
# the function by its name. Nothing else may depend on which of them does it.
Each = Callable[[Callable[[str], Any], Sequence[str]], Iterable[Any]]


def known(
    refs: Iterable[ImageRef], classes: synsets.Classes, tree: SplitTree, remarks: Remarks
) -> list[ImageRef]:
    """The images of listed classes; what the list does not name is noted, folder by folder."""
    spelt = {naming.spelt_alike(wnid): wnid for wnid in classes.labels}
    kept = [ref for ref in refs if ref.wnid in classes.labels]
    for split in SPLITS:
        for wnid in tree.folders[split]:
            if wnid not in classes.labels:
                like = spelt.get(naming.spelt_alike(wnid))
                _note_other("stray", f"{split}/{wnid}", like, remarks)
    return kept


def note_folders(tree: SplitTree, splits: Collection[str], remarks: Remarks) -> None:
    """Notes class folders that hold no image, or that only one of two splits has."""
    train, validation = tree.folders[TRAIN], tree.folders[VALIDATION]
    for split in splits:
        for wnid, count in tree.folders[split].items():
            if not count:
                remarks.note("empty", f"{split}/{wnid}")
    if train and validation and set(splits) == set(SPLITS):
        spelt = {naming.spelt_alike(wnid): wnid for wnid in train}
        for wnid in sorted(validation.keys() - train.keys()):
            _note_other("validation_only", wnid, spelt.get(naming.spelt_alike(wnid)), remarks)
        for wnid in sorted(train.keys() - validation.keys()):
            remarks.note("train_only", wnid)


def _note_other(kind: str, name: str, like: str | None, remarks: Remarks) -> None:
    """Notes a class folder that is not where it belongs, or is merely spelt otherwise."""
    if like is None:
        remarks.note(kind, name)
    else:
        remarks.note("spelling", f"{name!r}, not {like!r}")


def note_classes(wnids: Collection[str], remarks: Remarks) -> None:
    """Notes what is odd about the classes of a source that has no list of them."""
    if len(wnids) == 1:
        remarks.note("single", next(iter(wnids)))
    if all(wnid.isdecimal() for wnid in wnids) and sorted(wnids) != sorted(wnids, key=int):
        remarks.note("numbers", " ".join(sorted(wnids)[:4]), len(wnids))
