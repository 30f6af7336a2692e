"""What a paper states once for all layers of a net: initialisers, and what they are drawn from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from ._registry import Net

# Keras's name of an initialiser, or its config: data, from which every layer makes its own (an
# initialiser object that layers shared would give them all the same values).
Initializer = str | dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a ``Builder`` holds.

    Attributes:
        net: the entry that is being built; its ``batch_norm`` holds the constants.
        kernel_initializer: of convolutions and fully connected layers, unless a call overrides it.
        bias_initializer: the constant that biases start at, likewise.
        synchronized: whether batch statistics are computed over all replicas.
        windows: None, or, for the fully convolutional form, the (height, width) of the feature maps
            that each fully connected layer of this name flattens; others see single positions.
    """

    net: Net
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: float = 0.0
    synchronized: bool = False
    windows: Mapping[str, tuple[int, int]] | None = None

    def using(self, **changes: Any) -> Self:
        """Returns a Builder with other initialisers."""
        return dataclasses.replace(self, **changes)

    @staticmethod
    def normal(stddev: float) -> Initializer:
        """N(0, stddev^2)."""
        return {"class_name": "RandomNormal", "config": {"mean": 0.0, "stddev": stddev}}

    @staticmethod
    def truncated_normal(stddev: float) -> Initializer:
        """N(0, stddev^2) without what lies beyond two stddev (TF-slim's default)."""
        return {"class_name": "TruncatedNormal", "config": {"mean": 0.0, "stddev": stddev}}

    @staticmethod
    def variance_scaling(scale: float, mode: str, distribution: str) -> Initializer:
        """Variance scale/fan.

        (1, 'fan_in', 'uniform') is Caffe's xavier; (2, 'fan_in', 'untruncated_normal') its msra,
        after He et al., where fb.resnet.torch takes 'fan_out'.
        """
        config = {"scale": scale, "mode": mode, "distribution": distribution}
        return {"class_name": "VarianceScaling", "config": config}

    @staticmethod
    def torch_default() -> Initializer:
        """Uniform within 1/sqrt(fan_in), which torch gives to every layer."""
        return Settings.variance_scaling(1 / 3, "fan_in", "uniform")

    def constant(self, bias: float | None) -> Initializer:
        """What a layer's biases start at."""
        value = self.bias_initializer if bias is None else bias
        return {"class_name": "Constant", "config": {"value": value}}
