"""What a training step minimises, and what it reports: sums over examples, not means.

A net gives logits [B, N], or a dict of them: 'logits', by which it is scored, one for each
auxiliary head, and DISTILLED, where a head of its own learns from a teacher.

Sums are exact to combine: over replicas, over steps between two lines of the log, and over the
padded last batch of an evaluation.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeAlias

import numpy as np
import tensorflow as tf

from base.errors import UserError
from base.spec import Registry
from trainers.config import TrainConfig

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
DISTILLATIONS = Registry("distillation")

# The head that learns from a teacher, where a net has one.
DISTILLED = "distillation"
Outputs: TypeAlias = tf.Tensor | Mapping[str, tf.Tensor]


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


@dataclasses.dataclass(frozen=True)
class Distillation:
    """How a net learns from a teacher's logits.

    Attributes:
        alpha: what the teacher's loss counts; that of the labels counts the rest to 1.
        loss: float32 [B] from the net's logits and the teacher's, float [B, N] each.
    """

    alpha: float
    loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

    def __post_init__(self) -> None:
        """Refuses a share that is none."""
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha lies from 0 to 1, not at {self.alpha!r}")


@DISTILLATIONS.register
def hard(alpha: float = 0.5) -> Distillation:
    """The teacher's likeliest class is the label (Touvron et al. 2021, DeiT, equation 3).

    Args:
        alpha: what it counts beside the true label; a half in the paper.
    """

    def loss(logits: tf.Tensor, taught: tf.Tensor) -> tf.Tensor:
        likeliest = tf.argmax(taught, axis=-1, output_type=tf.int32)
        return cross_entropy(logits, tf.one_hot(likeliest, taught.shape[-1]))

    return Distillation(alpha, loss)


@DISTILLATIONS.register
def soft(temperature: float = 3.0, alpha: float = 0.1) -> Distillation:
    """The teacher's probabilities at a temperature (Hinton et al. 2015, arXiv:1503.02531).

    temperature^2 times the Kullback-Leibler divergence of the net's from the teacher's, both with
    logits / temperature: DeiT's equation 2. (The authors' code divides it by the number of classes
    besides, which the paper does not.)

    Args:
        temperature: above 0; 3 in DeiT's paper.
        alpha: what it counts beside the labels; 0.1 there.
    """
    if not temperature > 0:
        raise ValueError(f"a temperature is above 0, not {temperature!r}")

    def loss(logits: tf.Tensor, taught: tf.Tensor) -> tf.Tensor:
        ours, theirs = (tf.nn.log_softmax(each / temperature) for each in (logits, taught))
        return temperature**2 * tf.reduce_sum(tf.exp(theirs) * (theirs - ours), axis=-1)

    return Distillation(alpha, loss)


@dataclasses.dataclass(frozen=True)
class Objective:
    """What a step minimises, of each example.

    Attributes:
        loss: of the logits, and of each auxiliary head.
        label_smoothing: as in `cross_entropy`.
        heads: what each auxiliary head's loss counts (GoogLeNet: 0.3 each).
        distillation: how a teacher teaches; None: there is none.
    """

    loss: Loss = cross_entropy
    label_smoothing: float = 0.0
    heads: Mapping[str, float] = dataclasses.field(default_factory=dict)
    distillation: Distillation | None = None

    def __call__(
        self, outputs: Outputs, labels: tf.Tensor, taught: tf.Tensor | None = None
    ) -> tf.Tensor:
        """The objective of each example: float32 [B].

        Args:
            outputs: what the net gives in training.
            labels: as in `cross_entropy`.
            taught: the teacher's logits, float32 [B, N], where one teaches.
        """
        heads = outputs if isinstance(outputs, Mapping) else {"logits": outputs}

        def of(name: str) -> tf.Tensor:
            return self.loss(heads[name], labels, label_smoothing=self.label_smoothing)

        objective = of("logits")
        for head, weight in self.heads.items():
            objective += weight * of(head)
        if self.distillation is None:
            return objective
        alpha = self.distillation.alpha
        logits = tf.cast(heads.get(DISTILLED, heads["logits"]), tf.float32)
        return (1 - alpha) * objective + alpha * self.distillation.loss(logits, taught)


def objective(config: TrainConfig, heads: Mapping[str, float], given: Collection[str]) -> Objective:
    """What the flags have a net minimise.

    Args:
        config: the flags.
        heads: the net's auxiliary heads, and what they count.
        given: the names of what the net gives.

    Raises:
        UserError: there is no such loss or distillation, or no teacher for a head that needs one.
    """
    distillation: Distillation = DISTILLATIONS.make(config.distillation)
    if config.teacher:  # which that head learns from, not from the labels
        heads = {head: weight for head, weight in heads.items() if head != DISTILLED}
    elif config.distillation != TrainConfig.distillation:
        raise UserError(
            f"--distillation={config.distillation} says how --teacher teaches, which names no run"
        )
    elif DISTILLED in given and DISTILLED not in heads:
        raise UserError(
            f"--net={config.net} has a head that learns from a teacher: name one by --teacher"
        )
    return Objective(
        LOSSES.make(config.loss),
        config.label_smoothing,
        heads,
        distillation if config.teacher else None,
    )


def scored(outputs: Outputs) -> tf.Tensor:
    """The logits by which a net is scored, [B, N], of what it gives."""
    return outputs["logits"] if isinstance(outputs, Mapping) else outputs


def of_guessing(
    objective: Objective, labels: tf.Tensor, num_classes: int, taught: tf.Tensor | None = None
) -> float:
    """The mean objective of the best net that sees nothing and prefers no class: chance level.

    All its logits are one number, the same for each image and head. A softmax does not depend on
    that number; for a sigmoid the best says how often a class is present.

    Args:
        objective: the objective.
        labels: of some images, as in `cross_entropy`.
        num_classes: N.
        taught: the teacher's logits of these images, where one teaches.
    """

    def at(level: float) -> float:
        logits = tf.fill([len(labels), num_classes], tf.constant(level, tf.float32))
        outputs = dict.fromkeys(["logits", *objective.heads], logits)
        return float(tf.reduce_mean(objective(outputs, labels, taught)))

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
