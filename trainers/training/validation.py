"""Validation while training: every image of a split once, by one crop, and its score."""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from data_prep import schema
from pipelines.config import Phase
from pipelines.input_pipeline import InputPipeline
from trainers.training import losses
from trainers.training.devices.replicas import Devices
from trainers.training.models import logits_only
from trainers.training.step import maybe_compiled

# Logits that differ by less, relatively, from image to image are the same: each product of a batch
# may be rounded otherwise.
SAME = 1e-5
CONSTANT = "gives the same logits for all images (its units may be dead): the score is a guess"


@dataclasses.dataclass(frozen=True)
class Score:
    """What an evaluation found: means over `images` images; accuracies are fractions.

    `constant` says that the net gave the same logits for all images; see `same_for_all`.
    """

    images: int
    loss: float
    top1: float
    top5: float
    constant: bool = dataclasses.field(default=False, compare=False)

    def means(self) -> dict[str, Any]:
        """The figures, by the names that files have for them."""
        return {name: getattr(self, name) for name in ("images", "loss", "top1", "top5")}

    def line(self) -> str:
        """The score as people read it."""
        return f"top-1 {self.top1:.1%}, top-5 {self.top5:.1%}, loss {self.loss:.4f}".replace(
            "%", " %"
        )


def same_for_all(low: np.ndarray, high: np.ndarray) -> bool:
    """Whether a net gives the same logits for all images, but for rounding.

    Args:
        low: float [N], each logit's (or probability's) smallest value over the images.
        high: its largest.
    """
    known = np.isfinite(low).all() and np.isfinite(high).all()
    return known and bool((high - low <= SAME * np.maximum(np.abs(low), np.abs(high))).all())


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

        def of_batch(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            """Sums [4] over the images, and each logit's smallest and largest value [N]."""
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
            real = weight > 0
            sums = [tf.reduce_sum(tf.where(real, column, 0.0)) for column in columns]
            low, high = (
                tf.where(real[:, tf.newaxis], logits, bound) for bound in (np.inf, -np.inf)
            )
            return tf.stack(sums), tf.reduce_min(low, axis=0), tf.reduce_max(high, axis=0)

        compiled_batch = tf.autograph.experimental.do_not_convert(
            maybe_compiled(of_batch, compiled)
        )
        classes = model.output.shape[-1]

        @tf.function
        def of_batches(iterator: Any, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            sums = tf.TensorArray(tf.float32, size=count, element_shape=[4])
            low, high = tf.fill([classes], np.inf), tf.fill([classes], -np.inf)
            for index in tf.range(count):
                parts, lows, highs = strategy.run(compiled_batch, args=(next(iterator),))
                sums = sums.write(index, strategy.reduce("SUM", parts, axis=None))
                low = tf.reduce_min([low, *strategy.experimental_local_results(lows)], axis=0)
                high = tf.reduce_max([high, *strategy.experimental_local_results(highs)], axis=0)
            return tf.reduce_sum(tf.cast(sums.stack(), tf.float64), axis=0), low, high

        self._of_batches = of_batches

    def evaluate(self) -> Score:
        """Scores the model as it is now, over every image of the split exactly once."""
        iterator = self._devices.distribute(
            lambda: self._pipeline.evaluate(
                self._batch_size, replicas=self._devices.replicas, split=self._split
            )
        )
        sums, low, high = self._of_batches(iterator, tf.constant(self._batches))
        loss, top1, top5, images = (float(value) for value in sums.numpy())
        if images != self._images:
            raise AssertionError(f"{images} images were scored, {self._split} has {self._images}")
        constant = images > 1 and same_for_all(low.numpy(), high.numpy())
        return Score(int(images), loss / images, top1 / images, top5 / images, constant)
