"""Squeeze-and-excitation nets: residual units whose branches are gated map by map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._registry import Net, PublishedError, Tensor
from .residual import Style, Units, residual_stages, stage_ends
from .resnet import BATCH_NORM, UNITS, resnet

if TYPE_CHECKING:
    from ._builder import Builder

PAPER = "J. Hu, L. Shen, G. Sun: Squeeze-and-Excitation Networks. CVPR 2018, arXiv:1709.01507"
RATIO = 16  # section 6.1
SENET154_UNITS: Units = (3, 8, 36, 3)
SENET154_STYLE = Style(
    stride_in_3x3=True,
    groups=64,
    group_width=4,
    halve_first=True,
    projection_size=3,
    squeeze=RATIO,
)


def senet154(nn: Builder, x: Tensor, num_classes: int, *, dropout: float = 0.2) -> Tensor:
    """The net of the ILSVRC 2017 entry (appendix): ResNeXt-152 64x4d, gated and modified."""
    nn = nn.using(kernel_initializer=nn.variance_scaling(2.0, "fan_in", "untruncated_normal"))
    x = nn.conv_bn_relu(x, 64, 3, 2, pad=1, name="conv1_1")  # 112
    x = nn.conv_bn_relu(x, 64, 3, pad=1, name="conv1_2")  # 112
    x = nn.conv_bn_relu(x, 128, 3, pad=1, name="conv1_3")  # 112
    x = nn.max_pool(x, 3, 2, pad="ceil", name="pool1")  # 56
    x = residual_stages(nn, x, SENET154_UNITS, 64, SENET154_STYLE)  # 56, 28, 14, 7
    x = nn.global_avg_pool(x, name="pool5")
    x = nn.dropout(x, dropout, name="drop5")
    return nn.fc(x, num_classes, kernel_initializer=nn.torch_default(), name="fc")


def _net(name: str, style: Style, **facts: Any) -> Net:
    return Net(
        name=name,
        body=resnet,
        arguments={
            "units": UNITS[50],
            "style": style,
            "fan": "fan_in",
            "pool_pad": "ceil",
            "width": 64,
        },
        paper=PAPER,
        year=2017,
        image_size=224,
        feature_maps={"conv1_relu": (112, 64), "pool1": (56, 64)} | stage_ends(UNITS[50], 56, 256),
        batch_norm=BATCH_NORM,
        **facts,
    )


NETS = (
    _net(
        "se_resnet50",
        Style(squeeze=RATIO),
        params=28_088_024,
        macs=3_860_488_192,
        errors=(
            PublishedError(23.29, 6.62),
            PublishedError(22.37, 6.36, source="the authors' release"),
        ),
    ),
    _net(
        "se_resnext50",
        Style(stride_in_3x3=True, groups=32, group_width=4, squeeze=RATIO),
        params=27_559_896,
        macs=4_232_994_816,
        errors=(PublishedError(20.97, 5.54, source="the authors' release"),),
    ),
    Net(
        name="senet154",
        body=senet154,
        paper=PAPER,
        year=2017,
        params=115_088_984,
        macs=20_688_363_520,
        image_size=224,
        feature_maps={"conv1_3_relu": (112, 128), "pool1": (56, 128)}
        | stage_ends(SENET154_UNITS, 56, 256),
        errors=(PublishedError(18.68, 4.47, source="the authors' release"),),
        batch_norm=BATCH_NORM,
    ),
)
