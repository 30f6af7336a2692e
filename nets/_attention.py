"""Attention among an image's tokens: among all of them, and within windows.

The layers hold no matrices: queries, keys and values come from one fully connected layer before
them, as in the authors' code, so that every matrix has a layer of its own.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

_registered = keras.saving.register_keras_serializable(__package__ or "nets")

# What keeps tokens of a window from seeing one another, as in the authors' code of Swin.
_MASKED = -100.0


@_registered
class SelfAttention(keras.layers.Layer):
    """softmax(Q K^T / sqrt(d)) V in several heads (Vaswani et al. 2017, arXiv:1706.03762, 3.2).

    The softmax is computed in float32 whatever the policy.
    """

    def __init__(self, heads: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.heads = heads

    @property
    def multiply_adds(self) -> int:
        """Of the two products, for one image."""
        _, count, width = self.output.shape
        return 2 * count * count * width

    def call(self, inputs: Any) -> Any:
        """Queries, keys and values side by side, [batch, n, 3 * width] -> [batch, n, width]."""
        _, count, width = inputs.shape
        x = ops.reshape(inputs, (-1, 1, count, width))
        return ops.reshape(self._attend(x), (-1, count, width // 3))

    def _attend(self, x: Any, bias: Any = 0.0) -> Any:
        """[batch, groups, n, 3 * width] -> [batch, groups, n, width], each group for itself.

        ``bias``, float32 [groups or 1, heads, n, n], is added before the softmax.
        """
        _, groups, count, width = x.shape
        depth = width // 3 // self.heads
        x = ops.reshape(x, (-1, groups, count, 3, self.heads, depth))
        query, key, value = ops.unstack(ops.transpose(x, (3, 0, 1, 4, 2, 5)), 3)
        scores = ops.matmul(query * depth**-0.5, ops.transpose(key, (0, 1, 2, 4, 3)))
        weights = ops.softmax(ops.cast(scores, "float32") + bias)
        x = ops.matmul(ops.cast(weights, value.dtype), value)
        return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4)), (-1, groups, count, width // 3))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """A third of the input's width."""
        return (*input_shape[:-1], input_shape[-1] // 3)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "heads": self.heads}


@_registered
class WindowAttention(SelfAttention):
    """Self-attention within the windows of feature maps (Liu et al. 2021, arXiv:2103.14030, 3.2).

    Shifted windows that reach over a border take in what lies at the opposite one, and tokens from
    the two sides don't see one another. A bias is learned for each head and each offset of one
    token to another.
    """

    def __init__(self, heads: int, window: int, shift: int, **kwargs: Any):
        super().__init__(heads, **kwargs)
        self.window, self.shift = window, shift

    def build(self, input_shape: Any) -> None:
        """Makes the table of biases, float32 [(2 * window - 1)^2, heads], offsets row by row."""
        self.relative_position_bias = self.add_weight(
            shape=((2 * self.window - 1) ** 2, self.heads),
            initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            autocast=False,
            name="relative_position_bias",
        )

    @property
    def multiply_adds(self) -> int:
        """Of the two products, for one image."""
        _, height, width, channels = self.output.shape
        return int(2 * self.window**2 * height * width * channels)

    def call(self, inputs: Any) -> Any:
        """[batch, height, width, 3 * channels], whole windows -> [batch, height, width, channels].

        Maps that are one window high are not shifted downwards, and likewise sideways.
        """
        _, height, width, channels = inputs.shape
        side = self.window
        down, right = (self.shift if length > side else 0 for length in (height, width))
        x = ops.roll(inputs, (-down, -right), (1, 2)) if self.shift else inputs
        x = ops.reshape(x, (-1, height // side, side, width // side, side, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        x = ops.reshape(x, (-1, height * width // side**2, side**2, channels))
        bias = self._offset_bias()
        if down or right:
            bias += _mask(height, width, side, down, right)
        x = self._attend(x, bias)
        x = ops.reshape(x, (-1, height // side, width // side, side, side, channels // 3))
        x = ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, height, width, channels // 3))
        return ops.roll(x, (down, right), (1, 2)) if self.shift else x

    def _offset_bias(self) -> Any:
        """The table's entries for each two tokens of a window, float32 [1, heads, n, n].

        By products with ones and zeros: their gradient adds up in the same order every time, which
        that of a look-up does not.
        """
        side, offsets = self.window, 2 * self.window - 1
        place = np.arange(side)
        chosen = np.eye(offsets, dtype="float32")[place[:, None] - place[None] + side - 1]
        table = ops.reshape(self.relative_position_bias, (offsets, offsets, self.heads))
        rows = ops.einsum("yva,abh->yvbh", chosen, table)
        pairs = ops.einsum("xwb,yvbh->hyxvw", chosen, rows)
        return ops.reshape(pairs, (1, self.heads, side**2, side**2))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "window": self.window, "shift": self.shift}


def _mask(height: int, width: int, side: int, down: int, right: int) -> np.ndarray:
    """What separates tokens that a shift has brought together, float32 [windows, 1, n, n]."""
    rows = np.arange(height) >= height - down
    columns = np.arange(width) >= width - right
    region = 2 * rows[:, None] + columns[None]
    region = region.reshape(height // side, side, width // side, side).transpose(0, 2, 1, 3)
    region = region.reshape(-1, side**2)
    apart = region[:, :, None] != region[:, None]
    return np.where(apart, np.float32(_MASKED), np.float32(0))[:, None]
