"""What a training step minimises, and what it reports: sums over examples, not means.

Sums are exact to combine: over replicas, over steps between two lines of the log, and over the
padded last batch of an evaluation.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from base.spec import Registry

TOP_K = 5
# Logits that a net could give every class, from sure that there is none to undecided.
_LEVELS = np.linspace(-15.0, 0.0, 61)


class Loss(Protocol):
    """What `--loss` names: float32 [B] from logits and labels, as `cross_entropy`."""

    def __call__(
        self, logits: tf.Tensor, labels: tf.Tensor, *, label_smoothing: float = 0.0
    ) -> tf.Tensor:
        """The loss of each example."""


LOSSES = Registry("loss")


def cross_entropy(
    logits: tf.Tensor, labels: tf.Tensor, *, label_smoothing: float = 0.0
) -> tf.Tensor:
    """Softmax cross-entropy of each example, in nats.

    Args:
        logits: float [B, N].
        labels: int [B], or float [B, N] distributions (after mixup or cutmix).
        label_smoothing: the weight of the uniform distribution in the target (Szegedy et al.
            2016, section 7).

    Returns:
        float32 [B].
    """
    logits = tf.cast(logits, tf.float32)
    if labels.shape.rank == 1 and not label_smoothing:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    targets = _smoothed(_distributions(labels, logits.shape[-1]), label_smoothing)
    return tf.nn.softmax_cross_entropy_with_logits(targets, logits)


@LOSSES.register
def softmax() -> Loss:
    """The classes exclude each other: `cross_entropy`.

    Source: plain.
    """
    return cross_entropy


@LOSSES.register
def sigmoid(threshold: float = 0.0) -> Loss:
    """Each class for itself: binary cross-entropy, the mean over the classes.

    Every class that mixup or cutmix has put into an image is in it: its target is 1, however large
    its share (Wightman et al. 2021, ResNet strikes back, arXiv:2110.00476).

    Args:
        threshold: the share above which a class is in the image, in [0, 1).

    Labels are smoothed after that; timm smooths before, so that its threshold undoes it.
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"a threshold lies from 0 to below 1, not at {threshold!r}")

    def loss(logits: tf.Tensor, labels: tf.Tensor, *, label_smoothing: float = 0.0) -> tf.Tensor:
        logits = tf.cast(logits, tf.float32)
        present = tf.cast(_distributions(labels, logits.shape[-1]) > threshold, tf.float32)
        targets = _smoothed(present, label_smoothing)
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits), axis=-1)

    return loss


def with_auxiliary_heads(
    outputs: tf.Tensor | Mapping[str, tf.Tensor],
    labels: tf.Tensor,
    weights: Mapping[str, float],
    *,
    loss: Loss = cross_entropy,
    label_smoothing: float = 0.0,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The objective of each example, auxiliary heads included, and the logits it is scored by.

    Args:
        outputs: a net's logits [B, N], or {'logits': ..., name of a head: ...}.
        labels: as in `cross_entropy`.
        weights: what each head's loss counts (GoogLeNet: 0.3 each).
        loss: of the logits and of each head.
        label_smoothing: as in `cross_entropy`.

    Returns:
        (objective float32 [B], logits [B, N]).
    """
    if not isinstance(outputs, Mapping):
        outputs = {"logits": outputs}
    logits = outputs["logits"]
    objective = loss(logits, labels, label_smoothing=label_smoothing)
    for head, weight in weights.items():
        objective += weight * loss(outputs[head], labels, label_smoothing=label_smoothing)
    return objective, logits


def of_guessing(
    labels: tf.Tensor,
    num_classes: int,
    weights: Mapping[str, float],
    *,
    loss: Loss = cross_entropy,
    label_smoothing: float = 0.0,
) -> float:
    """The mean objective of the best net that sees nothing and prefers no class: chance level.

    All its logits are one number, the same for each image and head. A softmax does not depend on
    that number; for a sigmoid the best says how often a class is present.

    Args:
        labels: of some images, as in `cross_entropy`.
        num_classes: N.
        weights: as in `with_auxiliary_heads`, and so are the others.
    """

    def at(level: float) -> float:
        logits = tf.fill([len(labels), num_classes], tf.constant(level, tf.float32))
        outputs = dict.fromkeys(["logits", *weights], logits)
        objective, _ = with_auxiliary_heads(
            outputs, labels, weights, loss=loss, label_smoothing=label_smoothing
        )
        return float(tf.reduce_mean(objective))

    return min(map(at, _LEVELS))


def l2_penalty(variables: Sequence[tf.Variable], weight_decay: float) -> tf.Tensor:
    """weight_decay / 2 * sum(w^2), the papers' rule: its gradient is weight_decay * w.

    Keras's own `weight_decay` is another rule (decoupled, and not multiplied by 1 / (1 - momentum)
    in the long run), about ten times weaker at momentum 0.9.
    """
    if not weight_decay or not variables:
        return tf.constant(0.0)
    return weight_decay * tf.add_n(
        [tf.nn.l2_loss(tf.cast(tf.convert_to_tensor(v), tf.float32)) for v in variables]
    )


def correct(logits: tf.Tensor, labels: tf.Tensor, k: int) -> tf.Tensor:
    """Whether each example's label is among its k first classes: float32 [B] of 0 and 1.

    The one rule by which everything is scored: training, validation, evaluate.py, files whose
    class is known, exported nets. Of classes that are equal the label comes last: a net that says
    the same of every class is never right, unless k takes in all classes. `tf.math.in_top_k` gives
    such ties to the label, and a net whose last units had died scored 100 %. A row with a value
    that is not finite is never right.

    It consists of comparisons and sums of floats, which GPUs and XLA have, and asks the host for
    nothing.

    Args:
        logits: float [B, N], or what else ranks classes alike; as tensors or NumPy arrays.
        labels: int [B]; a distribution, [B, N], counts as its largest entry.
        k: 1 for top-1; all classes, where there are no more.
    """
    logits, labels = tf.convert_to_tensor(logits), tf.convert_to_tensor(labels)
    if labels.shape.rank == 2:
        labels = tf.argmax(labels, axis=-1, output_type=tf.int32)
    classes = logits.shape[-1]
    is_label = tf.one_hot(labels, classes, on_value=True, off_value=False, dtype=tf.bool)
    own = tf.reduce_sum(tf.where(is_label, logits, tf.zeros_like(logits)), axis=-1, keepdims=True)
    # The label itself is one of these. Counted in floats, as integers would go to the host.
    before = tf.reduce_sum(tf.cast(logits >= own, tf.float32), axis=-1)
    finite = tf.reduce_all(tf.math.is_finite(logits), axis=-1)
    return tf.cast(finite & (before <= min(k, classes)), tf.float32)


def _distributions(labels: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Labels int [B] or float [B, N] as the latter."""
    return tf.one_hot(labels, num_classes) if labels.shape.rank == 1 else labels


def _smoothed(targets: tf.Tensor, label_smoothing: float) -> tf.Tensor:
    return targets * (1 - label_smoothing) + label_smoothing / targets.shape[-1]
