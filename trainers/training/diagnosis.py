"""What is wrong with a training that goes wrong, in words.

Three questions: is the data degenerate (before the first step), has the loss stayed at chance
level, and where does the first value that is not finite come from. Each looks at one global batch,
made again from its number, and answers in lines for people. `Inquiry` asks them for one run.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from base.files import atomic
from pipelines.config import OWN_SHARDS
from pipelines.input_pipeline import InputPipeline
from pipelines.reading.order import ALONE
from trainers.training import losses
from trainers.training.logbook import Logbook
from trainers.training.teacher import TAUGHT
from trainers.training.trainer import Trainer

NON_FINITE_FILE = "non_finite_step_{}.npz"
# A loss that is not below that of guessing by more than this share is at chance level.
CHANCE_MARGIN = 0.02
# Below this share of the largest level a batch's images count as constant.
CONSTANT_STD = 1e-3
# Images that are enough to see which units are dead, of which every layer's output is kept.
MOST_IMAGES = 64


class Inquiry:
    """The questions of one run; a batch is a pure function of its number, so any can be asked."""

    def __init__(self, trainer: Trainer, run_dir: pathlib.Path, logbook: Logbook):
        """Asks nothing yet."""
        self._config, self._net = trainer.config, trainer.net
        self._objective = trainer.step.objective
        self._run_dir, self._logbook = run_dir, logbook
        devices, pipeline = trainer.devices, trainer.pipeline
        # Where machines read shards of their own, each can make its own part of a batch only.
        own = pipeline.config.host_reading == OWN_SHARDS
        self._host = devices.host if own else ALONE
        self._pipeline = InputPipeline(pipeline.dataset, pipeline.config, self._host)
        self._on_device = trainer.on_device
        self._replicas = devices.replicas // self._host.count
        self._chief = devices.workers.chief

    def look_at_first_batch(self) -> None:
        """Before the first step: says so where its labels are all alike or its images constant.

        Shows its first images to TensorBoard where the flags ask for it.
        """
        batch = self._global_batch(0)
        self._logbook.images(batch["image"][: self._config.tensorboard_images])
        for finding in degenerate_data(batch["image"].numpy(), batch["label"].numpy()):
            self._logbook.say(f"warning: {finding}")

    def warn_of_chance(self, step: int, loss: float, learning_rate: float) -> None:
        """Says so, and why perhaps, where the mean objective is no better than guessing."""
        classes, batch = self._pipeline.dataset.num_classes, self._global_batch(step)
        chance = losses.of_guessing(self._objective, batch["label"], classes, batch.get(TAUGHT))
        if not at_chance(loss, chance):
            return
        self._logbook.say(
            f"warning: after {step} steps the loss is {loss:.4g}, and that of guessing among "
            f"{classes} classes is {chance:.4g}. Possible reasons:"
        )
        for finding in why_at_chance(
            self._net.build_for(batch["image"]),
            batch["image"],
            batch["label"].numpy(),
            learning_rate,
        ):
            self._logbook.say(f"  {finding}")

    def non_finite(self, step: int) -> str:
        """Where the first value of a step that is not finite comes from, and where its batch is.

        Args:
            step: steps taken before the one that failed, which changed no weights.
        """
        batch = self._global_batch(step)
        model = self._net.build_for(batch["image"])
        part = len(batch["label"]) // (self._replicas * self._config.accumulation_steps)
        try:
            found = locate_non_finite(model, batch["image"], batch["label"], part)
        except tf.errors.ResourceExhaustedError:
            with tf.device("/cpu:0"):
                found = locate_non_finite(model, batch["image"], batch["label"], part)
        names = self._pipeline.file_names(step)
        arrays: dict[str, Any] = {
            name: batch[name].numpy() for name in ("image", "label", "position")
        }
        file = self._run_dir / NON_FINITE_FILE.format(step + 1)
        if self._chief:
            with atomic(file) as output:
                np.savez(output, names=np.asarray(names), **arrays)
        message = f"a value is not finite at step {step + 1}"
        if found is not None:
            message += f", first in {found.place}"
            if found.examples:
                first = self._host.index * self._replicas
                which = ", ".join(
                    f"{names[index]} (replica {first + index * self._replicas // len(names)})"
                    for index in found.examples[:3]
                )
                message += f", for {len(found.examples)} of {len(names)} images: {which}"
        return f"{message}. The batch is in {file}"

    def _global_batch(self, step: int) -> dict[str, tf.Tensor]:
        """The batch of a step, after the device chain, in the host's memory."""
        images = self._pipeline.config.train_batch_size // self._host.count
        with tf.device("/cpu:0"):
            return self._on_device(next(iter(self._pipeline.train(images, start=step))))


def degenerate_data(images: np.ndarray, labels: np.ndarray) -> list[str]:
    """What makes a batch useless: labels all alike, or images without content.

    Args:
        images: [B, H, W, 3], of any scale, as the net sees them.
        labels: int [B], or [B, N].
    """
    findings = []
    if labels.ndim == 2:
        labels = labels.argmax(axis=1)
    if len(labels) >= 8 and len(np.unique(labels)) == 1:
        findings.append(
            f"all {len(labels)} labels of the first batch are {int(labels[0])}: the data set has "
            "one class only, or is not shuffled (--shuffle_buffer_mb), or its labels are wrong"
        )
    deviation = float(images.std(axis=(1, 2, 3)).mean())
    if deviation <= CONSTANT_STD * max(1e-12, float(np.abs(images).max())):
        findings.append("the images of the first batch are constant: look at pipelines/preview.py")
    return findings


