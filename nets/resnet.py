"""ResNet, first version (sum, then ReLU).

``resnet50`` and deeper are the paper's: a stage's stride is in its first 1x1 convolution; ``_v1_5``
have it in the 3x3, as fb.resnet.torch and torchvision. ``resnet18`` and ``resnet34`` have shortcut
option B, ``_a`` and ``_c`` the others of section 4.1. ``resnet10`` and ``resnet18_small`` are ours.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

from ._registry import BatchNorm, Net, PublishedError, Tensor
from .residual import Style, Units, residual_stages, stage_ends

if TYPE_CHECKING:
    from ._builder import Builder
    from ._padding import Pad

PAPER = (
    "K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition. "
    "CVPR 2016, arXiv:1512.03385"
)
BATCH_NORM = BatchNorm(momentum=0.9, epsilon=1e-5)


def resnet(
    nn: Builder,
    x: Tensor,
    num_classes: int,
    *,
    units: Units,
    style: Style,
    fan: Literal["fan_in", "fan_out"],
    pool_pad: Pad = 1,
    width: int = 64,
    blur_pool: bool = False,
    zero_gamma: bool = False,
    stochastic_depth: float = 0.0,
    space_to_depth_stem: bool = False,
) -> Tensor:
    """Table 1 of the paper, initialised by He's rule: ``fan`` is fan_in in the paper and Caffe.

    The classifier starts from torch's default: the paper gives none, and He's with fan_out would
    make the logits of a few classes huge.
    """
    nn = nn.using(kernel_initializer=nn.variance_scaling(2.0, fan, "untruncated_normal"))
    style = dataclasses.replace(
        style, blur_pool=blur_pool, zero_gamma=zero_gamma, stochastic_depth=stochastic_depth
    )
    if space_to_depth_stem:
        x = nn.space_to_depth_stem(x, width, name="conv1")  # 112
        x = nn.relu(nn.batch_norm(x, name="conv1_bn"), name="conv1_relu")
    else:
        x = nn.conv_bn_relu(x, width, 7, 2, pad=3, name="conv1")  # 112
    x = nn.max_pool(x, 3, 2, pad=pool_pad, name="pool1")  # 56
    x = residual_stages(nn, x, units, width, style)  # 56, 28, 14, 7
    x = nn.global_avg_pool(x, name="pool5")
    return nn.fc(x, num_classes, kernel_initializer=nn.torch_default(), name="fc")


def resnet_small(
    nn: Builder, x: Tensor, num_classes: int, *, units: Units, width: int = 64, stem_stride: int = 1
) -> Tensor:
    """For images of 32 to 64 pixels: a 3x3 stem and no pooling, as in section 4.2's CIFAR nets."""
    nn = nn.using(kernel_initializer=nn.variance_scaling(2.0, "fan_in", "untruncated_normal"))
    x = nn.conv_bn_relu(x, width, 3, stem_stride, pad=1, name="conv1")  # 56
    x = residual_stages(nn, x, units, width, Style(bottleneck=False))  # 56, 28, 14, 7
    x = nn.global_avg_pool(x, name="pool5")
    return nn.fc(x, num_classes, kernel_initializer=nn.torch_default(), name="fc")


def _net(name: str, units: Units, style: Style, **facts: Any) -> Net:
    torch = style.stride_in_3x3
    return Net(
        name=name,
        body=resnet,
        arguments={
            "units": units,
            "style": style,
            "fan": "fan_out" if torch else "fan_in",
            "pool_pad": 1,
            "width": 64,
        },
        paper=PAPER,
        year=2015,
        image_size=224,
        feature_maps={"conv1_relu": (112, 64), "pool1": (56, 64)}
        | stage_ends(units, 56, 256 if style.bottleneck else 64),
        batch_norm=BATCH_NORM,
        decay="all" if torch else "kernels",
        **facts,
    )


def _v1_5(name: str, units: Units, **facts: Any) -> Net:
    departures = (
        "as in fb.resnet.torch and torchvision: the stride is in the 3x3 convolution, and all "
        "variables decay",
    )
    return _net(name, units, Style(stride_in_3x3=True), departures=departures, **facts)


UNITS: dict[int, Units] = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
BASIC_A = Style(bottleneck=False, shortcut="A")
BASIC = Style(bottleneck=False)
BASIC_C = Style(bottleneck=False, shortcut="C")
FB = "fb.resnet.torch's weights"

