"""The official tars, in place: the train tar of WNID tars, the flat validation tar, the devkit."""

import pathlib
from collections.abc import Collection, Iterator

from base.errors import UserError
from data_prep.layouts.listed import Listed
from data_prep.schema import TRAIN, VALIDATION
from data_prep.source import naming, official, split_tree, synsets, tar_files
from data_prep.source.entries import Entry, Folder, Passed
from data_prep.source.images import ImageRef
from data_prep.source.official import TRAIN_TAR, VALIDATION_TAR
from data_prep.source.remarks import Remarks


def recognise(root: pathlib.Path) -> str:
    """The names of those that are there."""
    return " and ".join(name for name in (TRAIN_TAR, VALIDATION_TAR) if (root / name).is_file())


def list_images(root: pathlib.Path, splits: Collection[str], remarks: Remarks) -> Listed:
    """Either tar may be missing; the label order is the devkit's."""
    devkit = official.devkit_of(root)
    for path in sorted(root.iterdir()):
        if path.name.startswith("ILSVRC2012") and naming.kind_of(path.name) == naming.UNFINISHED:
            remarks.note("half", path.name)
        elif path.name.startswith("ILSVRC2012_img_test"):
            remarks.note("test", path.name)
        elif naming.split_of(path.name) in splits and path.is_dir():
            remarks.note("unpacked", path.name)

    def refs() -> Iterator[ImageRef]:
        if TRAIN in splits and (root / TRAIN_TAR).is_file():
            yield from class_tars(root / TRAIN_TAR, devkit.classes, remarks)
        if VALIDATION in splits and (root / VALIDATION_TAR).is_file():
            for entry in split_tree.members(root / VALIDATION_TAR, 0, None, remarks):
                wnid = official.validation_wnid(entry.name, devkit, entry.path)
                yield ImageRef.of(entry, VALIDATION, wnid)

    return devkit.classes, refs()


def class_tars(
    path: pathlib.Path, classes: synsets.Classes, remarks: Remarks
) -> Iterator[ImageRef]:
    """The training images in a tar of class tars.

    Args:
        path: of the tar.
        classes: that it may hold.
        remarks: gets what is not taken.

    Raises:
        UserError: a tar in it is of no class.
    """
    seen = set()
    for inner in tar_files.walk(path):
        name = inner.name.rsplit("/", 1)[-1]
        if isinstance(inner, Folder):
            continue
        if isinstance(inner, Passed):
            remarks.note(inner.reason, inner.name)
        elif naming.hidden(name):
            remarks.note("hidden", inner.name)
        elif naming.kind_of(name) != naming.TAR:
            remarks.note(
                "archive" if naming.kind_of(name) == naming.PACKED else "other", inner.name
            )
        elif (wnid := name[: -len(".tar")]) not in classes.labels:
            raise UserError(f"{path} holds {inner.name}, which is no class of the devkit")
        elif wnid in seen:
            remarks.note("twice", inner.name)
        else:
            seen.add(wnid)
            yield from class_tar(path, inner, wnid, remarks)


def class_tar(path: pathlib.Path, tar: Entry, wnid: str, remarks: Remarks) -> Iterator[ImageRef]:
    """The training images in the tar of one class, which lies in a file at its own position."""
    count = 0
    for entry in split_tree.members(path, tar.offset, tar.size, remarks):
        count += 1
        yield ImageRef.of(entry, TRAIN, wnid)
    if not count:
        remarks.note("empty", tar.name)
