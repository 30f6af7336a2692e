"""EfficientNet: a searched net of inverted residual units, scaled in width, depth and sides."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ._registry import BatchNorm, Net, PublishedError, Tensor
from .inverted_residual import Inverted, divisible, inverted_residual

if TYPE_CHECKING:
    from ._builder import Builder

PAPER = (
    "M. Tan, Q. V. Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks. "
    "ICML 2019, arXiv:1905.11946"
)
# Table 1: expansion, kernel, output channels, layers, and strides of the first.
STAGES = (
    (1, 3, 16, 1, 1),  # 112
    (6, 3, 24, 2, 2),  # 56
    (6, 5, 40, 2, 2),  # 28
    (6, 3, 80, 3, 2),  # 14
    (6, 5, 112, 3, 1),  # 14
    (6, 5, 192, 4, 2),  # 7
    (6, 3, 320, 1, 1),  # 7
)


def efficientnet(
    nn: Builder,
    x: Tensor,
    num_classes: int,
    *,
    width: float,
    depth: float,
    dropout: float = 0.2,
    stochastic_depth: float = 0.2,
) -> Tensor:
    """Table 1, its channels times ``width`` and its layers times ``depth``.

    Initialisers, padding and the drop rates are those of the authors' TPU reference.
    """
    nn = nn.using(kernel_initializer=nn.variance_scaling(2.0, "fan_out", "untruncated_normal"))
    x = nn.conv_bn(x, divisible(32 * width), 3, 2, pad="same", name="conv1")
    x = nn.activation(x, "silu", name="conv1_silu")
    counts = repetitions(depth)
    done = 0
    for stage, (expansion, size, channels, _, strides) in enumerate(STAGES, start=2):
        for index in range(counts[stage - 2]):
            unit = Inverted(
                size,
                expanded=expansion * x.shape[-1],
                outputs=divisible(channels * width),
                strides=strides if index == 0 else 1,
                squeeze=x.shape[-1] // 4,
                activation="silu",
                squeeze_activation="silu",
            )
            rate = stochastic_depth * done / sum(counts)
            x = inverted_residual(nn, x, unit, drop_rate=rate, name=f"block{stage}_{index + 1}")
            done += 1
    x = nn.conv_bn(x, divisible(1280 * width), 1, name="conv9")
    x = nn.activation(x, "silu", name="conv9_silu")
    x = nn.global_avg_pool(x, name="pool")
    x = nn.dropout(x, dropout, name="drop")
    uniform = nn.variance_scaling(1 / 3, "fan_out", "uniform")
    return nn.fc(x, num_classes, kernel_initializer=uniform, name="fc")


def repetitions(depth: float) -> list[int]:
    """The layers of each stage: table 1's, times ``depth``, rounded up."""
    return [math.ceil(layers * depth) for *_, layers, _ in STAGES]


def _feature_maps(image_size: int, width: float, depth: float) -> dict[str, tuple[int, int]]:
    """The ends of the stages; units that stand alone end in their projection."""
    side = -(-image_size // 2)
    maps = {"conv1_silu": (side, divisible(32 * width))}
    for stage, count in enumerate(repetitions(depth), start=2):
        *_, channels, _, strides = STAGES[stage - 2]
        side = -(-side // strides)
        end = f"block{stage}_{count}" if count > 1 else f"block{stage}_1_project_bn"
        maps[end] = (side, divisible(channels * width))
    return maps | {"conv9_silu": (side, divisible(1280 * width))}


def _net(name: str, image_size: int, width: float, depth: float, **facts: Any) -> Net:
    top1 = facts.pop("top1")
    return Net(
        name=name,
        body=efficientnet,
        arguments={"width": width, "depth": depth},
        paper=PAPER,
        year=2019,
        image_size=image_size,
        feature_maps=_feature_maps(image_size, width, depth),
        errors=(PublishedError(top1, None, source="the authors' release"),),
        batch_norm=BatchNorm(momentum=0.99, epsilon=1e-3),  # the TPU reference's
        **facts,
    )


# Width and depth of the TPU reference; its errors with ResNet's preprocessing, no AutoAugment.
NETS = (
    _net("efficientnet_b0", 224, 1.0, 1.0, top1=23.3, params=5_288_548, macs=385_814_752),
    _net("efficientnet_b1", 240, 1.0, 1.1, top1=21.3, params=7_794_184, macs=686_802_832),
    _net("efficientnet_b2", 260, 1.1, 1.2, top1=20.2, params=9_109_994, macs=993_561_872),
    _net("efficientnet_b3", 300, 1.2, 1.4, top1=18.9, params=12_233_232, macs=1_827_141_392),
)
