"""What one record, and one data set directory, hold: the contract between the rooms.

A data set directory `<data_dir>/<name>/<config>/1.0.0/` (name: `ilsvrc2012`, ...) is a valid
TensorFlow Datasets directory, so `tfds.builder_from_directory` reads it without this module. It
holds:

- `<name>-<split>.tfrecord-00000-of-00128`: shards of `tf.train.Example`, splits `train` and
  `validation`, with the features named below;
- `features.json`, `dataset_info.json`, `label.labels.txt`: TensorFlow Datasets' metadata
  (`dataset_info.json` is written last: without it the directory is unfinished);
- `manifest.json` (`Manifest`) and `statistics.npz` (`Statistics`).

Labels are 0..N-1 in the sorted order of the WNIDs. That order is hashed (`label_order_hash`), and
the hash goes into every checkpoint and export, because a net that is scored in another order
scores nothing and says nothing.
"""

import dataclasses
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from etils import epath

from base import typed_json
from base.errors import UserError
from base.files import matching

VERSION = "1.0.0"
TRAIN = "train"
VALIDATION = "validation"
SPLITS = (TRAIN, VALIDATION)

# ILSVRC 2012 (Russakovsky et al. 2015, table 2): classes, and images by split.
ILSVRC2012_CLASSES = 1000
ILSVRC2012_IMAGES = {TRAIN: 1_281_167, VALIDATION: 50_000}

# Files of a directory that count as images, by the end of their names in lower case.
IMAGE_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("jpeg", "jpg", "jpe", "jfif", "jp2", "png", "gif", "bmp", "webp", "avif"),
        *("tif", "tiff", "ppm", "pgm"),
    )
)

# Features of one record.
IMAGE = "image"  # bytes: JPEG (or raw pixels, by ImageSettings.encoding), RGB
LABEL = "label"  # int64: 0..N-1
FILE_NAME = "file_name"  # bytes: the source's file name, e.g. n01440764_10026.JPEG
HEIGHT = "height"  # int64: pixels, of the stored image
WIDTH = "width"  # int64: pixels, of the stored image

MANIFEST_FILE = "manifest.json"
MANIFEST_FORMAT = 1  # the newest that is known; 0: without a number, and otherwise the same
STATISTICS_FILE = "statistics.npz"
DATASET_INFO_FILE = "dataset_info.json"

GEOMETRIES = ("short_side", "square_crop", "warp", "longest_side", "none")
ENCODINGS = ("jpeg", "raw")


@dataclasses.dataclass(frozen=True)
class ImageSettings:
    """How every image of a data set was made: what the bytes of a shard depend on.

    Attributes:
        geometry: one of GEOMETRIES. `short_side`: the shorter side becomes `size` pixels, the
            aspect ratio is kept. `square_crop`: that, then the central square. `warp`: both sides
            become `size`. `longest_side`: the longer side is at most `size`. `none`: as it is.
        size: pixels.
        encoding: one of ENCODINGS.
        quality: JPEG quality, 1 to 100.
        chroma: JPEG chroma subsampling, `420` or `444`.
        exif: whether the EXIF orientation is honoured (ILSVRC's own convention ignores it).
        repair: whether a truncated JPEG is stored with its missing part gray (else rejected).
        restart_markers: whether JPEGs are encoded with a restart marker after each group of blocks,
            so that a crop is decoded without the rest. The pixels are no others.
    """

    geometry: str = "short_side"
    size: int = 256
    encoding: str = "jpeg"
    quality: int = 90
    chroma: str = "420"
    exif: bool = False
    repair: bool = False
    restart_markers: bool = False

    def config_name(self) -> str:
        """The data set's config in TensorFlow Datasets' sense, e.g. `short_side_256_jpeg_q90`."""
        size = "" if self.geometry == "none" else f"_{self.size}"
        encoding = f"jpeg_q{self.quality}" if self.encoding == "jpeg" else self.encoding
        extras = ("_444" if self.chroma == "444" else "") + ("_exif" if self.exif else "")
        return f"{self.geometry}{size}_{encoding}{extras}" + ("_repair" if self.repair else "")


