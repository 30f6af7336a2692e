"""Keras layers that the papers need and Keras doesn't have; all in keras.ops, NHWC.

Dropout and stochastic depth draw each example's mask from that example's own seed within
``example_seeds``; elsewhere they behave as Keras's.
"""

from __future__ import annotations

import contextlib
import math
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

Mean = Callable[[Any], Any]
FusedBatchNorm = Callable[[Any, Any, Any, float], tuple[Any, Any, Any]]

_context = threading.local()
_registered = keras.saving.register_keras_serializable(__package__ or "nets")


@contextlib.contextmanager
def _within(name: str, value: Any) -> Iterator[None]:
    """Sets what layers look up in `_context`, in this thread and within the block.

    Thread-local, since MirroredStrategy traces each replica in a thread of its own.
    """
    outer = getattr(_context, name, None)
    setattr(_context, name, value)
    try:
        yield
    finally:
        setattr(_context, name, outer)


def example_seeds(seeds: Any) -> contextlib.AbstractContextManager[None]:
    """Sets the seeds (int32 [batch, 2]) of the examples that this thread's next calls see."""
    return _within("seeds", seeds)


def replica_means(mean: Mean | None) -> contextlib.AbstractContextManager[None]:
    """Sets how synchronized batch normalisation, in this thread's next calls, averages.

    Args:
        mean: from this replica's value, a tensor of any shape, to the mean over all replicas'.
            Without one a replica is taken to be alone.
    """
    return _within("mean", mean)


def fused_batch_norm(fused: FusedBatchNorm | None) -> contextlib.AbstractContextManager[None]:
    """Sets what normalises batches that are not synchronized, in this thread's next calls.

    Args:
        fused: from images' features [batch, height, width, channels] of any dtype, gamma and beta,
            float32 [channels], and epsilon, to the normalised features, their mean and their
            (biased) variance, float32 [channels]. Without one the layer composes it of other
            operations.
    """
    return _within("fused", fused)


def keep_mask(seeds: Any, layer_name: str, shape: tuple[int, ...], rate: float) -> Any:
    """Draws for each example which of its values are kept, by a counter-based hash.

    A pure function of (an example's seed pair, the layer's name, the value's index): the seeds
    and the name become two 32-bit keys, and two rounds of mixing turn the keys and the index into
    32 random bits. In uint32 because TensorFlow multiplies int32 on the host, not on a GPU.

    Args:
        seeds: int32 [batch, 2].
        layer_name: what tells this layer's masks from other layers'.
        shape: of one example's mask.
        rate: the probability of dropping a value, in [0, 1).

    Returns:
        bool [batch, *shape], False with probability ``rate``.
    """
    seeds = ops.cast(seeds, "uint32")
    layer = _uint32(zlib.crc32(layer_name.encode()))
    first = _mix(ops.bitwise_xor(_mix(ops.bitwise_xor(seeds[:, :1], layer)), seeds[:, 1:]))
    second = _mix(ops.add(first, layer))
    # The golden ratio spreads consecutive indices over all 32 bits before they are mixed.
    index = np.arange(math.prod(shape), dtype="uint32")[None] * np.uint32(0x9E3779B9)
    bits = _mix(ops.add(_mix(ops.bitwise_xor(ops.convert_to_tensor(index), first)), second))
    kept = ops.greater_equal(bits, _uint32(round(rate * 2**32)))
    return ops.reshape(kept, (-1, *shape))


