"""ConvNeXt: a residual net with the sizes, norms and activations of transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._registry import Net, PublishedError, Tensor
from .transformer import residual

if TYPE_CHECKING:
    from ._builder import Builder

PAPER = (
    "Z. Liu, H. Mao, C.-Y. Wu, C. Feichtenhofer, T. Darrell, S. Xie: A ConvNet for the 2020s. "
    "CVPR 2022, arXiv:2201.03545"
)


def convnext(
    nn: Builder,
    x: Tensor,
    num_classes: int,
    *,
    widths: tuple[int, ...],
    blocks: tuple[int, ...],
    patch: int = 4,
    stochastic_depth: float = 0.1,
    layer_scale: float = 1e-6,
) -> Tensor:
    """Table 9; initialised as in the authors' code.

    The rate of stochastic depth grows evenly from 0 in the first block to ``stochastic_depth`` in
    the last.
    """
    nn = nn.using(kernel_initializer=nn.truncated_normal(0.02))
    x = nn.conv(x, widths[0], patch, patch, name="stem")  # 56
    x = nn.layer_norm(x, name="stem_norm")
    done = 0
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True), start=1):
        if stage > 1:
            x = nn.layer_norm(x, name=f"down{stage}_norm")
            x = nn.conv(x, width, 2, 2, name=f"down{stage}")  # 28, 14, 7
        for index in range(count):
            rate = stochastic_depth * done / (sum(blocks) - 1)
            x = block(nn, x, layer_scale, drop_rate=rate, name=f"block{stage}_{index + 1}")
            done += 1
    x = nn.global_avg_pool(x, name="pool")
    x = nn.layer_norm(x, name="norm")
    return nn.fc(x, num_classes, name="head")


def block(nn: Builder, x: Tensor, layer_scale: float, *, drop_rate: float, name: str) -> Tensor:
    """Figure 4: a wide depthwise convolution, and two matrices with the exact GELU between them."""
    width = x.shape[-1]
    y = nn.depthwise_conv(x, 7, pad=3, use_bias=True, name=f"{name}_depthwise")
    y = nn.layer_norm(y, name=f"{name}_norm")
    y = nn.dense(y, 4 * width, activation="gelu", name=f"{name}_expand")
    y = nn.dense(y, width, name=f"{name}_project")
    y = nn.layer_scale(y, layer_scale, name=f"{name}_scale")
    return residual(nn, x, y, drop_rate=drop_rate, name=name)


NETS = (
    Net(
        name="convnext_tiny",
        body=convnext,
        arguments={"widths": (96, 192, 384, 768), "blocks": (3, 3, 9, 3)},
        paper=PAPER,
        year=2022,
        params=28_589_128,
        macs=4_455_531_264,
        image_size=224,
        feature_maps={
            "stem_norm": (56, 96),
            "block1_3": (56, 96),
            "block2_3": (28, 192),
            "block3_9": (14, 384),
            "block4_3": (7, 768),
        },
        errors=(
            PublishedError(17.9, None, source="the authors' release"),
            PublishedError(17.48, 3.854, source="torchvision's weights"),
        ),
    ),
    Net(
        name="convnext_64px",
        body=convnext,
        arguments={"widths": (40, 80, 160, 320), "blocks": (2, 2, 6, 2), "patch": 2},
        paper="ours, after Z. Liu, H. Mao, C.-Y. Wu et al. 2022",
        year=2022,
        params=3_694_080,
        macs=177_461_760,
        image_size=64,
        feature_maps={
            "stem_norm": (32, 40),
            "block1_2": (32, 40),
            "block2_2": (16, 80),
            "block3_6": (8, 160),
            "block4_2": (4, 320),
        },
        departures=("patches of 2 pixels; widths and blocks are those of timm's convnext_atto",),
    ),
)
