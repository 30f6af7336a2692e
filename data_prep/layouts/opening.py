"""A source by its path: of which layout it is, and what it holds.

A layout is an entry of LAYOUTS: how it is recognised, how its images are listed, and what it looks
like in words. Adding one takes a file beside this one, and a line here.

Where a layout is a tree of files, it may be a directory, a tar or a zip, and may lie one or two
directories deeper than the root.
"""

import itertools
import os
import pathlib
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from base.errors import UserError
from data_prep.layouts import (
    evaluation_sets,
    folders,
    kaggle,
    official_tars,
    parquet_shards,
    tiny_imagenet,
    webdataset,
    winter21,
)
from data_prep.layouts.listed import Each, Listed
from data_prep.schema import DATASET_INFO_FILE, SPLITS
from data_prep.source import containers, naming, trees
from data_prep.source.entries import readable
from data_prep.source.images import EVALUATION, ImageRef, Refs, Source
from data_prep.source.official import DEVKIT, TRAIN_TAR, VALIDATION_TAR
from data_prep.source.remarks import Remarks, shown


class Layout(NamedTuple):
    """One form that a source comes in.

    Attributes:
        recognise: by what a path is seen to be of this layout, in words, or nothing.
        list_images: its classes and images, of the splits that are wanted.
        description: what it looks like.
        by_file: whether `list_images` takes `each`, by which it goes through many files.
    """

    recognise: Callable[[pathlib.Path], str]
    list_images: Callable[..., Listed]
    description: str
    by_file: bool = False


def open_source(
    path: str,
    layout: str = "auto",
    splits: Collection[str] = SPLITS,
    allowed: Collection[str] = (),
    counted: Callable[[Iterable[ImageRef]], Iterable[ImageRef]] = iter,
    each: Each = map,
) -> Source:
    """Lists the images of a source.

    Args:
        path: a directory, a tar or a zip; `~` is the user's home.
        layout: a name in LAYOUTS, or `auto` to recognise it.
        splits: those that are wanted; another one is not read.
        allowed: kinds of remarks that do not stop the job (`remarks.ALLOWED`).
        counted: passes the images on as they are listed, and may say how many there are.
        each: goes through the files of a layout that is listed by file.

    Raises:
        UserError: it is missing, of no known layout, incomplete or damaged.
    """
    root = root_of(path)
    for name in LAYOUTS if layout == "auto" else [layout]:
        why = LAYOUTS[name].recognise(root)
        if why:
            remarks = Remarks(allowed)
            more = {"each": each} if LAYOUTS[name].by_file else {}
            classes, images = LAYOUTS[name].list_images(root, splits, remarks, **more)
            refs = Refs.of(counted(images))
            if not refs:
                raise UserError(_nothing(path, f"layout {name}, by {why}", splits, remarks))
            return Source(name, why, str(root), classes, refs, remarks, tuple(splits))
    wanted = LAYOUTS.values() if layout == "auto" else [LAYOUTS[layout]]
    raise UserError(
        f"--source={path} is of no known layout ({_shown(root)}); wanted: "
        + "; or ".join(entry.description for entry in wanted)
    )


def root_of(path: str) -> pathlib.Path:
    """A path as the user means it. Raises UserError where nothing can be read there."""
    # Absolute, so that a source `.` has its folder's name.
    root = pathlib.Path(os.path.abspath(os.path.expanduser(path)))
    try:
        if not root.exists():
            raise UserError(f"--source={path} does not exist")
        if not root.is_dir():
            _refuse_other(root)
        elif not any(root.iterdir()):
            raise UserError(f"--source={path} is an empty directory")
    except OSError as error:
        raise UserError(
            f"--source={path} cannot be read: {error.strerror}: give yourself the right to"
        ) from None
    return root


def _refuse_other(path: pathlib.Path) -> None:
    """Raises UserError where a file is no archive that can be read in place."""
    with open(path, "rb") as file:
        beginning = file.read(naming.BEGINNING)
    if naming.is_archive(beginning):
        return
    if kind := naming.compression(beginning):
        folder = path.name.split(".")[0]
        how = (
            f"7z x {path} -o{folder}"
            if kind in ("7-Zip", "RAR")
            else f"mkdir {folder} && tar xf {path} -C {folder}"
        )
        raise UserError(
            f"{path} is compressed ({kind}), and cannot be read in place: unpack it ({how}) "
            f"and give --source={folder}, or make it a tar or zip"
        )
    naming.refuse_other(path, beginning, "tar or zip")


def _nothing(path: str, found: str, splits: Collection[str], remarks: Remarks) -> str:
    """The one line about a source without an image, with what was seen instead."""
    of = "" if set(splits) == set(SPLITS) else f" for --split={','.join(splits)}"
    seen = "; ".join(text for level, text in remarks.lines())
    return f"--source={path} ({found}) holds no images{of}" + (f": {seen}" if seen else "")


def _shown(root: pathlib.Path) -> str:
    if not root.is_dir():
        if root.suffix == ".parquet":
            return "it is a file"
        first = itertools.islice(containers.entries(root), 3)
        return "it holds " + ", ".join(shown(entry.name) for entry in first) + " ..."
    names = sorted(readable(path.name) for path in root.iterdir())
    text = "it holds " + ", ".join(shown(name) for name in names[:5])
    text += " ..." if len(names) > 5 else ""
    if naming.split_of(root.name):
        return f"{text}: give the folder above it, {root.parent}"
    if trees.locate(root, DATASET_INFO_FILE) is not None:
        return f"{text}: a data set that is built already: train on it by --data_dir={root}"
    packed = [name for name in names if naming.kind_of(name) in (naming.TAR, naming.PACKED)]
    if not packed:
        return text
    with open(root / packed[0], "rb") as file:
        beginning = file.read(naming.BEGINNING)
    if not (naming.is_archive(beginning) or naming.compression(beginning)):
        naming.refuse_other(root / packed[0], beginning, "archive")
    return f"{text}; to unpack: {kaggle.unpack(packed[0])}"


LAYOUTS: dict[str, Layout] = {
    "tars": Layout(
        official_tars.recognise,
        official_tars.list_images,
        f"a directory with {TRAIN_TAR} and/or {VALIDATION_TAR}, and {DEVKIT}.tar.gz",
    ),
    "parquet": Layout(
        parquet_shards.recognise,
        parquet_shards.list_images,
        "Hugging Face's train-*.parquet and validation-*.parquet",
    ),
    "kaggle": Layout(
        kaggle.recognise,
        kaggle.list_images,
        "Kaggle's zip or folder with LOC_synset_mapping.txt",
    ),
    "tiny_imagenet": Layout(
        tiny_imagenet.recognise,
        tiny_imagenet.list_images,
        "Tiny-ImageNet's folder, tar or zip with wnids.txt",
    ),
    "webdataset": Layout(
        webdataset.recognise,
        webdataset.list_images,
        "WebDataset's tars with train or val in their names, of x.jpg beside x.cls or x.json",
        by_file=True,
    ),
    "folders": Layout(
        folders.recognise,
        folders.list_images,
        "a tree of train/CLASS/image and val/CLASS/image",
    ),
    "winter21": Layout(
        winter21.recognise,
        winter21.list_images,
        "a tar or a folder of class tars n01440764.tar, as ImageNet-21k's",
        by_file=True,
    ),
    EVALUATION: Layout(
        evaluation_sets.recognise,
        evaluation_sets.list_images,
        "a tree of CLASS/image by ILSVRC's WNIDs or all of 0 to 999, as ImageNet-V2's",
    ),
}