def _mix(bits: Any) -> Any:
    """Scrambles uint32 values one by one: the finaliser of MurmurHash3."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        bits = ops.bitwise_xor(bits, ops.right_shift(bits, _uint32(shift)))
        bits = ops.multiply(bits, _uint32(factor))
    return ops.bitwise_xor(bits, ops.right_shift(bits, _uint32(16)))


def _uint32(value: int) -> Any:
    return ops.convert_to_tensor(np.uint32(value))


@_registered
class Dropout(keras.layers.Dropout):
    """Dropout (Srivastava et al. 2014), scaled by 1/(1-rate) in training.

    The papers of 2012 to 2014 scale by (1-rate) at test time instead: the same in expectation.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        """[batch, ...] -> the same shape and dtype."""
        seeds = getattr(_context, "seeds", None)
        if seeds is None or not training or self.rate == 0:
            return super().call(inputs, training=training)
        kept = keep_mask(seeds, self.name, self._mask_shape(inputs), self.rate)
        return ops.where(kept, inputs / (1 - self.rate), ops.zeros_like(inputs))

    def _mask_shape(self, inputs: Any) -> tuple[int, ...]:
        return tuple(inputs.shape[1:])


@_registered
class StochasticDepth(Dropout):
    """Drops the whole residual branch of an example (Huang et al. 2016, arXiv:1603.09382).

    Scaled by 1/(1-rate) in training, where the paper scales by (1-rate) at test time.
    """

    def build(self, input_shape: Any) -> None:
        """Takes note of the number of axes."""
        self.noise_shape = (None, *self._mask_shape(keras.KerasTensor(input_shape)))

    def _mask_shape(self, inputs: Any) -> tuple[int, ...]:
        return (1,) * (len(inputs.shape) - 1)


@_registered
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation of feature maps; its gradient is the closed form of section 3.

    On a GPU it is one operation of the backend, which ``fused_batch_norm`` sets.

    Keras leaves the gradient to differentiation, and TensorFlow adds up the three terms in an order
    that changes from run to run: ResNet-50's gradients then differed in their last bits. The closed
    form repeats, and on the CPU ResNet-50's step takes a seventh less time and a fifth less memory.

    With ``synchronized``, statistics are of the whole batch, over all replicas, by the mean that
    ``replica_means`` sets; without one a replica is alone. The variance is that of the deviations
    from the mean. Keras's own `synchronized` takes E[x^2] - E[x]^2, whose rounding errors made
    losses on two replicas differ by 1 % after 20 steps; and its reduction, which is differentiated,
    made TensorFlow trace ResNet-18 on four replicas for minutes.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        """[batch, height, width, channels] -> the same shape and dtype."""
        if not training or not self.trainable:
            return super().call(inputs, training=training)
        mean_of = getattr(_context, "mean", None) if self.synchronized else None
        fused = getattr(_context, "fused", None)
        if fused and not mean_of:
            return self._fused(fused, inputs)
        x = ops.cast(inputs, "float32")
        # Constants to differentiation: the gradient below accounts for them.
        mean = ops.mean(ops.stop_gradient(x), axis=(0, 1, 2))
        variance = ops.mean(ops.square(ops.stop_gradient(x) - mean), axis=(0, 1, 2))
        if mean_of:
            mean, variance = self._over_replicas(mean, variance, mean_of)
        self._move(mean, variance)
        inverse = ops.rsqrt(variance + self.epsilon)

        @ops.custom_gradient
        def normalized(x: Any, gamma: Any, beta: Any) -> tuple[Any, Callable[..., Any]]:
            factor = gamma * inverse

            def gradients(*args: Any, upstream: Any = None) -> tuple[Any, Any, Any]:
                dy = args[0] if upstream is None else upstream
                deviations = x - mean
                to_beta = ops.sum(dy, axis=(0, 1, 2))
                to_gamma = ops.sum(dy * deviations, axis=(0, 1, 2)) * inverse
                count = ops.cast(ops.size(dy), "float32") / dy.shape[-1]
                shift, slope = to_beta / count, to_gamma / count
                if mean_of:
                    shift, slope = ops.unstack(mean_of(ops.stack([shift, slope])))
                to_x = dy * factor - (deviations * (factor * inverse * slope) + factor * shift)
                return to_x, to_gamma, to_beta

            return x * factor + (beta - mean * factor), gradients

        # Tensors, as TensorFlow refuses variables here.
        gamma = ops.cast(self.gamma, "float32") if self.scale else ops.ones_like(mean)
        y = normalized(x, gamma, ops.cast(self.beta, "float32"))
        return ops.cast(y, self.compute_dtype)

    def _over_replicas(self, mean: Any, variance: Any, mean_of: Mean) -> tuple[Any, Any]:
        """The moments of all replicas' values, from those of each, by one exchange.

        The squares of the means are taken from the moving mean on, which is the same on all, so
        that little is lost when the one is subtracted from the other.
        """
        off = mean - self.moving_mean
        off, square = ops.unstack(mean_of(ops.stack([off, variance + ops.square(off)])))
        return self.moving_mean + off, square - ops.square(off)

    def _fused(self, fused: FusedBatchNorm, inputs: Any) -> Any:
        gamma = self.gamma if self.scale else ops.ones(inputs.shape[-1:])
        y, mean, variance = fused(inputs, gamma, self.beta, self.epsilon)
        self._move(mean, variance)
        return y

    def _move(self, mean: Any, variance: Any) -> None:
        """Moves the statistics that evaluation uses towards those of a batch."""
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1 - self.momentum))