NETS = (
    _net(
        "resnet18",
        UNITS[18],
        BASIC,
        params=11_689_512,
        macs=1_814_073_344,
        errors=(PublishedError(30.43, 10.76, source=FB),),
    ),
    _net(
        "resnet18_a",
        UNITS[18],
        BASIC_A,
        params=11_515_688,
        macs=1_794_805_760,
        errors=(PublishedError(27.88, None, "10 crops"),),
    ),
    _net("resnet18_c", UNITS[18], BASIC_C, params=12_043_816, macs=1_878_298_624),
    _net(
        "resnet34",
        UNITS[34],
        BASIC,
        params=21_797_672,
        macs=3_663_761_408,
        errors=(
            PublishedError(26.73, 8.74, source=FB),
            PublishedError(24.52, 7.46, "10 crops"),
            PublishedError(21.84, 5.71, "dense", scales=5),
        ),
    ),
    _net(
        "resnet34_a",
        UNITS[34],
        BASIC_A,
        params=21_623_848,
        macs=3_644_493_824,
        errors=(PublishedError(25.03, 7.76, "10 crops"),),
    ),
    _net(
        "resnet34_c",
        UNITS[34],
        BASIC_C,
        params=22_716_840,
        macs=3_830_747_136,
        errors=(
            PublishedError(24.19, 7.40, "10 crops"),
            PublishedError(21.53, 5.60, "dense", scales=5),
        ),
    ),
    _net(
        "resnet50",
        UNITS[50],
        Style(),
        params=25_557_032,
        macs=3_857_973_248,
        errors=(
            PublishedError(24.7, 7.8, source="the authors' release"),
            PublishedError(22.85, 6.71, "10 crops"),
            PublishedError(20.74, 5.25, "dense", scales=5),
        ),
        departures=("no bias in conv1, where the authors' Caffe model of this depth has one",),
    ),
    _net(
        "resnet101",
        UNITS[101],
        Style(),
        params=44_549_160,
        macs=7_570_194_432,
        errors=(
            PublishedError(23.6, 7.1, source="the authors' release"),
            PublishedError(21.75, 6.05, "10 crops"),
            PublishedError(19.87, 4.60, "dense", scales=5),
        ),
    ),
    _net(
        "resnet152",
        UNITS[152],
        Style(),
        params=60_192_808,
        macs=11_282_415_616,
        errors=(
            PublishedError(23.0, 6.7, source="the authors' release"),
            PublishedError(21.43, 5.71, "10 crops"),
            PublishedError(19.38, 4.49, "dense", scales=5),
        ),
    ),
    _v1_5(
        "resnet50_v1_5",
        UNITS[50],
        params=25_557_032,
        macs=4_089_184_256,
        errors=(PublishedError(24.01, 7.02, source=FB),),
    ),
    _v1_5(
        "resnet101_v1_5",
        UNITS[101],
        params=44_549_160,
        macs=7_801_405_440,
        errors=(PublishedError(22.44, 6.21, source=FB),),
    ),
    _v1_5(
        "resnet152_v1_5",
        UNITS[152],
        params=60_192_808,
        macs=11_513_626_624,
        errors=(PublishedError(22.16, 6.16, source=FB),),
    ),
    Net(
        name="resnet10",
        body=resnet,
        arguments={"units": UNITS[10], "style": BASIC, "fan": "fan_in", "pool_pad": 1},
        paper=f"ours, after {PAPER}",
        year=2015,
        params=5_418_792,
        macs=889_229_312,
        image_size=224,
        feature_maps={"conv1_relu": (112, 64), "pool1": (56, 64)} | stage_ends(UNITS[10], 56, 64),
        batch_norm=BATCH_NORM,
        departures=("one basic unit a stage; the width of the first is an option",),
    ),
    Net(
        name="resnet18_small",
        body=resnet_small,
        arguments={"units": UNITS[18]},
        paper=f"ours, after {PAPER}",
        year=2015,
        params=11_681_832,
        macs=1_701_478_400,
        image_size=56,
        feature_maps={"conv1_relu": (56, 64)} | stage_ends(UNITS[18], 56, 64),
        batch_norm=BATCH_NORM,
        departures=("for images of 32 to 64 pixels: a 3x3 convolution for conv1 and pool1",),
    ),
)
