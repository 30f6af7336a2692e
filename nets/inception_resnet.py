"""Inception-ResNet-v2: Inceptions as residual branches, in the details of TF-slim."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._registry import BatchNorm, Net, PublishedError, Tensor
from .inception import stem as inception_v3_stem
from .inception_v4 import PAPER, auxiliary_head, branch, classifier, pooled

if TYPE_CHECKING:
    from ._builder import Builder


def stem(nn: Builder, x: Tensor) -> Tensor:
    """Inception-v3's, and one more Inception."""
    x = inception_v3_stem(nn, x)  # 35
    point = branch(nn, x, "mixed_5b_1x1", (96, 1))
    single = branch(nn, x, "mixed_5b_5x5", (48, 1), (64, 5))
    double = branch(nn, x, "mixed_5b_double3x3", (64, 1), (96, 3), (96, 3))
    return nn.concat([point, single, double, pooled(nn, x, 64, "mixed_5b")], name="mixed_5b")


def residual(
    nn: Builder, x: Tensor, branches: list[Tensor], scale: float, *, relu: bool = True, name: str
) -> Tensor:
    """Adds the branches, as many maps as came in by a 1x1 convolution, scaled (section 3.3)."""
    y = nn.concat(branches, name=f"{name}_mixed")
    y = nn.conv(y, x.shape[-1], 1, name=f"{name}_up")
    x = nn.add([x, nn.scale(y, scale, name=f"{name}_scale")], name=name)
    return nn.relu(x, name=f"{name}_relu") if relu else x


def block_a(nn: Builder, x: Tensor, name: str) -> Tensor:
    """Figure 16, at 35x35."""
    point = branch(nn, x, f"{name}_1x1", (32, 1))
    single = branch(nn, x, f"{name}_3x3", (32, 1), (32, 3))
    double = branch(nn, x, f"{name}_double3x3", (32, 1), (48, 3), (64, 3))
    return residual(nn, x, [point, single, double], 0.17, name=name)


def reduction_a(nn: Builder, x: Tensor, name: str) -> Tensor:
    """Figure 7, with k=256, l=256, m=384 and n=384 (table 1)."""
    single = branch(nn, x, f"{name}_3x3", (384, 3), strides=2)
    double = branch(nn, x, f"{name}_double3x3", (256, 1), (256, 3), (384, 3), strides=2)
    return nn.concat([single, double, nn.max_pool(x, 3, 2, name=f"{name}_pool")], name=name)


def block_b(nn: Builder, x: Tensor, name: str) -> Tensor:
    """Figure 17, at 17x17."""
    point = branch(nn, x, f"{name}_1x1", (192, 1))
    single = branch(nn, x, f"{name}_7x7", (128, 1), (160, (1, 7)), (192, (7, 1)))
    return residual(nn, x, [point, single], 0.10, name=name)


def reduction_b(nn: Builder, x: Tensor, name: str) -> Tensor:
    """Figure 18."""
    first = branch(nn, x, f"{name}_first3x3", (256, 1), (384, 3), strides=2)
    second = branch(nn, x, f"{name}_second3x3", (256, 1), (288, 3), strides=2)
    double = branch(nn, x, f"{name}_double3x3", (256, 1), (288, 3), (320, 3), strides=2)
    pool = nn.max_pool(x, 3, 2, name=f"{name}_pool")
    return nn.concat([first, second, double, pool], name=name)


def block_c(nn: Builder, x: Tensor, name: str, *, last: bool = False) -> Tensor:
    """Figure 19, at 8x8; the last one is neither scaled nor followed by a ReLU."""
    point = branch(nn, x, f"{name}_1x1", (192, 1))
    single = branch(nn, x, f"{name}_3x3", (192, 1), (224, (1, 3)), (256, (3, 1)))
    return residual(nn, x, [point, single], 1.0 if last else 0.20, relu=not last, name=name)


def inception_resnet_v2(
    nn: Builder, x: Tensor, num_classes: int, *, dropout: float = 0.2, auxiliary: bool = True
) -> Tensor:
    """Figure 15, with TF-slim's stem and widths."""
    x = stem(nn, x)  # 35
    for index in range(1, 11):
        x = block_a(nn, x, f"block35_{index}")  # 35
    x = reduction_a(nn, x, "mixed_6a")  # 17
    for index in range(1, 21):
        x = block_b(nn, x, f"block17_{index}")  # 17
    before_reduction = x
    x = reduction_b(nn, x, "mixed_7a")  # 8
    for index in range(1, 11):
        x = block_c(nn, x, f"block8_{index}", last=index == 10)  # 8
    x = nn.conv_bn_relu(x, 1536, 1, name="conv7b")  # 8
    logits = classifier(nn, x, num_classes, dropout)
    if not auxiliary:
        return logits
    return {"logits": logits, "aux1": auxiliary_head(nn, before_reduction, num_classes)}


NETS = (
    Net(
        name="inception_resnet_v2",
        body=inception_resnet_v2,
        paper=PAPER,
        year=2016,
        params=59_179_952,
        macs=13_162_501_216,
        image_size=299,
        feature_maps={
            "conv2b_relu": (147, 64),
            "conv4a_relu": (71, 192),
            "mixed_5b": (35, 320),
            "block35_10_relu": (35, 320),
            "mixed_6a": (17, 1088),
            "block17_20_relu": (17, 1088),
            "mixed_7a": (8, 2080),
            "block8_10": (8, 2080),
            "conv7b_relu": (8, 1536),
        },
        errors=(
            PublishedError(19.6, 4.7, source="TF-slim's weights"),
            PublishedError(19.7, 4.7, source="Keras's weights"),
        ),
        batch_norm=BatchNorm(momentum=0.9997, epsilon=1e-3, scale=False),  # TF-slim's
        auxiliary_weights={"aux1": 0.4},  # TF-slim's
        auxiliary_params=3_366_760,
        auxiliary_macs=6_707_200,
        departures=(
            "TF-slim's stem, which is Inception-v3's, in place of figure 3, and its widths",
            "an auxiliary head, as in TF-slim; figure 15 shows none",
            "L2 is on kernels; TF-slim has it on the few biases, too",
        ),
    ),
)