@_registered
class LocalResponseNormalization(keras.layers.Layer):
    """x / (k + alpha * sum of x^2 over ``size`` neighbouring channels)^beta.

    AlexNet's section 3.3 multiplies the sum by alpha, Caffe the mean: give it alpha/size. Computed
    in float32 whatever the policy, since squares of activations overflow float16.
    """

    def __init__(self, size: int, alpha: float, beta: float, k: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def call(self, inputs: Any) -> Any:
        """[batch, height, width, channels] -> the same shape and dtype."""
        channel = np.arange(inputs.shape[-1])
        near = np.abs(channel[:, None] - channel[None]) <= self.size // 2
        # The sum as a 1x1 convolution with a band of alphas: on the CPU this takes a third of the
        # time of adding shifted copies, and less than TensorFlow's own operation.
        band = ops.convert_to_tensor((self.alpha * near).astype("float32")[None, None])

        def summed(x: Any) -> Any:
            return ops.conv(x, band, data_format="channels_last")

        @ops.custom_gradient
        def normalized(x: Any) -> tuple[Any, Callable[..., Any]]:
            scale = self.k + summed(ops.square(x))
            if self.beta == 0.75:  # every paper's; two roots are faster than a power
                root = ops.rsqrt(scale)
                factor = root * ops.sqrt(root)
            else:
                factor = ops.power(scale, -self.beta)

            def gradient(*args: Any, upstream: Any = None) -> Any:
                # In closed form, which takes two thirds of the time of differentiation.
                dy = (args[0] if upstream is None else upstream) * factor
                return dy - 2 * self.beta * x * summed(dy * x / scale)

            return x * factor, gradient

        return ops.cast(normalized(ops.cast(inputs, "float32")), inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"size": self.size, "alpha": self.alpha, "beta": self.beta, "k": self.k}
        return {**super().get_config(), **own}


@_registered
class BlurPool(keras.layers.Layer):
    """A fixed 3x3 binomial filter with stride 1 and zero padding (Zhang 2019, arXiv:1904.11486).

    Set in front of a strided convolution, as the FFCV ImageNet recipes do.
    """

    def call(self, inputs: Any) -> Any:
        """[batch, height, width, channels] -> the same shape and dtype."""
        x = ops.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]])
        x = (x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:]) / 4
        return (x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]) / 4

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's."""
        return input_shape


@_registered
class PadChannels(keras.layers.Layer):
    """Appends channels of zeros: the shortcut without parameters of ResNet's option A."""

    def __init__(self, channels: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.channels = channels

    def call(self, inputs: Any) -> Any:
        """[batch, height, width, any] -> [batch, height, width, channels]."""
        missing = self.channels - inputs.shape[-1]
        return ops.pad(inputs, [[0, 0], [0, 0], [0, 0], [0, missing]])

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's, with more channels."""
        return (*input_shape[:-1], self.channels)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "channels": self.channels}
