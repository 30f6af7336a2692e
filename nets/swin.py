"""Swin: a transformer in stages, with attention within windows that shift from layer to layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._registry import Net, PublishedError, Tensor
from .transformer import mlp, residual

if TYPE_CHECKING:
    from ._builder import Builder

PAPER = (
    "Z. Liu, Y. Lin, Y. Cao, H. Hu, Y. Wei, Z. Zhang, S. Lin, B. Guo: Swin Transformer: "
    "Hierarchical Vision Transformer using Shifted Windows. ICCV 2021, arXiv:2103.14030"
)
EPSILON = 1e-5  # of the authors' normalisations, torch's default


def swin(
    nn: Builder,
    x: Tensor,
    num_classes: int,
    *,
    width: int,
    layers: tuple[int, ...],
    heads: tuple[int, ...],
    window: int = 7,
    stochastic_depth: float = 0.2,
) -> Tensor:
    """Section 3.1 and figure 3; initialised as in the authors' code.

    Each stage halves the maps' sides and doubles their channels. The rate of stochastic depth grows
    evenly from 0 in the first layer to ``stochastic_depth`` in the last.
    """
    nn = nn.using(kernel_initializer=nn.truncated_normal(0.02))
    nn.grid(x, 4)
    x = nn.conv(x, width, 4, 4, kernel_initializer=nn.torch_default(), name="patches")  # 56
    x = nn.layer_norm(x, epsilon=EPSILON, name="patches_norm")
    done = 0
    for stage, count in enumerate(layers, start=1):
        if stage > 1:
            x = _merge_patches(nn, x, name=f"merge{stage}")  # 28, 14, 7
        for index in range(count):
            shift = window // 2 if index % 2 else 0
            rate = stochastic_depth * done / (sum(layers) - 1)
            name = f"block{stage}_{index + 1}"
            y = nn.layer_norm(x, epsilon=EPSILON, name=f"{name}_norm1")
            y = _window_attention(nn, y, heads[stage - 1], (window, shift), name=name)
            x = residual(nn, x, y, drop_rate=rate, name=f"{name}_1")
            y = nn.layer_norm(x, epsilon=EPSILON, name=f"{name}_norm2")
            y = mlp(nn, y, 4 * x.shape[-1], name=name)
            x = residual(nn, x, y, drop_rate=rate, name=f"{name}_2")
            done += 1
    x = nn.layer_norm(x, epsilon=EPSILON, name="norm")
    x = nn.global_avg_pool(x, name="pool")
    return nn.fc(x, num_classes, name="head")


def _window_attention(
    nn: Builder, x: Tensor, heads: int, window: tuple[int, int], *, name: str
) -> Tensor:
    """Section 3.2; maps that don't consist of whole windows get zeros at the bottom and right."""
    _, height, width, channels = x.shape
    below, beside = -height % window[0], -width % window[0]
    x = nn.pad_end(x, below, beside, name=f"{name}_pad")
    x = nn.dense(x, 3 * channels, name=f"{name}_qkv")
    x = nn.window_attention(x, heads, *window, name=f"{name}_attention")
    x = nn.dense(x, channels, name=f"{name}_project")
    return nn.crop_end(x, below, beside, name=f"{name}_crop")


def _merge_patches(nn: Builder, x: Tensor, *, name: str) -> Tensor:
    """The channels of 2x2 positions side by side, and by one matrix half as many."""
    channels = x.shape[-1]
    x = nn.pad_end(x, x.shape[1] % 2, x.shape[2] % 2, name=f"{name}_pad")
    x = nn.merge_positions(x, name=f"{name}_positions")
    x = nn.layer_norm(x, epsilon=EPSILON, name=f"{name}_norm")
    return nn.dense(x, 2 * channels, use_bias=False, name=name)


NETS = (
    Net(
        name="swin_tiny",
        body=swin,
        arguments={"width": 96, "layers": (2, 2, 6, 2), "heads": (3, 6, 12, 24)},
        paper=PAPER,
        year=2021,
        params=28_288_354,
        macs=4_490_566_656,
        image_size=224,
        feature_maps={
            "patches_norm": (56, 96),
            "block1_2_2": (56, 96),
            "block2_2_2": (28, 192),
            "block3_6_2": (14, 384),
            "block4_2_2": (7, 768),
        },
        errors=(
            PublishedError(18.8, 4.5, source="the authors' release"),
            PublishedError(18.526, 4.224, source="torchvision's weights"),
        ),
    ),
)
