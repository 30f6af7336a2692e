"""A run's data set as it is stored: what an exported net is checked, measured and calibrated by."""

import dataclasses
import itertools
from collections.abc import Iterator

import tensorflow as tf

from base.errors import UserError
from pipelines.reading.dataset import Dataset, open_dataset
from trainers.serving.classifier import Classifier, Stored


def opened(classifier: Classifier, data_dir: str = "") -> Dataset:
    """The data set that a run was trained on, where it was then or in `data_dir`.

    Raises:
        UserError: it cannot be opened, or its classes are others or in another order.
    """
    config = classifier.config.pipeline
    dataset = open_dataset(dataclasses.replace(config, data_dir=data_dir or config.data_dir))
    if dataset.label_order != classifier.dataset.label_order:
        raise UserError(f"{dataset.directory} has other classes than the run, or in another order")
    return dataset


def first_images(dataset: Dataset, split: str, count: int) -> Iterator[tuple[Stored, int]]:
    """The first `count` images of a split with their labels, as they lie in the shards."""
    opener = dataset.shard_opener(split)
    records = itertools.chain.from_iterable(
        opener(tf.constant(shard, tf.int64)).as_numpy_iterator()
        for shard in range(len(dataset.split(split)))
    )
    for record in itertools.islice(records, count):
        example = {name: each[0] for name, each in dataset.parse(tf.constant([record])).items()}
        pixels = dataset.decoder.decode(example).numpy()
        yield Stored(example["image"].numpy(), pixels), int(example["label"])
