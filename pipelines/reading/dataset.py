"""Opens a data set: what is in it, whether it can be used, and its serialized records.

Ours (with a `manifest.json`) and any other directory that TensorFlow Datasets has written, with an
image and a label in each record, are read alike; ours can be checked more.
"""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf
from etils import epath

from base.chosen_classes import chosen_classes
from base.errors import UserError
from data_prep import schema
from pipelines.config import IN_MEMORY, NO_CACHE, SYNTHETIC, PipelineConfig
from pipelines.functions.decoders import AnyDecoder, Decoder, JpegDecoder, RawDecoder
from pipelines.reading import dataset_options, tfds_directory
from pipelines.reading.shard_files import (
    ShardFile,
    copied_to,
    counts_of_labels,
    read,
    refuse_unlabelled,
    refuse_unreadable,
    with_labels,
)

REBUILD = "run data_prep/verify_tfrecords.py --repair, or build the data set again"

# As many training images as ILSVRC 2012 has; few to evaluate, because there is nothing to learn.
SYNTHETIC_RECORDS = schema.ILSVRC2012_IMAGES | {schema.VALIDATION: 1_000}
# Of levels that are uniform over 0..255, so that every flag file runs on synthetic data.
_VARIANCE = (256**2 - 1) / 12
SYNTHETIC_STATISTICS = schema.Statistics(
    channel_mean=np.full(3, 127.5),
    channel_std=np.full(3, _VARIANCE**0.5),
    eigenvalues=np.full(3, _VARIANCE),
    eigenvectors=np.eye(3),
    mean_image=np.broadcast_to(127.5, (512, 512, 3)),  # wider than any net's images
)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """One opened data set.

    Attributes:
        directory: where it is; None for synthetic data.
        wnids: the classes in label order (names, where the data set has no WNIDs).
        words: each class's words, likewise.
        shards: the files of each split, in order.
        decoder: how its images are decoded.
        has_sizes: whether records hold the image's height and width.
        statistics: of its training pixels, or None.
        manifest: how it was made, or None.
        kept_labels: the stored labels that become 0..N-1, or None if all are as they are stored.
        in_memory: whether records are kept in memory.
        remark: a line about what is not read of it, or is taken for something else, or nothing.
    """

    directory: epath.Path | None
    wnids: tuple[str, ...]
    words: tuple[str, ...]
    shards: Mapping[str, tuple[ShardFile, ...]]
    decoder: Decoder
    has_sizes: bool
    statistics: schema.Statistics | None = None
    manifest: schema.Manifest | None = None
    kept_labels: tuple[int, ...] | None = None
    in_memory: bool = False
    remark: str = ""

    @property
    def num_classes(self) -> int:
        """How many labels there are."""
        return len(self.wnids)

    @property
    def label_order(self) -> str:
        """The hash of the classes in label order."""
        return schema.label_order_hash(self.wnids)

    def split(self, name: str) -> tuple[ShardFile, ...]:
        """The shards of a split. Raises UserError where there is no such split."""
        if name not in self.shards:
            known = ", ".join(sorted(self.shards)) or "none"
            raise UserError(f"{self.directory} has no split {name!r} (it has: {known})")
        return self.shards[name]

    def num_records(self, split: str) -> int:
        """How many images the split has."""
        return sum(shard.records for shard in self.split(split))

    def record_bytes(self, split: str) -> float:
        """The mean size of the split's records, in bytes."""
        shards = self.split(split)
        total = sum(shard.bytes or epath.Path(shard.path).stat().length for shard in shards)
        return total / sum(shard.stored_records for shard in shards)

    def shard_opener(self, split: str) -> Callable[[tf.Tensor], tf.data.Dataset]:
        """A function from a shard's number, int64 [], to its serialized records, string []."""
        shards = self.split(split)
        paths = tf.constant([shard.path for shard in shards])

        def open_file(shard: tf.Tensor) -> tf.data.Dataset:
            records = read(tf.gather(paths, shard))
            return records if self.kept_labels is None else with_labels(records, self.kept_labels)

        if not self.in_memory:
            return open_file
        everything = tf.data.Dataset.range(len(shards)).flat_map(open_file)
        everything = everything.with_options(dataset_options.unattended())
        kept = tf.constant(list(everything.as_numpy_iterator()))
        counts = np.array([shard.records for shard in shards])
        stops = tf.constant(np.cumsum(counts))
        starts = tf.constant(np.cumsum(counts) - counts)

        def open_kept(shard: tf.Tensor) -> tf.data.Dataset:
            numbers = tf.data.Dataset.range(tf.gather(starts, shard), tf.gather(stops, shard))
            return numbers.map(lambda number: tf.gather(kept, number))

        return open_kept

    def records(self, split: str) -> tf.data.Dataset:
        """The split's serialized records, string [], in stored order."""
        shards = tf.data.Dataset.range(len(self.split(split)))
        records = shards.flat_map(self.shard_opener(split))
        return records.apply(tf.data.experimental.assert_cardinality(self.num_records(split)))

    def refuse_smaller(self, side: int, flag: str) -> None:
        """Raises UserError where it is known to store images whose shorter side is below `side`.

        The other geometries promise no shorter side; the crop itself refuses there.
        """
        settings = self.manifest.settings if self.manifest else None
        if settings is None or settings.geometry not in ("short_side", "square_crop", "warp"):
            return
        if settings.size < side:
            raise UserError(
                f"{self.directory} holds {settings.config_name()}, {flag} crops {side} pixels: "
                f"crop less, or build a data set with --size={side} or more"
            )

    def given(self) -> dict[str, object]:
        """What map functions may ask for."""
        return {
            "decoder": self.decoder,
            "statistics": self.statistics,
            "num_classes": self.num_classes,
        }

    def parse(self, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        """Parses records, string [k]: `image` string, `label`, `height`, `width` int32, all [k]."""
        number = tf.io.FixedLenFeature([], tf.int64)
        features = {schema.IMAGE: tf.io.FixedLenFeature([], tf.string), schema.LABEL: number}
        if self.has_sizes:
            features |= {schema.HEIGHT: number, schema.WIDTH: number}
        parsed = tf.io.parse_example(serialized, features)
        if self.has_sizes:
            height, width = parsed[schema.HEIGHT], parsed[schema.WIDTH]
        else:
            height, width = self.decoder.shapes(parsed[schema.IMAGE])
        label = parsed[schema.LABEL]
        if self.kept_labels is not None:
            label = tf.searchsorted(tf.constant(self.kept_labels, tf.int64), label)
        return {
            "image": parsed[schema.IMAGE],
            "label": tf.cast(label, tf.int32),
            "height": tf.cast(height, tf.int32),
            "width": tf.cast(width, tf.int32),
        }


def open_dataset(config: PipelineConfig) -> Dataset:
    """Opens and checks what the flags name.

    Raises:
        UserError: no data set, shards missing, empty or of another size than when they were built,
            another geometry than the flags ask for, unknown classes.
    """
    if config.data == SYNTHETIC:
        names = tuple(f"synthetic{label:05d}" for label in range(config.synthetic_classes))
        shards = {
            split: (ShardFile("", count, 0, count),) for split, count in SYNTHETIC_RECORDS.items()
        }
        return Dataset(
            None,
            names,
            names,
            shards,
            JpegDecoder(),
            has_sizes=True,
            statistics=SYNTHETIC_STATISTICS,
        )
    directory = schema.find_dataset(config.data_dir)
    if (directory / schema.MANIFEST_FILE).is_file():
        dataset = _open_ours(directory, config)
    else:
        dataset = _open_foreign(directory, config)
    _refuse_geometry(dataset, config)
    if config.classes:
        dataset = _with_classes(dataset, config.classes)
    if config.cache == IN_MEMORY:
        dataset = dataclasses.replace(dataset, in_memory=True)
    elif config.cache != NO_CACHE:
        # Under a name of its own: two data sets may have shards of the same names.
        path_hash = hashlib.sha256(str(directory).encode()).hexdigest()
        identity = dataset.manifest.sha256 if dataset.manifest else path_hash
        place = os.path.join(config.cache, identity[:12])
        copies = {split: copied_to(shards, place) for split, shards in dataset.shards.items()}
        dataset = dataclasses.replace(dataset, shards=copies)
    return dataset


def _open_ours(directory: epath.Path, config: PipelineConfig) -> Dataset:
    manifest = schema.Manifest.load(directory)
    if schema.label_order_hash(manifest.wnids) != manifest.label_order:
        raise UserError(
            f"{directory / schema.MANIFEST_FILE}: label_order is not the hash of its wnids, so the "
            "labels cannot be trusted: build the data set again"
        )
    shards = {
        split: tuple(
            ShardFile(os.fspath(directory / shard.file), shard.records, shard.bytes, shard.records)
            for shard in listed
        )
        for split, listed in manifest.shards.items()
    }
    for listed in shards.values():
        refuse_unreadable(listed, REBUILD)
    raw = manifest.settings.encoding == "raw"
    return Dataset(
        directory,
        manifest.wnids,
        manifest.words,
        shards,
        RawDecoder() if raw else JpegDecoder(config.decoding),
        has_sizes=True,
        statistics=schema.Statistics.load(directory),
        manifest=manifest,
    )


def _open_foreign(directory: epath.Path, config: PipelineConfig) -> Dataset:
    found = tfds_directory.read_metadata(directory)
    for listed in found.shards.values():
        refuse_unreadable(listed, "prepare it again with TensorFlow Datasets")
    refuse_unlabelled(found.shards, len(found.names))
    jpeg = JpegDecoder(config.decoding)
    return Dataset(
        directory,
        found.names,
        found.names,
        found.shards,
        jpeg if found.encoding == "jpeg" else AnyDecoder(jpeg),
        has_sizes=False,
        remark=found.remark,
    )


def _refuse_geometry(dataset: Dataset, config: PipelineConfig) -> None:
    """Refuses images other than the flags ask for."""
    settings = dataset.manifest.settings if dataset.manifest else None
    found = settings.config_name() if settings else "images of any size, not made by this workspace"
    wanted = [config.geometry] if config.geometry else []
    wanted += [f"size {config.size}"] if config.size else []
    matches = settings is not None and (
        config.geometry in ("", settings.geometry) and config.size in (0, settings.size)
    )
    if wanted and not matches:
        raise UserError(
            f"{dataset.directory} holds {found}, the flags ask for {' '.join(wanted)}: name "
            "another --data_dir, or build one with build_tfrecords.py --geometry --size"
        )


def _with_classes(dataset: Dataset, classes: Sequence[str]) -> Dataset:
    """The data set with some of its classes only, labelled 0..N-1 in the same order."""
    chosen = chosen_classes(",".join(classes), dataset.wnids, str(dataset.directory))
    if chosen is None:
        return dataset
    kept = list(chosen)
    shards = {
        split: tuple(
            dataclasses.replace(shard, records=int(np.sum(counts[kept])))
            for shard, counts in zip(
                listed, counts_of_labels(listed, dataset.num_classes), strict=True
            )
        )
        for split, listed in dataset.shards.items()
    }
    return dataclasses.replace(
        dataset,
        wnids=tuple(dataset.wnids[label] for label in kept),
        words=tuple(dataset.words[label] for label in kept),
        shards=shards,
        kept_labels=tuple(kept),
    )
