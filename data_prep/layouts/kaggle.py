"""Kaggle's ILSVRC, as the zip that it is downloaded as or unpacked."""

import csv
import io
import pathlib
import zipfile
from collections.abc import Collection

from base.errors import UserError
from data_prep.layouts.listed import Listed, known, note_folders
from data_prep.schema import VALIDATION
from data_prep.source import containers, naming, synsets, trees
from data_prep.source.images import ImageRef
from data_prep.source.remarks import Remarks
from data_prep.source.split_tree import SplitTree

_CLASSES, _TRUTH = "LOC_synset_mapping.txt", "LOC_val_solution.csv"
_IMAGES = ("ILSVRC/Data/CLS-LOC/", "Data/CLS-LOC/", "CLS-LOC/", "")
_PAGE = "kaggle.com/competitions/imagenet-object-localization-challenge/data"


def recognise(root: pathlib.Path) -> str:
    """The class list, or the folder of the images that only Kaggle's has."""
    if trees.locate(root, _CLASSES) is not None:
        return _CLASSES
    return next((below for below in _IMAGES[:2] if trees.holds_splits(root / below)), "")


def list_images(root: pathlib.Path, splits: Collection[str], remarks: Remarks) -> Listed:
    """ILSVRC/Data/CLS-LOC/train/WNID and val/, the classes and the ground truth beside them."""
    home = trees.locate(root, _CLASSES)
    if home is None:
        raise UserError(
            f"{root} holds Kaggle's images, but no {_CLASSES}, from which the labels come: put it "
            f"and {_TRUTH} there, from the folder above or {_PAGE}"
        )
    lines = trees.text(root, home + _CLASSES).splitlines()
    words = {line.split()[0]: line.strip().partition(" ")[2] for line in lines if line.strip()}
    classes = synsets.known_classes(
        list(words), {wnid: said for wnid, said in words.items() if said}
    )
    tree = SplitTree(root, home + _images_below(root, home), splits, remarks)
    refs, flat = [], []
    for found in tree.images():
        if len(found.parts) > 1:
            refs.append(ImageRef.of(found.entry, found.split, found.parts[0]))
        elif found.split == VALIDATION:
            flat.append(found.entry)
        else:
            remarks.note("loose", found.entry.name)
    truth = _truth(root, home) if flat else {}
    for entry in flat:
        name = entry.name.rsplit("/", 1)[-1]
        wnid = truth.get(name.split(".")[0])
        if wnid not in classes.labels:
            raise UserError(
                f"{_TRUTH} in {root} does not say what {name} is"
                + (f" ({wnid} is no class of {_CLASSES})" if wnid else "")
                + f": download it again from {_PAGE}"
            )
        refs.append(ImageRef.of(entry, VALIDATION, wnid))
    if flat:  # validation has no folders
        tree.folders[VALIDATION].clear()
    note_folders(tree, splits, remarks)
    return classes, known(refs, classes, tree, remarks)


def _images_below(root: pathlib.Path, home: str) -> str:
    """Which directory below the class list has the splits' folders."""
    if root.is_dir():
        for below in _IMAGES:
            if trees.holds_splits(root / home / below):
                return below
        packed = [path.name for path in (root / home).iterdir() if _packed(path.name)]
        if packed:
            raise UserError(
                f"{root / home} holds {_CLASSES}, but the images are still packed: unpack them "
                f"there: {unpack(packed[0])}"
            )
        raise UserError(
            f"{root / home} holds {_CLASSES}, but no {_IMAGES[0]}train/: download the images from "
            f"{_PAGE}"
        )
    for entry in containers.entries(root):
        above = trees.above_split(entry)
        if above is not None and above.startswith(home) and above.removeprefix(home) in _IMAGES:
            return above.removeprefix(home)
    return _IMAGES[0]


def _packed(name: str) -> bool:
    kind = naming.kind_of(name)
    return kind in (naming.TAR, naming.PACKED) and not name.startswith("LOC_")


def unpack(name: str) -> str:
    """The command that unpacks an archive of this name."""
    if name.lower().endswith(".zip"):
        return f"unzip {name}"
    if name.lower().endswith((".7z", ".rar")):
        return f"7z x {name}"
    return f"tar xf {name}"


def _truth(root: pathlib.Path, home: str) -> dict[str, str]:
    """Validation image to WNID, from the table, which may be zipped by itself."""
    entry = trees.find(root, home + _TRUTH)
    zipped = None if entry else trees.find(root, f"{home}{_TRUTH}.zip")
    if entry:
        text = trees.decoded(containers.read(entry))
    elif zipped:
        try:
            with zipfile.ZipFile(io.BytesIO(containers.read(zipped))) as archive:
                text = trees.decoded(archive.read(_TRUTH))
        except (zipfile.BadZipFile, KeyError) as error:
            raise UserError(
                f"{zipped.name} in {root} cannot be read ({error}): download it again from {_PAGE}"
            ) from None
    else:
        raise UserError(
            f"{root} holds no {home}{_TRUTH}, which says what the validation images are: download "
            f"it from {_PAGE}, or take --split=train"
        )
    truth = {}
    try:
        for row in csv.DictReader(text.splitlines(), skipinitialspace=True):
            said = (row.get("PredictionString") or "").split()
            if said and row.get("ImageId"):
                truth[row["ImageId"].split(".")[0]] = said[0]
    except csv.Error as error:
        raise UserError(
            f"{_TRUTH} in {root} is damaged ({error}): download it again from {_PAGE}"
        ) from None
    if not truth:
        raise UserError(
            f"{_TRUTH} in {root} has no columns ImageId and PredictionString: download it again "
            f"from {_PAGE}"
        )
    return truth
