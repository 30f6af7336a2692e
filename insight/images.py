"""The images that figures are made of, as the net is given them, and what nets say of them."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from base.errors import UserError
from insight.config import FiguresConfig
from trainers.serving import predictions, stored_images
from trainers.serving.classifier import Classifier

_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Images:
    """Some images.

    Attributes:
        crops: uint8 [n, height, width, 3], what the net is given.
        labels: int [n], the truth; -1 where it is not known.
        names: each one's file name; empty for those of a data set.
    """

    crops: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        """How many."""
        return len(self.crops)


def of_files(classifier: Classifier, named: Sequence[str]) -> Images:
    """Files, and those in folders; a warning for each that cannot be read.

    Raises UserError where there is none that can.
    """
    files = predictions.find_files(named)
    said = list(predictions.predict(classifier, files, batch_size=_BATCH, keep_going=True))
    if not said:
        raise UserError(f"none of {len(files)} files could be read")
    return Images(
        np.stack([each.crop for each in said]),
        np.array([each.truth.label if each.truth else -1 for each in said]),
        tuple(each.path.name for each in said),
    )


def of_split(classifier: Classifier, config: FiguresConfig, split: str, count: int) -> Images:
    """The first images of a split, which are a random part of it.

    Raises UserError where the data set is gone or has other classes.
    """
    dataset = stored_images.opened(classifier, config.data_dir)
    found = stored_images.first_images(dataset, split, count)
    crops, labels = [], []
    bar = tqdm(
        total=min(count, dataset.num_records(split)), unit="image", leave=False, disable=None
    )
    while part := list(itertools.islice(found, _BATCH)):
        crops.append(classifier.crops([stored for stored, _ in part]))
        labels += [label for _, label in part]
        bar.update(len(part))
    bar.close()
    if not labels:
        raise UserError(f"{dataset.directory} has no {split} images")
    return Images(np.concatenate(crops), np.array(labels), ("",) * len(labels))


def given(classifier: Classifier, model: keras.Model, crops: np.ndarray) -> Iterator[np.ndarray]:
    """What a part of the classifier's net gives for crops, some at a time: float32 [k, ...]."""

    @tf.function(autograph=False, reduce_retracing=True)
    def of_part(part: tf.Tensor) -> tf.Tensor:
        return tf.cast(model(classifier.normalized(part), training=False), tf.float32)

    bar = tqdm(total=len(crops), unit="image", leave=False, disable=None)
    for start in range(0, len(crops), _BATCH):
        part = crops[start : start + _BATCH]
        yield of_part(tf.constant(part)).numpy()
        bar.update(len(part))
    bar.close()


def features(classifier: Classifier, model: keras.Model, crops: np.ndarray) -> np.ndarray:
    """What a part of the net gives for all crops at once, float32 [n, ...]."""
    return np.concatenate(list(given(classifier, model, crops)))
