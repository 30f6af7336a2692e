"""The classes of a source: their label order, their words, and ILSVRC 2012's own numbering.

A label is a class's position in the sorted order of the WNIDs, 0..N-1. ILSVRC's devkit numbers
the same classes 1..1000 in another order (ILSVRC2012_ID - 1 equals the label for none of them),
so those numbers are read here, translated, and never seen again.

`synsets.tsv` beside this file is the 1000 classes as the devkit's `meta.mat` has them, for sources
that come without a devkit.
"""

import csv
import dataclasses
import functools
import importlib.resources
import io
import pathlib
import tarfile
from collections.abc import Sequence
from typing import Any

from base.errors import UserError

META_FILE = "meta.mat"
GROUND_TRUTH_FILE = "ILSVRC2012_validation_ground_truth.txt"


@dataclasses.dataclass(frozen=True)
class Classes:
    """The classes of a source, in label order.

    Attributes:
        wnids: sorted; a class's label is its index.
        words: each class's words, comma-separated; not unique (ILSVRC has two "crane").
        train_images: how many training images each class has, or None where nothing says so.
    """

    wnids: tuple[str, ...]
    words: tuple[str, ...]
    train_images: tuple[int, ...] | None = None

    @functools.cached_property
    def labels(self) -> dict[str, int]:
        """WNID to label."""
        return {wnid: label for label, wnid in enumerate(self.wnids)}


@dataclasses.dataclass(frozen=True)
class Devkit:
    """What the development kit says.

    Attributes:
        classes: the leaf synsets.
        validation: the WNID of each validation image; image number n is at index n - 1.
    """

    classes: Classes
    validation: tuple[str, ...]


@functools.cache
def ilsvrc2012() -> Classes:
    """ILSVRC 2012's 1000 classes."""
    table = importlib.resources.files("data_prep.source").joinpath("synsets.tsv").read_text("utf-8")
    rows = list(csv.DictReader(io.StringIO(table), delimiter="\t", quoting=csv.QUOTE_NONE))
    return Classes(
        wnids=tuple(row["wnid"] for row in rows),
        words=tuple(row["words"] for row in rows),
        train_images=tuple(int(row["num_train_images"]) for row in rows),
    )


def known_classes(wnids: Sequence[str], words: dict[str, str] | None = None) -> Classes:
    """The classes with these names, sorted, with ILSVRC's words and counts where it has them all.

    Args:
        wnids: the classes' names, in any order.
        words: what the source itself says that they mean.
    """
    table = ilsvrc2012()
    order = tuple(sorted(set(wnids)))
    said = dict(zip(table.wnids, table.words, strict=True)) | (words or {})
    return Classes(
        wnids=order,
        words=tuple(said.get(wnid, wnid) for wnid in order),
        train_images=table.train_images if order == table.wnids else None,
    )


def read_devkit(path: pathlib.Path) -> Devkit:
    """Reads the devkit, as the official tar.gz or unpacked.

    Args:
        path: the archive, or a directory that holds its `data` files at any depth.

    Raises:
        UserError: one of its two files is missing or is not what it should be.
    """
    meta, truth = _devkit_files(path)
    by_id, classes = _read_meta(meta, path)
    lines = truth.decode("ascii", "replace").split()
    try:
        validation = tuple(by_id[int(line)] for line in lines)
    except (ValueError, KeyError) as error:
        raise UserError(
            f"{GROUND_TRUTH_FILE} in {path} holds {error}, which is no ILSVRC2012_ID of a leaf "
            f"synset in {META_FILE}: the devkit is damaged or the two files do not belong together"
        ) from None
    return Devkit(classes, validation)


def _devkit_files(path: pathlib.Path) -> tuple[bytes, bytes]:
    wanted = (META_FILE, GROUND_TRUTH_FILE)
    found: dict[str, bytes] = {}
    try:
        if path.is_dir():
            for name in wanted:
                for file in sorted(path.rglob(name)):
                    found[name] = file.read_bytes()
        else:
            with tarfile.open(path) as archive:
                for member in archive:
                    name = member.name.rsplit("/", 1)[-1]
                    content = archive.extractfile(member) if name in wanted else None
                    if content is not None:
                        found[name] = content.read()
    except (OSError, EOFError, tarfile.TarError) as error:
        raise UserError(f"the devkit {path} cannot be read ({error}): download it again") from None
    for name in wanted:
        if name not in found:
            raise UserError(f"the devkit {path} holds no {name}: download it again")
    return found[META_FILE], found[GROUND_TRUTH_FILE]


def _read_meta(content: bytes, path: pathlib.Path) -> tuple[dict[int, str], Classes]:
    """ILSVRC2012_ID to WNID, and the classes, of the leaf synsets in a `meta.mat`."""
    import scipy.io

    try:
        synsets: Any = scipy.io.loadmat(io.BytesIO(content), squeeze_me=True)["synsets"]
        leaves = sorted(
            (str(row["WNID"]), int(row["ILSVRC2012_ID"]), str(row["words"]), row)
            for row in synsets
            if int(row["num_children"]) == 0
        )
        classes = Classes(
            wnids=tuple(wnid for wnid, _, _, _ in leaves),
            words=tuple(words for _, _, words, _ in leaves),
            train_images=tuple(int(row["num_train_images"]) for _, _, _, row in leaves),
        )
    except Exception as error:  # scipy raises nearly anything for a damaged file
        raise UserError(
            f"{META_FILE} in the devkit {path} cannot be read ({error}): download it again"
        ) from None
    return {number: wnid for wnid, number, _, _ in leaves}, classes
