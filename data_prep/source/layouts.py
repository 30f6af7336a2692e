"""The layouts that ILSVRC and its relatives come in: a function for each, over one `ImageRef`.

A layout is an entry of LAYOUTS: how it is recognised, how its images are listed, and what it looks
like in words. Adding one touches this file alone.

Where a layout is a tree of files, it may be a directory, a tar or a zip, and may lie one or two
directories deeper than the root.
"""

import csv
import io
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from base.errors import UserError
from data_prep.schema import TRAIN, VALIDATION
from data_prep.source import containers, parquet, synsets, trees
from data_prep.source.images import ImageRef, Source

TRAIN_TAR = "ILSVRC2012_img_train.tar"
VALIDATION_TAR = "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12"
VALIDATION_NAME = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG", re.IGNORECASE)

_SPLITS = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
}
_KAGGLE_CLASSES, _KAGGLE_TRUTH = "LOC_synset_mapping.txt", "LOC_val_solution.csv"
_TINY_CLASSES, _TINY_WORDS, _TINY_TRUTH = "wnids.txt", "words.txt", "val/val_annotations.txt"

Listed = tuple[synsets.Classes, Iterable[ImageRef]]


class Layout(NamedTuple):
    """One form that a source comes in.

    Attributes:
        recognise: by what a path is seen to be of this layout, in words, or nothing.
        list_images: its classes and images.
        description: what it looks like.
    """

    recognise: Callable[[pathlib.Path], str]
    list_images: Callable[[pathlib.Path], Listed]
    description: str


def open_source(path: str, layout: str = "auto") -> Source:
    """Lists the images of a source.

    Args:
        path: a directory, a tar or a zip.
        layout: a name in LAYOUTS, or `auto` to recognise it.

    Raises:
        UserError: it is missing, of no known layout, incomplete or damaged.
    """
    root = pathlib.Path(path)
    if not root.exists():
        raise UserError(f"--source={path} does not exist")
    if root.is_dir() and not any(root.iterdir()):
        raise UserError(f"--source={path} is an empty directory")
    for name in LAYOUTS if layout == "auto" else [layout]:
        why = LAYOUTS[name].recognise(root)
        if why:
            classes, images = LAYOUTS[name].list_images(root)
            refs = list(images)
            if not refs:
                raise UserError(f"--source={path} (layout {name}, by {why}) holds no images")
            return Source(name, why, str(root), classes, refs)
    wanted = LAYOUTS.values() if layout == "auto" else [LAYOUTS[layout]]
    raise UserError(
        f"--source={path} is of no known layout ({_shown(root)}); wanted: "
        + "; or ".join(entry.description for entry in wanted)
    )


def _shown(root: pathlib.Path) -> str:
    if not root.is_dir():
        return "it is a file"
    names = sorted(path.name for path in root.iterdir())
    return "it holds " + ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")


# The official tars, in place.


def _recognise_tars(root: pathlib.Path) -> str:
    return " and ".join(name for name in (TRAIN_TAR, VALIDATION_TAR) if (root / name).is_file())


def _list_tars(root: pathlib.Path) -> Listed:
    """The train tar of WNID tars, the flat validation tar (either may be missing), the devkit."""
    devkit = _devkit(root)

    def refs() -> Iterator[ImageRef]:
        if (root / TRAIN_TAR).is_file():
            yield from _nested_tar(root / TRAIN_TAR, devkit.classes)
        if (root / VALIDATION_TAR).is_file():
            for entry in containers.tar_entries(root / VALIDATION_TAR):
                yield ImageRef.of(
                    entry, VALIDATION, validation_wnid(entry.name, devkit, entry.path)
                )

    return devkit.classes, refs()


def _nested_tar(path: pathlib.Path, classes: synsets.Classes) -> Iterator[ImageRef]:
    for inner in containers.tar_entries(path):
        wnid = inner.name.rsplit("/", 1)[-1].removesuffix(".tar")
        if wnid not in classes.labels:
            raise UserError(f"{path} holds {inner.name}, which is no class of the devkit")
        for entry in containers.tar_entries(path, inner.offset, inner.size):
            yield ImageRef.of(entry, TRAIN, wnid)


def find_devkit(root: pathlib.Path) -> pathlib.Path | None:
    """The devkit beside a source's images, packed or unpacked."""
    for directory in (root, root.parent) if root.is_file() else (root,):
        for name in (f"{DEVKIT}.tar.gz", f"{DEVKIT}.tar", DEVKIT):
            if (directory / name).exists():
                return directory / name
    return None


