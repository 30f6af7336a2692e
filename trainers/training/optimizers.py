"""Optimizers as their papers have them: `--optimizer='sgd(momentum=0.9)'`.

A rule is a pure function of tensors, the same on every replica; `Optimizer` holds its slots and
applies it to gradients that are already summed over replicas, so that whatever must see the whole
gradient (clipping, a trust ratio, the check for non-finite values) sees it.

Keras's optimizers sum inside `apply_gradients`, after their own clipping, and have no learning
rate for each variable; their `weight_decay` is decoupled only.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from base.spec import Registry

Slots = Mapping[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class VariableStep:
    """What the step of one variable depends on.

    Attributes:
        variable: its value, float32.
        gradient: of the same shape.
        slots: the rule's slots, likewise.
        rate: the learning rate, float32 [].
        step: counts from 1, float32 [].
        decay: coefficient of decoupled weight decay, 0 for variables that do not decay.
    """

    variable: tf.Tensor
    gradient: tf.Tensor
    slots: Slots
    rate: tf.Tensor
    step: tf.Tensor
    decay: float

    def decayed(self, change: tf.Tensor) -> tf.Tensor:
        """The change, and the decoupled decay."""
        return change - self.rate * self.decay * self.variable if self.decay else change


@dataclasses.dataclass(frozen=True)
class UpdateRule:
    """How one variable changes in a step.

    Attributes:
        slots: name -> initial value of each slot, a variable of the same shape.
        update: from the step of one variable to (what is added to the variable, the new slots).
    """

    slots: Mapping[str, float]
    update: Callable[[VariableStep], tuple[tf.Tensor, Slots]]


OPTIMIZERS = Registry("optimizer")


@OPTIMIZERS.register
def sgd(momentum: float = 0.9, nesterov: bool = False) -> UpdateRule:
    """v = momentum * v - rate * gradient; w += v (Krizhevsky et al. 2012, section 5).

    Nesterov's form looks ahead by the new velocity (Sutskever et al. 2013). Where the rate changes
    this form keeps the velocity in units of the weights; torch's keeps it in units of the gradient.
    """

    def update(at: VariableStep) -> tuple[tf.Tensor, Slots]:
        velocity = momentum * at.slots["velocity"] - at.rate * at.gradient
        change = momentum * velocity - at.rate * at.gradient if nesterov else velocity
        return at.decayed(change), {"velocity": velocity}

    return UpdateRule({"velocity": 0.0}, update)


@OPTIMIZERS.register
def rmsprop(rho: float = 0.9, epsilon: float = 1.0, momentum: float = 0.9) -> UpdateRule:
    """RMSProp as TensorFlow 1 had it, with which Inception-v3 was trained (Szegedy et al. 2016).

    The mean square starts at 1, and epsilon stands inside the root: with epsilon 1 both matter.
    """

    def update(at: VariableStep) -> tuple[tf.Tensor, Slots]:
        mean_square = rho * at.slots["mean_square"] + (1 - rho) * tf.square(at.gradient)
        velocity = momentum * at.slots["velocity"] - at.rate * at.gradient * tf.math.rsqrt(
            mean_square + epsilon
        )
        return at.decayed(velocity), {"mean_square": mean_square, "velocity": velocity}

    return UpdateRule({"mean_square": 1.0, "velocity": 0.0}, update)


@OPTIMIZERS.register
def adamw(beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> UpdateRule:
    """Adam (Kingma & Ba 2015, algorithm 1), its decay decoupled (Loshchilov & Hutter 2019)."""

    def update(at: VariableStep) -> tuple[tf.Tensor, Slots]:
        direction, slots = _adam_direction(at, beta1, beta2, epsilon)
        return at.decayed(-at.rate * direction), slots

    return UpdateRule({"mean": 0.0, "mean_square": 0.0}, update)


@OPTIMIZERS.register
def lamb(
    beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-6, scale_all: bool = True
) -> UpdateRule:
    """LAMB (You et al. 2020, algorithm 2): Adam's direction, scaled to the weights' own norm.

    Args:
        beta1: decay of the mean gradient.
        beta2: decay of the mean square.
        epsilon: added to the root of the mean square.
        scale_all: whether variables that do not decay (biases, normalisation) are scaled too. In
            timm and in NVIDIA's they take plain Adam steps; scaled, a bias that starts at 0 hardly
            leaves it.
    """

    def update(at: VariableStep) -> tuple[tf.Tensor, Slots]:
        direction, slots = _adam_direction(at, beta1, beta2, epsilon)
        direction += at.decay * at.variable
        if at.decay or scale_all:
            direction *= _ratio_or_one(tf.norm(at.variable), tf.norm(direction))
        return -at.rate * direction, slots

    return UpdateRule({"mean": 0.0, "mean_square": 0.0}, update)


@OPTIMIZERS.register
def lars(momentum: float = 0.9, trust_coefficient: float = 0.001) -> UpdateRule:
    """LARS (You et al. 2017, algorithm 1): each layer's rate follows |w| / (|g| + decay * |w|).

    Variables that do not decay (biases, normalisation) take plain momentum steps.
    """

    def update(at: VariableStep) -> tuple[tf.Tensor, Slots]:
        local = tf.constant(1.0)
        if at.decay:
            norm = tf.norm(at.variable)
            local = _ratio_or_one(trust_coefficient * norm, tf.norm(at.gradient) + at.decay * norm)
        gradient = at.gradient + at.decay * at.variable
        velocity = momentum * at.slots["velocity"] - at.rate * local * gradient
        return velocity, {"velocity": velocity}

    return UpdateRule({"velocity": 0.0}, update)


class Optimizer:
    """A rule and its slots for the variables of one model. To be made in the strategy's scope.

    Attributes:
        step: int64 [], how many steps were applied.
        slots_per_variable: how many values it keeps of each trained one.
    """

    def __init__(
        self,
        rule: UpdateRule,
        variables: Sequence[keras.Variable],
        *,
        decay: float = 0.0,
        decayed: Sequence[keras.Variable] = (),
        bias_rate_factor: float = 1.0,
        rate_factors: Mapping[str, float] | None = None,
    ):
        """Makes the slots.

        Args:
            rule: the update rule.
            variables: the trainable variables, in the order of the gradients.
            decay: coefficient of decoupled weight decay.
            decayed: the variables that it decays.
            bias_rate_factor: what multiplies the biases' learning rate (Caffe's AlexNet: 2).
            rate_factors: what multiplies single variables' learning rates beside, by their paths.
        """
        self._rule, self._variables = rule, list(variables)
        self.slots_per_variable = len(rule.slots)
        decayed_paths = {variable.path for variable in decayed}
        self._decay = [decay * (v.path in decayed_paths) for v in self._variables]
        own = rate_factors or {}
        self._factor = [
            (bias_rate_factor if v.name == "bias" else 1.0) * own.get(v.path, 1.0)
            for v in self._variables
        ]
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self._slots = [
            {
                name: tf.Variable(tf.fill(variable.shape, value), trainable=False, name=name)
                for name, value in rule.slots.items()
            }
            for variable in self._variables
        ]

    def variables(self) -> dict[str, tf.Variable]:
        """Everything that a checkpoint must keep, by name."""
        named = {"step": self.step}
        for variable, slots in zip(self._variables, self._slots, strict=True):
            named |= {f"{name}/{variable.path}": slot for name, slot in slots.items()}
        return named

    def apply(self, gradients: Sequence[tf.Tensor], rate: tf.Tensor, good: tf.Tensor) -> None:
        """Takes one step in a replica.

        Args:
            gradients: float32, the same on every replica.
            rate: the learning rate, float32 [].
            good: bool []. Where it is False, nothing changes.
        """
        self.step.assign_add(tf.cast(good, tf.int64))
        step = tf.cast(self.step, tf.float32)
        for variable, gradient, slots, decay, factor in zip(
            self._variables, gradients, self._slots, self._decay, self._factor, strict=True
        ):
            value = tf.convert_to_tensor(variable.value)
            old = {name: tf.convert_to_tensor(slot) for name, slot in slots.items()}
            at = VariableStep(value, gradient, old, factor * rate, step, decay)
            change, new = self._rule.update(at)
            for name, slot in slots.items():
                slot.assign(chosen(good, new[name], old[name]))
            variable.value.assign(chosen(good, value + change, value))


def chosen(condition: tf.Tensor, new: tf.Tensor, old: tf.Tensor) -> tf.Tensor:
    """One of two tensors as a whole, without a branch, in which a GPU would make the host wait.

    Args:
        condition: bool [].
        new: what it is if True.
        old: what it is if False, of the same shape and dtype.
    """
    # Not tf.where, which goes through every element on the CPU; this one passes its operand on.
    return tf.raw_ops.Select(condition=condition, x=new, y=old)


def _ratio_or_one(numerator: tf.Tensor, denominator: tf.Tensor) -> tf.Tensor:
    """The ratio of two norms; 1 where either is 0, as in the papers' reference code."""
    positive = (numerator > 0) & (denominator > 0)
    return tf.where(positive, tf.math.divide_no_nan(numerator, denominator), 1.0)


def _adam_direction(
    at: VariableStep, beta1: float, beta2: float, epsilon: float
) -> tuple[tf.Tensor, Slots]:
    """Adam's bias-corrected mean / (root of the mean square + epsilon), and the new slots."""
    mean = beta1 * at.slots["mean"] + (1 - beta1) * at.gradient
    mean_square = beta2 * at.slots["mean_square"] + (1 - beta2) * tf.square(at.gradient)
    corrected = mean / (1 - beta1**at.step)
    root = tf.sqrt(mean_square / (1 - beta2**at.step))
    return corrected / (root + epsilon), {"mean": mean, "mean_square": mean_square}
