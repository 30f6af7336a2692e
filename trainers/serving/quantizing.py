"""Smaller numbers in a TFLite net, and what they cost: its accuracy beside the float32 net's."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from data_prep import schema
from pipelines.reading.dataset import Dataset
from trainers.serving.classifier import Classifier
from trainers.serving.config import FLOAT16, ExportConfig
from trainers.serving.stored_images import first_images
from trainers.training import losses

CALIBRATION_IMAGES = 128
_BATCH = 32

Runner = Callable[[np.ndarray], np.ndarray]


def quantize(
    converter: tf.lite.TFLiteConverter, form: str, classifier: Classifier, dataset: Dataset
) -> None:
    """Has a converter write float16 weights, or int8 weights and features.

    The ranges of int8 features are those on the first training images, cropped as in evaluation;
    what has no int8 kernel stays float32. Shards are shuffled, so the first images are any.
    """
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if form == FLOAT16:
        converter.target_spec.supported_types = [tf.float16]
        return

    def crops() -> Iterator[list[np.ndarray]]:
        for stored, _ in first_images(dataset, schema.TRAIN, CALIBRATION_IMAGES):
            yield [classifier.crops([stored])]

    converter.representative_dataset = crops


def described(
    config: ExportConfig, classifier: Classifier, dataset: Dataset, runner: Runner
) -> dict[str, Any]:
    """What a quantized net scores and what the float32 net does, on the same validation images.

    Returns, for the metadata, `quantized` and `accuracy`: the number of `images` and, for `float32`
    and the form, `top1` and `top5` as fractions.
    """
    total = dataset.num_records(schema.VALIDATION)
    images = first_images(dataset, schema.VALIDATION, config.accuracy_images or total)
    right = {"float32": np.zeros(2), config.quantize: np.zeros(2)}
    count = 0
    while batch := list(itertools.islice(images, _BATCH)):
        crops = classifier.crops([stored for stored, _ in batch])
        labels = tf.constant([label for _, label in batch])
        for name, run in (("float32", classifier.logits), (config.quantize, runner)):
            logits = tf.constant(run(crops))
            hits = [losses.correct(logits, labels, k) for k in (1, losses.TOP_K)]
            right[name] += [float(tf.reduce_sum(each)) for each in hits]
        count += len(batch)
    scores = {
        name: {"top1": float(sums[0] / count), "top5": float(sums[1] / count)}
        for name, sums in right.items()
    }
    return {"quantized": config.quantize, "accuracy": {"images": count, **scores}}