def _devkit(root: pathlib.Path) -> synsets.Devkit:
    path = find_devkit(root)
    if path is None:
        raise UserError(
            f"--source={root} holds no {DEVKIT}.tar.gz, from which the labels come: "
            "put the official devkit beside the images"
        )
    return synsets.read_devkit(path)


def validation_wnid(name: str, devkit: synsets.Devkit, path: str) -> str:
    """The class of a validation image, by the number in its file name."""
    match = VALIDATION_NAME.fullmatch(name.rsplit("/", 1)[-1])
    number = int(match[1]) if match else 0
    if not 1 <= number <= len(devkit.validation):
        raise UserError(
            f"{path} holds {name}: the ground truth is for ILSVRC2012_val_00000001.JPEG to "
            f"ILSVRC2012_val_{len(devkit.validation):08d}.JPEG"
        )
    return devkit.validation[number - 1]


# Kaggle's ILSVRC, as the zip that it is downloaded as or unpacked.


def _recognise_kaggle(root: pathlib.Path) -> str:
    return _KAGGLE_CLASSES if trees.locate(root, _KAGGLE_CLASSES) is not None else ""


def _list_kaggle(root: pathlib.Path) -> Listed:
    """ILSVRC/Data/CLS-LOC/train/WNID and val/, the classes and the ground truth beside them."""
    home = trees.locate(root, _KAGGLE_CLASSES) or ""
    pairs = [line.split(" ", 1) for line in trees.text(root, home + _KAGGLE_CLASSES).splitlines()]
    classes = synsets.known_classes([pair[0] for pair in pairs], dict(pairs))
    rows = csv.DictReader(io.StringIO(trees.text(root, home + _KAGGLE_TRUTH)))
    truth = {row["ImageId"]: row["PredictionString"].split()[0] for row in rows}

    def refs() -> Iterator[ImageRef]:
        for parts, entry in trees.images(root, home + "ILSVRC/Data/CLS-LOC/"):
            if parts[0] == "train" and len(parts) == 3:
                yield ImageRef.of(entry, TRAIN, _known(parts[1], classes, entry))
            elif parts[0] == "val":
                wnid = truth.get(parts[-1].split(".")[0])
                if wnid is None:
                    raise UserError(f"{_KAGGLE_TRUTH} does not say what {parts[-1]} is")
                yield ImageRef.of(entry, VALIDATION, _known(wnid, classes, entry))

    return classes, refs()


# Tiny-ImageNet and its like.


def _recognise_tiny(root: pathlib.Path) -> str:
    return _TINY_CLASSES if trees.locate(root, _TINY_CLASSES) is not None else ""


def _list_tiny(root: pathlib.Path) -> Listed:
    """train/WNID/images/, val/images/ with val_annotations.txt, wnids.txt and words.txt."""
    home = trees.locate(root, _TINY_CLASSES) or ""
    words = {}
    if trees.locate(root, _TINY_WORDS) == home:
        lines = trees.text(root, home + _TINY_WORDS).splitlines()
        words = dict(line.split("\t", 1) for line in lines if "\t" in line)
    classes = synsets.known_classes(trees.text(root, home + _TINY_CLASSES).split(), words)
    truth: dict[str, str] = {}
    if trees.locate(root, _TINY_TRUTH) == home:
        lines = trees.text(root, home + _TINY_TRUTH).splitlines()
        truth = {line.split("\t")[0]: line.split("\t")[1] for line in lines if "\t" in line}

    def refs() -> Iterator[ImageRef]:
        for parts, entry in trees.images(root, home):
            if parts[0] == "train" and len(parts) > 2:
                yield ImageRef.of(entry, TRAIN, _known(parts[1], classes, entry))
            elif parts[0] == "val":
                if parts[-1] not in truth:
                    raise UserError(f"{_TINY_TRUTH} does not say what {parts[-1]} is")
                yield ImageRef.of(entry, VALIDATION, _known(truth[parts[-1]], classes, entry))

    return classes, refs()


def _known(wnid: str, classes: synsets.Classes, entry: containers.Entry) -> str:
    if wnid not in classes.labels:
        raise UserError(f"{entry.name} in {entry.path} is of {wnid}, which is no listed class")
    return wnid


# Any split/class/image tree, among them ILSVRC's own tars unpacked.


