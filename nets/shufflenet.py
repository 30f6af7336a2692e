"""ShuffleNetV2: half of the feature maps go through a unit, and then all of them are shuffled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._registry import BatchNorm, Net, PublishedError, Tensor

if TYPE_CHECKING:
    from ._builder import Builder

PAPER = (
    "N. Ma, X. Zhang, H.-T. Zheng, J. Sun: ShuffleNet V2: Practical Guidelines for Efficient CNN "
    "Architecture Design. ECCV 2018, arXiv:1807.11164"
)
# Table 5: repetitions, and output channels for 1x.
STAGES = ((4, 116), (8, 232), (4, 464))  # 28, 14, 7


def _filtered(nn: Builder, x: Tensor, width: int, strides: int, name: str) -> Tensor:
    """A depthwise convolution without ReLU, then a 1x1 convolution."""
    x = nn.depthwise_conv(x, 3, strides, pad=1, name=f"{name}_depthwise")
    x = nn.batch_norm(x, name=f"{name}_depthwise_bn")
    return nn.conv_bn_relu(x, width, 1, name=f"{name}_last")


def unit(nn: Builder, x: Tensor, width: int, name: str) -> Tensor:
    """Figure 3(c): half of the feature maps pass as they are."""
    kept = nn.slice_channels(x, 0, width // 2, name=f"{name}_kept")
    y = nn.slice_channels(x, width // 2, width, name=f"{name}_split")
    y = nn.conv_bn_relu(y, width // 2, 1, name=f"{name}_first")
    y = _filtered(nn, y, width // 2, 1, name)
    return nn.shuffle_channels(nn.concat([kept, y], name=f"{name}_concat"), 2, name=name)


def strided_unit(nn: Builder, x: Tensor, width: int, name: str) -> Tensor:
    """Figure 3(d): all feature maps go both ways, with half the sides."""
    short = _filtered(nn, x, width // 2, 2, f"{name}_short")
    y = nn.conv_bn_relu(x, width // 2, 1, name=f"{name}_first")
    y = _filtered(nn, y, width // 2, 2, name)
    return nn.shuffle_channels(nn.concat([short, y], name=f"{name}_concat"), 2, name=name)


def shufflenet_v2(nn: Builder, x: Tensor, num_classes: int) -> Tensor:
    """Table 5, 1x. Initialisers are torchvision's, which are torch's."""
    nn = nn.using(kernel_initializer=nn.torch_default())
    x = nn.conv_bn_relu(x, 24, 3, 2, pad=1, name="conv1")  # 112
    x = nn.max_pool(x, 3, 2, pad=1, name="pool1")  # 56
    for stage, (count, width) in enumerate(STAGES, start=2):
        x = strided_unit(nn, x, width, f"stage{stage}_1")  # 28, 14, 7
        for index in range(2, count + 1):
            x = unit(nn, x, width, f"stage{stage}_{index}")
    x = nn.conv_bn_relu(x, 1024, 1, name="conv5")  # 7
    x = nn.global_avg_pool(x, name="pool")
    return nn.fc(x, num_classes, name="fc")


NETS = (
    Net(
        name="shufflenet_v2",
        body=shufflenet_v2,
        paper=PAPER,
        year=2018,
        params=2_278_604,
        macs=144_907_992,
        feature_maps={
            "conv1_relu": (112, 24),
            "pool1": (56, 24),
            "stage2_4": (28, 116),
            "stage3_8": (14, 232),
            "stage4_4": (7, 464),
            "conv5_relu": (7, 1024),
        },
        errors=(
            PublishedError(30.6, 11.1, source="the authors' release"),
            PublishedError(30.638, 11.684, source="torchvision's weights"),
        ),
        batch_norm=BatchNorm(momentum=0.9, epsilon=1e-5),  # torch's defaults
        departures=("a bias in the last layer, as in torchvision; the authors' release has none",),
    ),
)
