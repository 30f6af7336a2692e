"""MobileNetV2: inverted residual units with linear bottlenecks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._registry import BatchNorm, Net, PublishedError, Tensor
from .inverted_residual import Inverted, divisible, inverted_residual

if TYPE_CHECKING:
    from ._builder import Builder

PAPER = (
    "M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen: MobileNetV2: Inverted Residuals and "
    "Linear Bottlenecks. CVPR 2018, arXiv:1801.04381"
)
# Table 2: expansion t, output channels c, repetitions n, and strides s of the first.
STAGES = (
    (1, 16, 1, 1),  # 112
    (6, 24, 2, 2),  # 56
    (6, 32, 3, 2),  # 28
    (6, 64, 4, 2),  # 14
    (6, 96, 3, 1),  # 14
    (6, 160, 3, 2),  # 7
    (6, 320, 1, 1),  # 7
)


def mobilenet_v2(
    nn: Builder,
    x: Tensor,
    num_classes: int,
    *,
    stem_stride: int = 2,
    width_multiplier: float = 1.0,
    dropout: float = 0.2,
) -> Tensor:
    """Table 2; initialiser, dropout and padding are TF-slim's, the authors' release."""
    nn = nn.using(kernel_initializer=nn.truncated_normal(0.09))
    x = nn.conv_bn(x, divisible(32 * width_multiplier), 3, stem_stride, pad="same", name="conv1")
    x = nn.activation(x, "relu6", name="conv1_relu6")
    for stage, (expansion, width, count, strides) in enumerate(STAGES, start=2):
        for index in range(count):
            unit = Inverted(
                size=3,
                expanded=expansion * x.shape[-1],
                outputs=divisible(width * width_multiplier),
                strides=strides if index == 0 else 1,
            )
            x = inverted_residual(nn, x, unit, name=f"block{stage}{'abcd'[index]}")
    x = nn.conv_bn(x, divisible(1280 * max(1.0, width_multiplier)), 1, name="conv9")  # 7
    x = nn.activation(x, "relu6", name="conv9_relu6")
    x = nn.global_avg_pool(x, name="pool")
    x = nn.dropout(x, dropout, name="drop")
    return nn.fc(x, num_classes, name="fc")


NETS = (
    Net(
        name="mobilenet_v2",
        body=mobilenet_v2,
        paper=PAPER,
        year=2018,
        params=3_504_872,
        macs=300_774_272,
        image_size=224,
        feature_maps={
            "conv1_relu6": (112, 32),
            "block2a_project_bn": (112, 16),
            "block3b": (56, 24),
            "block4c": (28, 32),
            "block5d": (14, 64),
            "block6c": (14, 96),
            "block7c": (7, 160),
            "block8a_project_bn": (7, 320),
            "conv9_relu6": (7, 1280),
        },
        errors=(
            PublishedError(28.2, 9.0, source="TF-slim's weights"),
            PublishedError(28.0, None),
            PublishedError(28.7, 9.9, source="Keras's weights"),
        ),
        batch_norm=BatchNorm(momentum=0.997, epsilon=1e-3),  # TF-slim's
        decay="kernels_but_depthwise",  # likewise
    ),
    Net(
        name="mobilenet_v2_64px",
        body=mobilenet_v2,
        arguments={"stem_stride": 1},
        paper="ours, after M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen 2018",
        year=2018,
        params=3_504_872,
        macs=99_074_048,
        image_size=64,
        feature_maps={
            "conv1_relu6": (64, 32),
            "block3b": (32, 24),
            "block4c": (16, 32),
            "block6c": (8, 96),
            "conv9_relu6": (4, 1280),
        },
        batch_norm=BatchNorm(momentum=0.9, epsilon=1e-5),
        decay="kernels_but_depthwise",
        departures=(
            "the first convolution has no strides; constants of batch normalisation for short "
            "trainings",
        ),
    ),
)
