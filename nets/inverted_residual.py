"""The units of MobileNetV2, MobileNetV3 and EfficientNet: narrow ends, wide and depthwise inside.

Sandler et al. 2018, figure 3(b): a 1x1 convolution expands, a depthwise one filters, a 1x1
convolution without activation projects; the shortcut joins the narrow ends.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._builder import Builder
    from ._registry import Tensor


@dataclasses.dataclass(frozen=True)
class Inverted:
    """One unit.

    Attributes:
        size: of the depthwise kernel.
        expanded: feature maps inside; without an expansion where these are as many as come in.
        outputs: feature maps that go out.
        strides: of the depthwise convolution.
        squeeze: feature maps inside of squeeze-and-excitation; 0 for none.
        activation: after the first two convolutions.
        squeeze_activation: inside of squeeze-and-excitation.
        gate: at its end.
    """

    size: int
    expanded: int
    outputs: int
    strides: int
    squeeze: int = 0
    activation: str = "relu6"
    squeeze_activation: str = "relu"
    gate: str = "sigmoid"


def inverted_residual(
    nn: Builder, x: Tensor, unit: Inverted, *, drop_rate: float = 0.0, name: str
) -> Tensor:
    """Expands, filters and projects; ``drop_rate`` is that of stochastic depth."""
    y = x
    if unit.expanded != x.shape[-1]:
        y = nn.conv_bn(y, unit.expanded, 1, name=f"{name}_expand")
        y = nn.activation(y, unit.activation, name=f"{name}_expand_{unit.activation}")
    y = nn.depthwise_conv(y, unit.size, unit.strides, pad="same", name=f"{name}_depthwise")
    y = nn.batch_norm(y, name=f"{name}_depthwise_bn")
    y = nn.activation(y, unit.activation, name=f"{name}_depthwise_{unit.activation}")
    if unit.squeeze:
        y = nn.squeeze_excite(
            y, unit.squeeze, inner=unit.squeeze_activation, gate=unit.gate, name=f"{name}_se"
        )
    y = nn.conv_bn(y, unit.outputs, 1, name=f"{name}_project")
    if unit.strides > 1 or unit.outputs != x.shape[-1]:
        return y
    if drop_rate:
        y = nn.stochastic_depth(y, drop_rate, name=f"{name}_drop")
    return nn.add([x, y], name=name)


def divisible(channels: float, divisor: int = 8) -> int:
    """The nearest multiple, at least one and not below nine tenths (TF-slim's rule)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
