"""The residual units of ResNet, ResNeXt and SENet, and the four stages made of them.

A unit ends in a sum and a ReLU. Layer names are those of the authors' Caffe release of ResNet:
res3b_branch2c is the last convolution of the second unit of stage 3.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ._builder import Builder
    from ._registry import Tensor

Units = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True)
class Style:
    """What the papers vary in a residual unit.

    Attributes:
        bottleneck: 1x1, 3x3, 1x1 convolutions (table 1, 50 layers and more), not two of 3x3.
        shortcut: section 4.1: A pads with zeros, B projects where sizes change, C projects always.
        stride_in_3x3: whether a bottleneck's stride is in its 3x3 and not in its first 1x1.
        groups: of the 3x3 convolution (ResNeXt's cardinality).
        group_width: channels of one group in stage 2 (ResNeXt's d); the plain bottleneck is 1x64.
        halve_first: whether the first 1x1 has half the 3x3's channels (SENet-154).
        projection_size: kernel of the shortcuts' projections where they are strided.
        squeeze: reduction ratio of a squeeze-and-excitation block after the branch; 0 for none.
        blur_pool: blur before each strided convolution but the stem's (FFCV's ResNets).
        zero_gamma: start each branch's last gamma at 0, so that units start as identities
            (Goyal et al. 2017, arXiv:1706.02677, section 5.1).
        stochastic_depth: drop rate of the last unit's branch; the others' grow linearly to it.
    """

    bottleneck: bool = True
    shortcut: Literal["A", "B", "C"] = "B"
    stride_in_3x3: bool = False
    groups: int = 1
    group_width: int = 64
    halve_first: bool = False
    projection_size: int = 1
    squeeze: int = 0
    blur_pool: bool = False
    zero_gamma: bool = False
    stochastic_depth: float = 0.0


def residual_stages(nn: Builder, x: Tensor, units: Units, width: int, style: Style) -> Tensor:
    """Stages 2 to 5; each but the first halves the sides, and doubles the width."""
    done = 0
    for stage, count in enumerate(units):
        for unit in range(count):
            done += 1
            x = residual_unit(
                nn,
                x,
                width * 2**stage,
                strides=2 if stage > 0 and unit == 0 else 1,
                style=style,
                drop_rate=style.stochastic_depth * done / sum(units),
                name=unit_name(stage, unit, count),
            )
    return x


def unit_name(stage: int, unit: int, count: int) -> str:
    """Caffe's names: letters, and a, b1, b2, ... in the long stages of the deep nets."""
    letter = "abcdef"[unit] if count <= 6 else f"b{unit}" if unit else "a"
    return f"res{stage + 2}{letter}"


def residual_unit(
    nn: Builder, x: Tensor, width: int, *, strides: int, style: Style, drop_rate: float, name: str
) -> Tensor:
    """One unit: the shortcut plus a branch of two or three convolutions, then ReLU."""
    outputs = 4 * width if style.bottleneck else width
    shortcut = _shortcut(nn, x, outputs, strides, style, name)
    if style.bottleneck:
        inner = width * style.groups * style.group_width // 64
        first, second = (1, strides) if style.stride_in_3x3 else (strides, 1)
        y = _blurred(nn, x, first, style, f"{name}_branch2a")
        reduced = inner // 2 if style.halve_first else inner
        y = nn.conv_bn_relu(y, reduced, 1, first, name=f"{name}_branch2a")
        y = _blurred(nn, y, second, style, f"{name}_branch2b")
        y = nn.conv_bn_relu(
            y, inner, 3, second, pad=1, groups=style.groups, name=f"{name}_branch2b"
        )
        y = nn.conv_bn(y, outputs, 1, zero_gamma=style.zero_gamma, name=f"{name}_branch2c")
    else:
        y = _blurred(nn, x, strides, style, f"{name}_branch2a")
        y = nn.conv_bn_relu(y, width, 3, strides, pad=1, name=f"{name}_branch2a")
        y = nn.conv_bn(y, outputs, 3, pad=1, zero_gamma=style.zero_gamma, name=f"{name}_branch2b")
    if style.squeeze:
        y = nn.squeeze_excite(y, outputs // style.squeeze, name=f"{name}_se")
    if drop_rate:
        y = nn.stochastic_depth(y, drop_rate, name=f"{name}_drop")
    return nn.relu(nn.add([shortcut, y], name=name), name=f"{name}_relu")


def _shortcut(
    nn: Builder, x: Tensor, outputs: int, strides: int, style: Style, name: str
) -> Tensor:
    if strides == 1 and x.shape[-1] == outputs and style.shortcut != "C":
        return x
    if style.shortcut == "A":
        x = nn.max_pool(x, 1, strides, name=f"{name}_branch1")
        return nn.pad_channels(x, outputs, name=f"{name}_branch1_zeros")
    x = _blurred(nn, x, strides, style, f"{name}_branch1")
    size = style.projection_size if strides > 1 else 1
    return nn.conv_bn(x, outputs, size, strides, pad=size // 2, name=f"{name}_branch1")


def _blurred(nn: Builder, x: Tensor, strides: int, style: Style, name: str) -> Tensor:
    return nn.blur_pool(x, name=f"{name}_blur") if style.blur_pool and strides > 1 else x


def stage_ends(units: Units, side: int, width: int) -> dict[str, tuple[int, int]]:
    """The ends of the four stages, the first of which has ``side`` pixels and ``width`` maps."""
    return {
        f"{unit_name(stage, count - 1, count)}_relu": (side >> stage, width << stage)
        for stage, count in enumerate(units)
    }