@dataclasses.dataclass(frozen=True)
class Shard:
    """One finished shard file of a split."""

    file: str
    records: int
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a data set directory was made from, and what is in it.

    Attributes:
        name: the data set's name in TensorFlow Datasets' sense, e.g. `ilsvrc2012`.
        source: layout, fingerprint (of names and sizes), content (a hash of some of its bytes) and
            number of images.
        generated: whether the images are the embedded sample's, not photographs.
        settings: how every image was made.
        seed: of the global shuffle.
        selection: which images of the source were asked for: {splits, classes, max_per_class,
            holdout}.
        wnids: the classes in label order.
        words: each class's words, in label order.
        label_order: `label_order_hash(wnids)`.
        shards: per split, in order.
        rejected: one dict {split, name, reason} for each image of the source that is in no shard.
    """

    name: str
    source: dict[str, Any]
    generated: bool
    settings: ImageSettings
    seed: int
    wnids: tuple[str, ...]
    words: tuple[str, ...]
    label_order: str
    shards: dict[str, tuple[Shard, ...]]
    rejected: tuple[dict[str, str], ...]
    selection: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        """How many labels there are."""
        return len(self.wnids)

    def num_records(self, split: str) -> int:
        """How many records the split's shards hold."""
        return sum(shard.records for shard in self.shards[split])

    @property
    def sha256(self) -> str:
        """What runs record of the data set, in hex digits: the hash of all that is said here.

        It is of the text that manifests of format 0 have, so that it stays the same for one data
        set, whichever version has written the file: without the hash of the source's content,
        which older ones have not, and which the shards' hashes cover, and without what was not yet
        a setting.
        """
        said = dataclasses.asdict(self)
        if not self.settings.restart_markers:
            del said["settings"]["restart_markers"]
        said["source"] = {key: value for key, value in self.source.items() if key != "content"}
        text = json.dumps(said, indent=1, sort_keys=True) + "\n"
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> str:
        """The manifest file's text: deterministic, one line per entry of a list."""
        return typed_json.write(self, MANIFEST_FORMAT)

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> "Manifest":
        """Reads `manifest.json`.

        Raises UserError where it is missing, damaged, or of a newer format.
        """
        path = epath.Path(directory) / MANIFEST_FILE
        try:
            manifest: Manifest = typed_json.read(path.read_bytes(), cls, MANIFEST_FORMAT)
        except FileNotFoundError:
            raise UserError(f"{path} is missing: build the data set again") from None
        except typed_json.NewerFormatError as error:
            raise UserError(f"{path} {error}") from None
        except typed_json.FileError as error:
            raise UserError(f"{path} {error}: build the data set again") from None
        return manifest


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Statistics of the train split's pixels, in levels 0..255, RGB, float64.

    Attributes:
        channel_mean: [3], over all pixels of all images (each pixel weighs the same).
        channel_std: [3], likewise.
        eigenvalues: [3], of the RGB covariance, in levels squared, descending: the principal
            components of AlexNet's colour augmentation (Krizhevsky et al. 2012, section 4.1).
        eigenvectors: [3, 3], columns are the unit eigenvectors, rows R, G, B.
        mean_image: [size, size, 3], the mean of the central squares, or None where the geometry
            does not give every image one of the same size.
        class_counts: int64 [N], images of each label.
        sizes: int64 [K, 2], the (height, width) that occur, sorted.
        size_counts: int64 [K], images of each of these sizes.
    """

    channel_mean: np.ndarray
    channel_std: np.ndarray
    eigenvalues: np.ndarray
    eigenvectors: np.ndarray
    mean_image: np.ndarray | None
    class_counts: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    sizes: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 2), np.int64))
    size_counts: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """What `statistics.npz` holds: the attributes by name, without those that are None."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> "Statistics":
        """Reads `statistics.npz`. Raises UserError where it is missing or unreadable."""
        path = epath.Path(directory) / STATISTICS_FILE
        try:
            with np.load(io.BytesIO(path.read_bytes())) as arrays:
                return cls(**{"mean_image": None, **arrays})
        except FileNotFoundError:
            raise UserError(f"{path} is missing: build the data set again") from None
        except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"{path} cannot be read ({error})") from None


def label_order_hash(wnids: Sequence[str]) -> str:
    """The SHA-256 of the WNIDs in label order, as hex digits."""
    return hashlib.sha256("\n".join(wnids).encode()).hexdigest()


def shard_file(name: str, split: str, index: int, count: int) -> str:
    """A shard's file name, as TensorFlow Datasets has it."""
    return f"{name}-{split}.tfrecord-{index:05d}-of-{count:05d}"


def find_dataset(data_dir: str | os.PathLike[str], *, flag: str = "--data_dir") -> epath.Path:
    """The finished data set directory that `data_dir` is, or the only one that it holds.

    Raises UserError, which names the flag, where there is none, an unfinished one only, or several
    to choose from.
    """
    root = epath.Path(data_dir).expanduser()
    if not root.is_dir():
        raise UserError(
            f"{flag}={root} is not a directory: name where the data set is, or build it "
            "(build_tfrecords.py)"
        )
    if (root / DATASET_INFO_FILE).is_file():
        return root
    found = [
        path.parent
        for depth in range(1, 4)
        for path in matching(root, "*/" * depth + DATASET_INFO_FILE)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(str(path) for path in found)
        raise UserError(f"{flag}={root} holds {len(found)} data sets ({listed}): name one")
    raise UserError(
        f"{flag}={root} holds no finished data set (no {DATASET_INFO_FILE}): "
        "run data_prep/build_tfrecords.py, which continues where it stopped"
    )
