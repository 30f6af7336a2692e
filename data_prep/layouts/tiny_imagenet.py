"""Tiny-ImageNet and its like."""

import pathlib
from collections.abc import Collection

from base.errors import UserError
from data_prep.layouts.listed import Listed, known, note_folders
from data_prep.schema import VALIDATION
from data_prep.source import containers, synsets, trees
from data_prep.source.images import ImageRef
from data_prep.source.remarks import Remarks
from data_prep.source.split_tree import SplitTree

_CLASSES, _WORDS, _TRUTH = "wnids.txt", "words.txt", "val_annotations.txt"
_BETWEEN = "images"  # the folder that lies between a class or split and its images


def recognise(root: pathlib.Path) -> str:
    """The class list, where it is there."""
    return _CLASSES if trees.locate(root, _CLASSES) is not None else ""


def list_images(root: pathlib.Path, splits: Collection[str], remarks: Remarks) -> Listed:
    """train/WNID/images/, val/images/ with val_annotations.txt, wnids.txt and words.txt.

    val/ may as well be sorted into folders of classes, with or without images/ in them.
    """
    home = trees.locate(root, _CLASSES) or ""
    words = {}
    if found := trees.find(root, home + _WORDS):
        for line in trees.decoded(containers.read(found)).splitlines():
            wnid, tab, said = line.partition("\t")
            if tab:
                words[wnid] = said.strip()
    classes = synsets.known_classes(trees.text(root, home + _CLASSES).split(), words)
    tree = SplitTree(root, home, splits, remarks)
    refs, flat = [], []
    for split, parts, entry in tree.images():
        if len(parts) > 1 and not (split == VALIDATION and parts[0] == _BETWEEN):
            refs.append(ImageRef.of(entry, split, parts[0]))
        elif split == VALIDATION:
            flat.append(entry)
        else:
            remarks.note("loose", entry.name)
    tree.folders[VALIDATION].pop(_BETWEEN, None)
    truth = _truth(root, home) if flat else {}
    for entry in flat:
        name = entry.name.rsplit("/", 1)[-1]
        if name not in truth:
            raise UserError(
                f"{home}val/{_TRUTH} in {root} does not say what {name} is: take the file that "
                "belongs to these images"
            )
        wnid = truth[name]
        if wnid in classes.labels:
            refs.append(ImageRef.of(entry, VALIDATION, wnid))
        else:
            remarks.note("stray", f"{wnid} of {_TRUTH}")
    note_folders(tree, splits, remarks)
    return classes, known(refs, classes, tree, remarks)


def _truth(root: pathlib.Path, home: str) -> dict[str, str]:
    """Validation image to WNID."""
    found = trees.find(root, f"{home}val/{_TRUTH}")
    if found is None:
        raise UserError(
            f"{root} holds no {home}val/{_TRUTH}, which says what the images in val/ are: put it "
            "there, sort them into class folders, or take --split=train"
        )
    lines = trees.decoded(containers.read(found)).splitlines()
    rows = (line.split("\t" if "\t" in line else None) for line in lines)
    return {row[0]: row[1].strip() for row in rows if len(row) > 1}
