"""Keras layers that the papers need and Keras doesn't have; all in keras.ops, NHWC.

Dropout and stochastic depth draw each example's mask from that example's own seed within
``example_seeds``; elsewhere they behave as Keras's.
"""

from __future__ import annotations

import contextlib
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

_context = threading.local()


@contextlib.contextmanager
def example_seeds(seeds: Any) -> Iterator[None]:
    """Sets the seeds (int32 [batch, 2]) of the examples that this thread's next calls see.

    Thread-local, since MirroredStrategy traces each replica in a thread of its own.
    """
    outer = getattr(_context, "seeds", None)
    _context.seeds = seeds
    try:
        yield
    finally:
        _context.seeds = outer


def _mix(bits: Any) -> Any:
    """Scrambles uint32 values one by one, as MurmurHash3's 32-bit finaliser does."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        bits = ops.bitwise_xor(bits, ops.right_shift(bits, _uint32(shift)))
        bits = ops.multiply(bits, _uint32(factor))
    return ops.bitwise_xor(bits, ops.right_shift(bits, _uint32(16)))


def _uint32(value: int) -> Any:
    return ops.convert_to_tensor(value, "uint32")


def keep_mask(seeds: Any, layer_name: str, shape: tuple[int, ...], rate: float) -> Any:
    """Draws for each example which of its values are kept, by a counter-based hash.

    A pure function of (an example's seed pair, the layer's name, the value's index): the seeds and
    the name become two 32-bit keys, and two rounds of mixing turn key and index into 32 random bits.

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
    count = 1
    for side in shape:
        count *= side
    # The golden ratio spreads consecutive indices over all 32 bits before they are mixed.
    index = ops.multiply(ops.arange(count, dtype="uint32"), _uint32(0x9E3779B9))
    bits = _mix(ops.add(_mix(ops.bitwise_xor(index[None], first)), second))
    kept = ops.greater_equal(bits, _uint32(round(rate * 2**32)))
    return ops.reshape(kept, (-1, *shape))


@keras.saving.register_keras_serializable("ilsvrc_workspace")
class Dropout(keras.layers.Dropout):
    """Dropout (Srivastava et al. 2014), scaled by 1/(1-rate) in training.

    The papers of 2012-2014 scale by (1-rate) at test time instead: the same in expectation.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        seeds = getattr(_context, "seeds", None)
        if seeds is None or not training or self.rate == 0:
            return super().call(inputs, training=training)
        kept = keep_mask(seeds, self.name, tuple(inputs.shape[1:]), self.rate)
        return ops.where(kept, inputs / (1 - self.rate), ops.zeros_like(inputs))


@keras.saving.register_keras_serializable("ilsvrc_workspace")
class StochasticDepth(keras.layers.Dropout):
    """Drops the whole residual branch of an example (Huang et al. 2016, arXiv:1603.09382).

    Scaled by 1/(1-rate) in training, where the paper scales by (1-rate) at test time.
    """

    def __init__(self, rate: float, **kwargs: Any):
        kwargs.pop("noise_shape", None)
        super().__init__(rate, noise_shape=(None, 1, 1, 1), **kwargs)

    def call(self, inputs: Any, training: bool = False) -> Any:
        seeds = getattr(_context, "seeds", None)
        if seeds is None or not training or self.rate == 0:
            return super().call(inputs, training=training)
        kept = keep_mask(seeds, self.name, (1, 1, 1), self.rate)
        return ops.where(kept, inputs / (1 - self.rate), ops.zeros_like(inputs))


@keras.saving.register_keras_serializable("ilsvrc_workspace")
class LocalResponseNormalization(keras.layers.Layer):
    """x / (k + alpha * sum of x^2 over ``size`` neighbouring channels)^beta.

    AlexNet's section 3.3 has k=2, size=5, alpha=1e-4, beta=0.75, and multiplies the sum by alpha;
    Caffe has k=1 and multiplies the mean (give alpha/size here). Computed in float32 whatever the
    policy: squares of activations overflow float16.
    """

    def __init__(
        self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def call(self, inputs: Any) -> Any:
        squares = ops.square(ops.cast(inputs, "float32"))
        channels = inputs.shape[-1]
        half = self.size // 2
        padded = ops.pad(squares, [[0, 0]] * 3 + [[half, half]])
        total = padded[..., :channels]
        for offset in range(1, self.size):
            total = total + padded[..., offset : offset + channels]
        factor = ops.power(self.k + self.alpha * total, -self.beta)
        return inputs * ops.cast(factor, inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = {"size": self.size, "alpha": self.alpha, "beta": self.beta, "k": self.k}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("ilsvrc_workspace")
class SplitConv2D(keras.layers.Conv2D):
    """A grouped convolution as one convolution a group, side by side.

    The variables are the grouped convolution's (kernel [height, width, in/groups, out]). On the CPU
    this is several times faster than the grouped kernel where groups are few and wide.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        parts = zip(
            ops.split(inputs, self.groups, axis=-1),
            ops.split(kernel, self.groups, axis=-1),
            strict=True,
        )
        convolved = [super(SplitConv2D, self).convolution_op(x, w) for x, w in parts]
        return ops.concatenate(convolved, axis=-1)


@keras.saving.register_keras_serializable("ilsvrc_workspace")
class SpaceToDepthConv2D(keras.layers.Conv2D):
    """The 7x7 stride-2 stem, padded by 3, as a 4x4 convolution over 2x2 blocks of pixels.

    Same variables and same numbers as the plain stem (MLPerf's ResNet-50 trick: 12 input channels
    use matrix units better than 3). Takes even image sides only.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        height, width, channels = inputs.shape[1:]
        x = ops.reshape(inputs, (-1, height // 2, 2, width // 2, 2, channels))
        x = ops.reshape(
            ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, height // 2, width // 2, 4 * channels)
        )
        # A leading zero row and column make the window 8 wide, from -4: four blocks of two.
        kernel = ops.reshape(
            ops.pad(kernel, [[1, 0], [1, 0], [0, 0], [0, 0]]), (4, 2, 4, 2, channels, self.filters)
        )
        kernel = ops.reshape(
            ops.transpose(kernel, (0, 2, 1, 3, 4, 5)), (4, 4, 4 * channels, self.filters)
        )
        x = ops.pad(x, [[0, 0], [2, 1], [2, 1], [0, 0]])
        return ops.conv(x, kernel, strides=1, padding="valid", data_format="channels_last")

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, height, width, _ = input_shape
        return (batch, height // 2, width // 2, self.filters)


@keras.saving.register_keras_serializable("ilsvrc_workspace")
class BlurPool(keras.layers.Layer):
    """A fixed 3x3 binomial filter, stride 1, zero padding (Zhang 2019, arXiv:1904.11486).

    Set in front of a strided convolution, as the FFCV ImageNet recipes do.
    """

    def call(self, inputs: Any) -> Any:
        x = ops.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]])
        x = (x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:]) / 4
        return (x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]) / 4

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


@keras.saving.register_keras_serializable("ilsvrc_workspace")
class PadChannels(keras.layers.Layer):
    """Appends channels of zeros: the parameter-free shortcut of ResNet's option A."""

    def __init__(self, channels: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.channels = channels

    def call(self, inputs: Any) -> Any:
        missing = self.channels - inputs.shape[-1]
        return ops.pad(inputs, [[0, 0], [0, 0], [0, 0], [0, missing]])

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels}
