"""A split's images beside their scores: their file names, and small pictures of a few of them."""

import io
from collections.abc import Iterable

import tensorflow as tf
from PIL import Image

from data_prep import schema
from pipelines.reading import dataset_options
from pipelines.reading.dataset import Dataset

# The longer side in pixels, and the quality as JPEG: some 4 KB each.
_SIDE, _QUALITY = 128, 80


def file_names(dataset: Dataset, split: str) -> list[str]:
    """The source's name of each image of a split, by position; empty where records have none."""
    features = {schema.FILE_NAME: tf.io.FixedLenFeature([], tf.string, "")}
    parts = dataset.records(split).batch(1024)
    names = parts.map(lambda part: tf.io.parse_example(part, features)[schema.FILE_NAME])
    names = names.with_options(dataset_options.unattended())
    return [name.decode(errors="replace") for part in names.as_numpy_iterator() for name in part]


def pictures(dataset: Dataset, split: str, positions: Iterable[int]) -> dict[int, bytes]:
    """Some stored images of a split, made small, as JPEG files by position."""
    wanted = sorted(positions)
    kept = tf.constant(wanted, tf.int64)
    records = dataset.records(split).enumerate()
    records = records.filter(lambda number, _: tf.reduce_any(tf.equal(number, kept)))
    records = records.map(lambda _, record: record).with_options(dataset_options.unattended())
    found = {}
    for position, record in zip(wanted, records, strict=True):
        example = {name: each[0] for name, each in dataset.parse(record[tf.newaxis]).items()}
        image = Image.fromarray(dataset.decoder.decode(example).numpy()[..., :3])
        image.thumbnail((_SIDE, _SIDE))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=_QUALITY)
        found[position] = file.getvalue()
    return found
