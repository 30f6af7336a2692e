"""Parameters and multiply-adds of a built net."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def layer_params(layer: keras.Layer) -> int:
    """Trainable parameters of one layer."""
    return sum(math.prod(variable.shape) for variable in layer.trainable_variables)


def layer_macs(layer: keras.Layer) -> int:
    """Multiply-adds of one convolution, fully connected layer or attention for one image, else 0.

    A kernel is applied once at each position of the output: [height, width, in/groups, out] of a
    convolution, [height, width, channels, 1] of a depthwise one, [in, out] of a dense layer.
    Attention, which has no kernel, says itself what its products take.
    """
    kernel = getattr(layer, "kernel", None)
    if kernel is None:
        return int(getattr(layer, "multiply_adds", 0))
    positions = layer.output.shape[1:-1]
    return math.prod(positions) * math.prod(kernel.shape)


def count_params(model: keras.Model) -> int:
    """Trainable parameters of a net."""
    return sum(layer_params(layer) for layer in model.layers)


def count_macs(model: keras.Model) -> int:
    """Multiply-adds of a net for one image, without biases, normalisation and pooling."""
    return sum(layer_macs(layer) for layer in model.layers)
