"""Layers that move feature maps about, without parameters: NHWC."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

_registered = keras.saving.register_keras_serializable(__package__ or "nets")


@_registered
class SliceChannels(keras.layers.Layer):
    """The feature maps from ``start`` to before ``stop``."""

    def __init__(self, start: int, stop: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.start, self.stop = start, stop

    def call(self, inputs: Any) -> Any:
        """[batch, height, width, any] -> [batch, height, width, stop - start]."""
        return inputs[..., self.start : self.stop]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's, with fewer channels."""
        return (*input_shape[:-1], self.stop - self.start)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "start": self.start, "stop": self.stop}


@_registered
class ShuffleChannels(keras.layers.Layer):
    """Deals the feature maps of ``groups`` groups out in turns (Zhang et al. 2018, ShuffleNet)."""

    def __init__(self, groups: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.groups = groups

    def call(self, inputs: Any) -> Any:
        """[batch, height, width, channels] -> the same shape and dtype."""
        _, height, width, channels = ops.shape(inputs)
        x = ops.reshape(inputs, (-1, height, width, self.groups, channels // self.groups))
        return ops.reshape(ops.swapaxes(x, -1, -2), (-1, height, width, channels))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "groups": self.groups}
