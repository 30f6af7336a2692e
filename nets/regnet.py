"""RegNetY: four stages whose widths follow a line, of grouped residual units with SE inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._registry import BatchNorm, Net, PublishedError, Tensor

if TYPE_CHECKING:
    from ._builder import Builder

PAPER = (
    "I. Radosavovic, R. P. Kosaraju, R. Girshick, K. He, P. Dollar: Designing Network Design "
    "Spaces. CVPR 2020, arXiv:2003.13678"
)
Widths = tuple[int, int, int, int]


def unit(
    nn: Builder, x: Tensor, width: int, strides: int, *, group_width: int, name: str
) -> Tensor:
    """The Y block (figure 4, and section 4): bottleneck ratio 1, SE after the 3x3 convolution.

    SE has a quarter of the feature maps that come into the unit.
    """
    shortcut = x
    if strides > 1 or x.shape[-1] != width:
        shortcut = nn.conv_bn(x, width, 1, strides, name=f"{name}_short")
    y = nn.conv_bn_relu(x, width, 1, name=f"{name}_a")
    groups = width // group_width
    y = nn.conv_bn_relu(y, width, 3, strides, pad=1, groups=groups, name=f"{name}_b")
    y = nn.squeeze_excite(y, round(x.shape[-1] / 4), name=f"{name}_se")
    y = nn.conv_bn(y, width, 1, name=f"{name}_c")
    return nn.relu(nn.add([shortcut, y], name=name), name=f"{name}_relu")


def regnet_y(
    nn: Builder, x: Tensor, num_classes: int, *, depths: Widths, widths: Widths, group_width: int
) -> Tensor:
    """Figure 16's d_i, w_i and g; initialisers are pycls's."""
    nn = nn.using(kernel_initializer=nn.variance_scaling(2.0, "fan_out", "untruncated_normal"))
    x = nn.conv_bn_relu(x, 32, 3, 2, pad=1, name="conv1")  # 112
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
        for index in range(1, depth + 1):  # 56, 28, 14, 7
            strides = 2 if index == 1 else 1
            name = f"block{stage}_{index}"
            x = unit(nn, x, width, strides, group_width=group_width, name=name)
    x = nn.global_avg_pool(x, name="pool")
    return nn.fc(x, num_classes, kernel_initializer=nn.normal(0.01), name="fc")


def _net(name: str, depths: Widths, widths: Widths, group_width: int, **facts: Any) -> Net:
    ends = {
        f"block{stage}_{depth}_relu": (112 >> stage, width)
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1)
    }
    return Net(
        name=name,
        body=regnet_y,
        arguments={"depths": depths, "widths": widths, "group_width": group_width},
        paper=PAPER,
        year=2020,
        feature_maps={"conv1_relu": (112, 32), **ends},
        batch_norm=BatchNorm(momentum=0.9, epsilon=1e-5),  # pycls's
        decay="all",  # likewise
        **facts,
    )


NETS = (
    _net(
        "regnet_y_800mf",
        (1, 3, 8, 2),
        (64, 128, 320, 768),
        16,
        params=6_263_168,
        macs=797_176_832,
        errors=(PublishedError(23.7, None, source="the authors' release"),),
    ),
    _net(
        "regnet_y_4gf",
        (2, 6, 12, 2),
        (128, 192, 512, 1088),
        64,
        params=20_646_656,
        macs=3_973_288_448,
        errors=(PublishedError(20.6, None, source="the authors' release"),),
    ),
    _net(
        "regnet_y_800mf_torchvision",
        (1, 3, 8, 2),
        (64, 144, 320, 784),
        16,
        params=6_432_512,
        macs=833_856_256,
        errors=(PublishedError(23.58, 6.864, source="torchvision's weights"),),
        departures=("torchvision rounds the second and fourth stages' widths up to whole groups",),
    ),
)
