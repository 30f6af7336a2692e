"""Validation while training: every image of a split once, by one crop, and its score."""

import dataclasses
import math
from typing import Any

import keras
import tensorflow as tf

from data_prep import schema
from pipelines.config import Phase
from pipelines.input_pipeline import InputPipeline
from trainers.training import losses
from trainers.training.devices.replicas import Devices
from trainers.training.models import logits_only
from trainers.training.step import maybe_compiled


@dataclasses.dataclass(frozen=True)
class Score:
    """What an evaluation found: means over `images` images; accuracies are fractions."""

    images: int
    loss: float
    top1: float
    top5: float

    def line(self) -> str:
        """The score as people read it."""
        return f"top-1 {self.top1:.1%}, top-5 {self.top5:.1%}, loss {self.loss:.4f}".replace(
            "%", " %"
        )


class CenterCrop:
    """One crop an image, by the flags' --eval_map: the protocol that most figures use.

    Built once, called after every epoch: the compiled step is kept.
    """

    def __init__(
        self,
        model: keras.Model,
        pipeline: InputPipeline,
        devices: Devices,
        split: str = schema.VALIDATION,
        *,
        compiled: bool = False,
    ):
        """Computes nothing yet.

        Args:
            model: the net.
            pipeline: where the images come from.
            devices: what computes.
            split: whose images are scored.
            compiled: whether XLA compiles what is computed.
        """
        self._pipeline, self._devices, self._split = pipeline, devices, split
        strategy, replicas = devices.strategy, devices.replicas
        self._batch_size = math.ceil(pipeline.config.eval_batch_size / replicas)
        self._images = pipeline.dataset.num_records(split)
        self._batches = math.ceil(self._images / (self._batch_size * replicas))
        model = logits_only(model)
        on_device = pipeline.chains(Phase.EVAL).on_device

        def sums_of_batch(batch: dict[str, tf.Tensor]) -> tf.Tensor:
            batch = on_device(batch)
            labels, weight = batch["label"], batch["weight"]
            logits = model(batch["image"], training=False)
            columns = (
                losses.cross_entropy(logits, labels),
                losses.correct(logits, labels, 1),
                losses.correct(logits, labels, losses.TOP_K),
                tf.ones_like(weight),
            )
            # Padding is dropped, not multiplied by 0: its loss may be anything.
            return tf.stack(
                [tf.reduce_sum(tf.where(weight > 0, column, 0.0)) for column in columns]
            )

        compiled_sums = tf.autograph.experimental.do_not_convert(
            maybe_compiled(sums_of_batch, compiled)
        )

        @tf.function
        def sums_of_batches(iterator: Any, count: tf.Tensor) -> tf.Tensor:
            sums = tf.TensorArray(tf.float32, size=count, element_shape=[4])
            for index in tf.range(count):
                parts = strategy.run(compiled_sums, args=(next(iterator),))
                sums = sums.write(index, strategy.reduce("SUM", parts, axis=None))
            return tf.reduce_sum(tf.cast(sums.stack(), tf.float64), axis=0)

        self._sums_of_batches = sums_of_batches

    def evaluate(self) -> Score:
        """Scores the model as it is now, over every image of the split exactly once."""
        iterator = self._devices.distribute(
            lambda: self._pipeline.evaluate(
                self._batch_size, replicas=self._devices.replicas, split=self._split
            )
        )
        sums = self._sums_of_batches(iterator, tf.constant(self._batches)).numpy()
        loss, top1, top5, images = (float(value) for value in sums)
        if images != self._images:
            raise AssertionError(f"{images} images were scored, {self._split} has {self._images}")
        return Score(int(images), loss / images, top1 / images, top5 / images)