def _recognise_folders(root: pathlib.Path) -> str:
    home = _tree_home(root)
    return "" if home is None else f"{home}train/ or {home}val/ with images"


def _tree_home(root: pathlib.Path) -> str | None:
    """The directory within a tree that the splits' directories are in."""
    if root.is_dir():
        for up in ("", "*/"):
            for split in _SPLITS:
                for path in sorted(root.glob(up + split)):
                    if path.is_dir():
                        return path.relative_to(root).as_posix().removesuffix(split)
        return None
    for entry in containers.entries(root):
        parts = entry.name.split("/")
        for depth, part in enumerate(parts[:-1]):
            if part in _SPLITS:
                return "".join(f"{above}/" for above in parts[:depth])
    return None


def _list_folders(root: pathlib.Path) -> Listed:
    """train/CLASS/**, val/CLASS/** or, with the devkit beside it, a flat val/."""
    home = _tree_home(root) or ""
    found = find_devkit(root)
    devkit = synsets.read_devkit(found) if found else None
    refs = []
    for parts, entry in trees.images(root, home):
        split = _SPLITS.get(parts[0])
        if split is None or len(parts) < 2:
            continue
        if len(parts) > 2:
            ref = ImageRef.of(entry, split, parts[1])._replace(name="/".join(parts[2:]))
        elif devkit is not None and split == VALIDATION:
            ref = ImageRef.of(entry, split, validation_wnid(parts[-1], devkit, entry.path))
        else:
            raise UserError(
                f"{entry.path} is in no class's folder: put the {DEVKIT}.tar.gz beside "
                f"{parts[0]}/, or move its images into class folders"
            )
        refs.append(ref)
    wnids = {ref.wnid for ref in refs}
    if devkit is not None and wnids <= set(devkit.classes.wnids):
        return devkit.classes, refs
    return synsets.known_classes(sorted(wnids)), refs


# Hugging Face's parquet shards.


def _recognise_parquet(root: pathlib.Path) -> str:
    found = _parquet_files(root)
    return f"{found[0].name} and {len(found) - 1} more" if found else ""


def _parquet_files(root: pathlib.Path) -> list[pathlib.Path]:
    if root.is_file():
        return [root] if root.suffix == ".parquet" else []
    return sorted(path for up in ("", "*/") for path in root.glob(up + "*.parquet"))


def _list_parquet(root: pathlib.Path) -> Listed:
    """SPLIT-00000-of-00294.parquet files with image bytes and labels in sorted-WNID order."""
    files = [path for path in _parquet_files(root) if path.name.split("-")[0] in _SPLITS]
    if not files:
        raise UserError(
            f"no parquet file in {root} is named train-*.parquet or validation-*.parquet"
        )
    names = parquet.class_names(files[0])
    table = synsets.ilsvrc2012()
    # imagenet-1k's labels are numbers in sorted-WNID order, with words for names.
    if names is None or len(names) == len(table.wnids):
        classes, wnids = table, table.wnids
    else:
        classes, wnids = synsets.known_classes(names), tuple(names)

    def refs() -> Iterator[ImageRef]:
        for path in files:
            split = _SPLITS[path.name.split("-")[0]]
            for row in parquet.rows(path):
                if not 0 <= row.label < len(wnids):
                    raise UserError(
                        f"row {row.number} of {path} has label {row.label}: "
                        f"0 to {len(wnids) - 1} are known"
                    )
                name, wnid = row.name, wnids[row.label]
                yield ImageRef(split, wnid, name, str(path), row.number, 0, parquet.ROW)

    return classes, refs()


LAYOUTS: dict[str, Layout] = {
    "tars": Layout(
        _recognise_tars,
        _list_tars,
        f"a directory with {TRAIN_TAR} and/or {VALIDATION_TAR}, and {DEVKIT}.tar.gz",
    ),
    "kaggle": Layout(
        _recognise_kaggle, _list_kaggle, f"Kaggle's zip or folder with {_KAGGLE_CLASSES}"
    ),
    "tiny_imagenet": Layout(
        _recognise_tiny, _list_tiny, f"Tiny-ImageNet's folder, tar or zip with {_TINY_CLASSES}"
    ),
    "parquet": Layout(
        _recognise_parquet, _list_parquet, "Hugging Face's train-*.parquet and validation-*.parquet"
    ),
    "folders": Layout(
        _recognise_folders, _list_folders, "a tree of train/CLASS/image and val/CLASS/image"
    ),
}