def at_chance(loss: float, chance: float) -> bool:
    """Whether a mean loss is no better than that of guessing, `losses.of_guessing`.

    It may be far above: an untrained net's binary cross-entropy is, which says that each class is
    there or not with equal chances. Of one class there is nothing to guess, and it is 0.
    """
    return chance > 0 and loss > (1 - CHANCE_MARGIN) * chance


def why_at_chance(
    model: keras.Model, images: tf.Tensor, labels: np.ndarray, learning_rate: float
) -> list[str]:
    """Possible reasons why a net has learned nothing, from what it does with one batch.

    Args:
        model: the net as it is now.
        images: float32 [B, H, W, 3], after the device chain.
        labels: int [B], or [B, N].
        learning_rate: the current one.
    """
    findings = degenerate_data(np.asarray(images), labels)
    images = images[:MOST_IMAGES]
    for name, output in _layer_outputs(model, images):
        if "relu" in name or _is_relu(model.get_layer(name)):
            alive = float(tf.reduce_mean(tf.cast(tf.reduce_any(output > 0, axis=0), tf.float32)))
            if alive < 0.1:
                findings.append(
                    f"{1 - alive:.0%} of the units of {name} are dead (0 for every image of a "
                    "batch): a lower --learning_rate, --warmup_epochs, or another initialisation"
                )
                break
    logits = losses.scored(model(images, training=False))
    spread = float(tf.reduce_mean(tf.math.reduce_std(logits, axis=0)))
    findings.append(
        f"the learning rate is {learning_rate:.3g}; logits vary by {spread:.2g} from image to "
        "image (near 0: the net does not see its input yet)"
    )
    return findings


@dataclasses.dataclass(frozen=True)
class NonFinite:
    """Where the first value that is not finite was found.

    Attributes:
        place: `input`, the name of a layer, `loss`, or `gradient of <variable>`.
        examples: indices in the global batch, of the examples concerned; empty for a gradient that
            no single example explains.
    """

    place: str
    examples: tuple[int, ...]


def locate_non_finite(
    model: keras.Model, images: tf.Tensor, labels: tf.Tensor, part: int = 0
) -> NonFinite | None:
    """Follows one global batch forward, then backward, to the first value that is not finite.

    The batch goes through the net as in an evaluation, so that examples do not mix through batch
    statistics, and in parts, as every layer's output is looked at. Returns None where everything is
    finite.

    Args:
        model: the net with the weights before the step.
        images: float32 [B, H, W, 3], after the device chain.
        labels: int32 [B], or float32 [B, N].
        part: how many images go through the net at once; 0: all.
    """
    count = len(images)
    slices = [slice(first, first + (part or count)) for first in range(0, count, part or count)]
    places: dict[str, list[int]] = {}
    layers = ["input", *(layer.name for layer in _computing(model))]
    for each in slices:
        for name, output in [("input", images[each]), *_layer_outputs(model, images[each])]:
            if bad := _bad_examples(output):
                places.setdefault(name, []).extend(each.start + index for index in bad)
                break
    if places:
        first = min(places, key=layers.index)
        return NonFinite(first, tuple(places[first]))
    return _backward_non_finite(model, images, labels, slices)


def _backward_non_finite(
    model: keras.Model, images: tf.Tensor, labels: tf.Tensor, slices: Sequence[slice]
) -> NonFinite | None:
    bad_losses, bad_gradients = [], set()
    for each in slices:
        with tf.GradientTape() as tape:
            logits = losses.scored(model(images[each], training=True))
            loss = losses.cross_entropy(logits, labels[each])
            total = tf.reduce_sum(loss)
        bad_losses += [each.start + index for index in _bad_examples(loss)]
        gradients = tape.gradient(total, model.trainable_variables)
        bad_gradients |= {
            index
            for index, gradient in enumerate(gradients)
            if not bool(tf.reduce_all(tf.math.is_finite(gradient)))
        }
    if bad_losses:
        return NonFinite("loss", tuple(bad_losses))
    if bad_gradients:  # backwards, the last layers' are the first
        return NonFinite(f"gradient of {model.trainable_variables[max(bad_gradients)].path}", ())
    return None


def _computing(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]


def _layer_outputs(model: keras.Model, images: tf.Tensor) -> Sequence[tuple[str, tf.Tensor]]:
    """The output of every layer for a batch, in the order of the forward pass."""
    layers = _computing(model)
    outputs = keras.Model(model.input, [layer.output for layer in layers])(images, training=False)
    return [(layer.name, output) for layer, output in zip(layers, outputs, strict=True)]


def _bad_examples(values: tf.Tensor) -> tuple[int, ...]:
    flat = tf.reshape(tf.cast(values, tf.float32), [tf.shape(values)[0], -1])
    finite = tf.reduce_all(tf.math.is_finite(flat), axis=1)
    return tuple(int(index) for index in tf.where(~finite).numpy().ravel())


def _is_relu(layer: keras.layers.Layer) -> bool:
    return getattr(getattr(layer, "activation", None), "__name__", "") == "relu"
