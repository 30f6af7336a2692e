"""Xception: separable convolutions in residual modules, in place of Inception's modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._registry import BatchNorm, Net, PublishedError, Tensor

if TYPE_CHECKING:
    from ._builder import Builder

PAPER = (
    "F. Chollet: Xception: Deep Learning with Depthwise Separable Convolutions. "
    "CVPR 2017, arXiv:1610.02357"
)


def separable(nn: Builder, x: Tensor, width: int, name: str) -> Tensor:
    """A depthwise 3x3 convolution, a 1x1 one and normalisation, with nothing between the two."""
    x = nn.depthwise_conv(x, 3, pad="same", name=f"{name}_dw")
    return nn.conv_bn(x, width, 1, name=name)


def module(
    nn: Builder, x: Tensor, widths: tuple[int, ...], name: str, first: bool = False
) -> Tensor:
    """ReLU and separable convolution in turn; where the width changes, the sides are halved."""
    y = x
    for index, width in enumerate(widths, start=1):
        if index > 1 or not first:
            y = nn.relu(y, name=f"{name}_relu{index}")
        y = separable(nn, y, width, f"{name}_sepconv{index}")
    if y.shape[-1] != x.shape[-1]:
        y = nn.max_pool(y, 3, 2, pad="same", name=f"{name}_pool")
        x = nn.conv_bn(x, y.shape[-1], 1, 2, pad="same", name=f"{name}_shortcut")
    return nn.add([y, x], name=name)


def xception(nn: Builder, x: Tensor, num_classes: int, *, dropout: float = 0.5) -> Tensor:
    """Figure 5; dropout as in section 4.3."""
    x = nn.conv_bn_relu(x, 32, 3, 2, name="conv1")  # 149
    x = nn.conv_bn_relu(x, 64, 3, name="conv2")  # 147
    x = module(nn, x, (128, 128), "entry1", first=True)  # 74
    x = module(nn, x, (256, 256), "entry2")  # 37
    x = module(nn, x, (728, 728), "entry3")  # 19
    for index in range(1, 9):
        x = module(nn, x, (728, 728, 728), f"middle{index}")  # 19
    x = module(nn, x, (728, 1024), "exit")  # 10
    x = nn.relu(separable(nn, x, 1536, "sepconv3"), name="sepconv3_relu")
    x = nn.relu(separable(nn, x, 2048, "sepconv4"), name="sepconv4_relu")  # 10
    x = nn.global_avg_pool(x, name="pool")
    x = nn.dropout(x, dropout, name="drop")
    return nn.fc(x, num_classes, name="fc")


NETS = (
    Net(
        name="xception",
        body=xception,
        paper=PAPER,
        year=2016,
        params=22_855_952,
        macs=8_357_403_496,
        image_size=299,
        feature_maps={
            "conv1_relu": (149, 32),
            "conv2_relu": (147, 64),
            "entry1": (74, 128),
            "entry2": (37, 256),
            "entry3": (19, 728),
            "middle8": (19, 728),
            "exit": (10, 1024),
            "sepconv4_relu": (10, 2048),
        },
        errors=(PublishedError(21.0, 5.5, source="Keras's weights"),),
        batch_norm=BatchNorm(momentum=0.99, epsilon=1e-3),  # the author's code, keras.applications
    ),
)
