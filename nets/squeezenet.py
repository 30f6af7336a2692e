"""SqueezeNet: fire modules, and no fully connected layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._registry import Net, PublishedError, Tensor

if TYPE_CHECKING:
    from ._builder import Builder

PAPER = (
    "F. N. Iandola, S. Han, M. W. Moskewicz, K. Ashraf, W. J. Dally, K. Keutzer: SqueezeNet: "
    "AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size. arXiv:1602.07360, 2016"
)


def fire(nn: Builder, x: Tensor, squeeze: int, expand: int, *, name: str) -> Tensor:
    """Squeezes to few maps by 1x1, expands by 1x1 and by 3x3 side by side (section 3.2)."""
    x = nn.conv_relu(x, squeeze, 1, name=f"{name}_squeeze1x1")
    small = nn.conv_relu(x, expand, 1, name=f"{name}_expand1x1")
    large = nn.conv_relu(x, expand, 3, pad=1, name=f"{name}_expand3x3")
    return nn.concat([small, large], name=name)


def squeezenet1_0(nn: Builder, x: Tensor, num_classes: int, *, dropout: float = 0.5) -> Tensor:
    """Table 1; initialised as in the authors' Caffe model."""
    nn = nn.using(kernel_initializer=nn.variance_scaling(1.0, "fan_in", "uniform"))
    x = nn.conv_relu(x, 96, 7, 2, name="conv1")  # 111
    x = nn.max_pool(x, 3, 2, pad="ceil", name="pool1")  # 55
    x = fire(nn, x, 16, 64, name="fire2")  # 55
    x = fire(nn, x, 16, 64, name="fire3")
    x = fire(nn, x, 32, 128, name="fire4")
    x = nn.max_pool(x, 3, 2, pad="ceil", name="pool4")  # 27
    x = fire(nn, x, 32, 128, name="fire5")  # 27
    x = fire(nn, x, 48, 192, name="fire6")
    x = fire(nn, x, 48, 192, name="fire7")
    x = fire(nn, x, 64, 256, name="fire8")
    x = nn.max_pool(x, 3, 2, pad="ceil", name="pool8")  # 13
    x = fire(nn, x, 64, 256, name="fire9")  # 13
    x = nn.dropout(x, dropout, name="drop9")
    x = nn.conv_relu(
        x, num_classes, 1, pad=1, kernel_initializer=nn.normal(0.01), name="conv10"
    )  # 15
    return nn.global_avg_pool(x, name="pool10")


def squeezenet1_1(nn: Builder, x: Tensor, num_classes: int, *, dropout: float = 0.5) -> Tensor:
    """The authors' second release: a smaller stem and earlier pooling for 2.4 times fewer MACs."""
    nn = nn.using(kernel_initializer=nn.variance_scaling(1.0, "fan_in", "uniform"))
    x = nn.conv_relu(x, 64, 3, 2, name="conv1")  # 113
    x = nn.max_pool(x, 3, 2, pad="ceil", name="pool1")  # 56
    x = fire(nn, x, 16, 64, name="fire2")  # 56
    x = fire(nn, x, 16, 64, name="fire3")
    x = nn.max_pool(x, 3, 2, pad="ceil", name="pool3")  # 28
    x = fire(nn, x, 32, 128, name="fire4")  # 28
    x = fire(nn, x, 32, 128, name="fire5")
    x = nn.max_pool(x, 3, 2, pad="ceil", name="pool5")  # 14
    x = fire(nn, x, 48, 192, name="fire6")  # 14
    x = fire(nn, x, 48, 192, name="fire7")
    x = fire(nn, x, 64, 256, name="fire8")
    x = fire(nn, x, 64, 256, name="fire9")
    x = nn.dropout(x, dropout, name="drop9")
    x = nn.conv_relu(x, num_classes, 1, kernel_initializer=nn.normal(0.01), name="conv10")  # 14
    return nn.global_avg_pool(x, name="pool10")


NETS = (
    Net(
        name="squeezenet1_0",
        body=squeezenet1_0,
        paper=PAPER,
        year=2016,
        params=1_248_424,
        macs=861_339_936,
        image_size=227,
        feature_maps={
            "conv1": (111, 96),
            "pool1": (55, 96),
            "fire4": (55, 256),
            "pool4": (27, 256),
            "fire8": (27, 512),
            "pool8": (13, 512),
            "fire9": (13, 512),
        },
        errors=(
            PublishedError(42.5, 19.7),
            PublishedError(41.91, 19.58, source="torchvision's weights"),
        ),
        departures=(
            "as in the authors' Caffe model, not table 1: 227 pixels, and conv10 is padded by 1",
        ),
    ),
    Net(
        name="squeezenet1_1",
        body=squeezenet1_1,
        paper=PAPER,
        year=2016,
        params=1_235_496,
        macs=387_747_520,
        image_size=227,
        feature_maps={
            "conv1": (113, 64),
            "pool1": (56, 64),
            "pool3": (28, 128),
            "pool5": (14, 256),
            "fire9": (14, 512),
        },
        errors=(PublishedError(41.82, 19.38, source="torchvision's weights"),),
        departures=("the authors' release of the net after the paper",),
    ),
)
