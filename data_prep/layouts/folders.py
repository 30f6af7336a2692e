"""Any split/class/image tree, among them ILSVRC's own tars unpacked."""

import pathlib
from collections.abc import Collection

from base.errors import UserError
from data_prep.layouts.listed import Listed, known, note_classes, note_folders
from data_prep.schema import VALIDATION
from data_prep.source import official, synsets, trees
from data_prep.source.entries import Entry
from data_prep.source.images import ImageRef
from data_prep.source.official import DEVKIT
from data_prep.source.remarks import Remarks
from data_prep.source.split_tree import SplitTree


def recognise(root: pathlib.Path) -> str:
    """Where the splits' folders are."""
    home = trees.homes(root)
    return f"{home[0]}train/ or {home[0]}val/ with images" if home else ""


def list_images(root: pathlib.Path, splits: Collection[str], remarks: Remarks) -> Listed:
    """train/CLASS/**, val/CLASS/** or, with the devkit beside it, a flat val/."""
    home, *others = trees.homes(root) or [""]
    for other in others:
        remarks.note("second", other)
    found = official.find_devkit(root)
    devkit = synsets.read_devkit(found) if found else None
    tree = SplitTree(root, home, splits, remarks)
    refs: list[ImageRef] = []
    loose: dict[str, Entry] = {}
    for split, parts, entry in tree.images():
        if len(parts) > 1:
            ref = ImageRef.of(entry, split, parts[0])
            refs.append(ref._replace(name="/".join(parts[1:])))
        elif devkit is not None and split == VALIDATION:
            wnid = official.validation_wnid(parts[-1], devkit, entry.path)
            refs.append(ImageRef.of(entry, split, wnid))
        else:
            loose.setdefault(split, entry)
            remarks.note("loose", entry.name)
    for split, entry in loose.items():
        if not tree.folders[split]:
            raise UserError(
                f"{entry.name} in {root} is in no class's folder: put the {DEVKIT}.tar.gz beside "
                f"the splits, or move its images into class folders"
            )
    note_folders(tree, splits, remarks)
    if devkit is not None:
        return devkit.classes, known(refs, devkit.classes, tree, remarks)
    wnids = sorted({wnid for folders in tree.folders.values() for wnid in folders})
    note_classes(wnids, remarks)
    return synsets.known_classes(wnids), refs
