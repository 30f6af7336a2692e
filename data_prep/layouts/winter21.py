"""ImageNet-21k's class tars, in one tar or in a folder, without a devkit: training images alone."""

import pathlib
import re
from collections.abc import Collection, Iterator, Mapping

from data_prep.layouts import official_tars
from data_prep.layouts.listed import Each, Listed
from data_prep.schema import TRAIN
from data_prep.source import naming, synsets, tar_files, zip_files
from data_prep.source.entries import Entry
from data_prep.source.images import ImageRef
from data_prep.source.remarks import Remarks

_CLASS_TAR = re.compile(r"(n\d{8})\.tar")


def recognise(root: pathlib.Path) -> str:
    """The first class tar."""
    return next((f"{wnid}.tar" for wnid, _ in _class_tars(root)), "")


def list_images(
    root: pathlib.Path, splits: Collection[str], remarks: Remarks, each: Each = map
) -> Listed:
    """Every class tar is a class; all images are for training."""
    classes = synsets.known_classes([wnid for wnid, _ in _class_tars(root)])

    if root.is_dir():
        _note_others(root, remarks)

    def refs() -> Iterator[ImageRef]:
        if root.is_dir():
            for found, noted in each(list_tar, [str(path) for _, path in _class_tars(root)]):
                remarks.add(noted)
                yield from found
        else:
            yield from official_tars.class_tars(root, classes, remarks)

    return classes, refs() if TRAIN in splits else []


def list_tar(path: str) -> tuple[list[ImageRef], Mapping[str, tuple[int, list[str]]]]:
    """One class tar's images, and what was noted of it. Raises UserError where it is damaged."""
    remarks, place = Remarks(), pathlib.Path(path)
    tar = Entry(place.name, path, 0, place.stat().st_size)
    return list(official_tars.class_tar(place, tar, place.stem, remarks)), remarks.found()


def _note_others(root: pathlib.Path, remarks: Remarks) -> None:
    """Notes what lies beside the class tars: were it a class, it would move the labels."""
    noted = {naming.UNFINISHED: "half", naming.PACKED: "archive", naming.TAR: "beside"}
    for path in sorted(root.iterdir()):
        kind = naming.kind_of(path.name)
        if naming.hidden(path.name):
            remarks.note("hidden", path.name)
        elif path.is_dir():
            remarks.note("stray", path.name)
        elif kind == naming.IMAGE:
            remarks.note("outside", path.name)
        elif kind in noted and not _CLASS_TAR.fullmatch(path.name):
            remarks.note(noted[kind], path.name)


def _class_tars(root: pathlib.Path) -> Iterator[tuple[str, pathlib.Path]]:
    """WNID and file of each; of a tar that does not begin with class tars, none."""
    if root.is_dir():
        for path in sorted(root.iterdir()):
            if (match := _CLASS_TAR.fullmatch(path.name)) and path.is_file():
                yield match[1], path
    elif not zip_files.is_zip(root):
        for item in tar_files.walk(root):
            match = _CLASS_TAR.fullmatch(item.name.rsplit("/", 1)[-1])
            if match and isinstance(item, Entry):
                yield match[1], root
