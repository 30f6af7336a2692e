"""What a layout gives, and what the class folders of a tree say of its classes."""

from collections.abc import Collection, Iterable

from data_prep.schema import SPLITS, TRAIN, VALIDATION
from data_prep.source import synsets
from data_prep.source.images import ImageRef
from data_prep.source.remarks import Remarks
from data_prep.source.split_tree import SplitTree

# The classes of a source, and its images.
Listed = tuple[synsets.Classes, Iterable[ImageRef]]


def known(
    refs: Iterable[ImageRef], classes: synsets.Classes, tree: SplitTree, remarks: Remarks
) -> list[ImageRef]:
    """The images of listed classes; what the list does not name is noted, folder by folder."""
    kept = [ref for ref in refs if ref.wnid in classes.labels]
    for split in SPLITS:
        for wnid in tree.folders[split]:
            if wnid not in classes.labels:
                remarks.note("stray", f"{split}/{wnid}")
    return kept


def note_folders(tree: SplitTree, splits: Collection[str], remarks: Remarks) -> None:
    """Notes class folders that hold no image, or that only one of two splits has."""
    train, validation = tree.folders[TRAIN], tree.folders[VALIDATION]
    for split in splits:
        for wnid, count in tree.folders[split].items():
            if not count:
                remarks.note("empty", f"{split}/{wnid}")
    if train and validation and set(splits) == set(SPLITS):
        for wnid in sorted(validation.keys() - train.keys()):
            remarks.note("validation_only", wnid)
        for wnid in sorted(train.keys() - validation.keys()):
            remarks.note("train_only", wnid)


def note_classes(wnids: Collection[str], remarks: Remarks) -> None:
    """Notes what is odd about the classes of a source that has no list of them."""
    if len(wnids) == 1:
        remarks.note("single", next(iter(wnids)))
    if all(wnid.isdecimal() for wnid in wnids) and sorted(wnids) != sorted(wnids, key=int):
        remarks.note("numbers", " ".join(sorted(wnids)[:4]), len(wnids))
