"""ViT, the vision transformer: of 2021, and in the plainer form that trains on ILSVRC alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._registry import Net, PublishedError, Tensor
from .transformer import Encoder, encoder, patches

if TYPE_CHECKING:
    from ._builder import Builder

PAPER = (
    "A. Dosovitskiy, L. Beyer, A. Kolesnikov, D. Weissenborn, X. Zhai, T. Unterthiner, "
    "M. Dehghani, M. Minderer, G. Heigold, S. Gelly, J. Uszkoreit, N. Houlsby: An Image is Worth "
    "16x16 Words: Transformers for Image Recognition at Scale. ICLR 2021, arXiv:2010.11929"
)
PLAIN_PAPER = (
    "L. Beyer, X. Zhai, A. Kolesnikov: Better plain ViT baselines for ImageNet-1k. "
    "arXiv:2205.01580, 2022"
)
# Table 1 of the first; S is table 2 of Zhai et al. 2022, arXiv:2106.04560.
S16 = Encoder(width=384, layers=12, heads=6)
B16 = Encoder(width=768, layers=12, heads=12)
# For images of 64 pixels: ours.
P8 = Encoder(width=192, layers=6, heads=3, patch=8)


def vit(
    nn: Builder,
    x: Tensor,
    num_classes: int,
    *,
    sizes: Encoder,
    positions_at: int | None = None,
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> Tensor:
    """Section 3.1: a class token and learned positions; initialised as in the authors' JAX code.

    Positions are learned on the grid of images of ``positions_at`` pixels a side, the net's own
    size where None, and interpolated for others.
    """
    nn = _initialised(nn)
    shown = nn.grid(x, sizes.patch)
    side = (positions_at or nn.net.image_size) // sizes.patch
    x = patches(nn, x, sizes, _lecun(nn))
    x = nn.learned_tokens(x, 1, name="class_token")
    x = nn.positions(x, (side, side), shown, initializer=nn.normal(0.02), name="positions")
    if dropout:
        x = nn.dropout(x, dropout, name="drop")
    x = encoder(nn, x, sizes, qkv=_qkv(nn), dropout=dropout, stochastic_depth=stochastic_depth)
    x = nn.token(x, 0, name="first_token")
    return nn.fc(x, num_classes, kernel_initializer="zeros", name="head")


def plain_vit(
    nn: Builder,
    x: Tensor,
    num_classes: int,
    *,
    sizes: Encoder,
    hidden_head: bool = True,
    stochastic_depth: float = 0.0,
) -> Tensor:
    """Section 2 of Beyer et al.: fixed positions, the mean of all tokens, no class token.

    The hidden layer of the head is that of their configuration.
    """
    nn = _initialised(nn)
    grid = nn.grid(x, sizes.patch)
    x = patches(nn, x, sizes, _lecun(nn))
    x = nn.sincos_positions(x, grid, name="positions")
    x = encoder(nn, x, sizes, qkv=_qkv(nn), stochastic_depth=stochastic_depth)
    x = nn.mean_token(x, name="pool")
    if hidden_head:
        x = nn.fc(
            x, sizes.width, activation="tanh", kernel_initializer=_lecun(nn), name="pre_logits"
        )
    return nn.fc(x, num_classes, kernel_initializer="zeros", name="head")


def _initialised(nn: Builder) -> Builder:
    return nn.using(kernel_initializer="glorot_uniform")


def _lecun(nn: Builder) -> Any:
    """Flax's default."""
    return nn.variance_scaling(1.0, "fan_in", "truncated_normal")


def _qkv(nn: Builder) -> Any:
    """Glorot's for three matrices side by side, as if each stood alone."""
    return nn.variance_scaling(2.0, "fan_avg", "uniform")


_GELU = "GELU is exact, where the authors' code approximates it by tanh"

NETS = (
    Net(
        name="vit_s16",
        body=plain_vit,
        arguments={"sizes": S16},
        paper=PLAIN_PAPER,
        year=2022,
        params=22_122_472,
        macs=4_574_174_208,
        image_size=224,
        feature_maps={"patches": (14, 384)},
        errors=(PublishedError(23.5, None, remark="90 epochs"),),
        departures=(_GELU,),
    ),
    Net(
        name="vit_b16",
        body=vit,
        arguments={"sizes": B16},
        paper=PAPER,
        year=2020,
        params=86_567_656,
        macs=17_563_828_224,
        image_size=224,
        feature_maps={"patches": (14, 768)},
        errors=(PublishedError(18.928, 4.682, source="torchvision's weights"),),
        departures=(_GELU,),
    ),
    Net(
        name="vit_64px",
        body=plain_vit,
        arguments={"sizes": P8, "hidden_head": False},
        paper="ours, after L. Beyer, X. Zhai, A. Kolesnikov 2022",
        year=2022,
        params=2_899_624,
        macs=181_857_792,
        image_size=64,
        feature_maps={"patches": (8, 192)},
        departures=(_GELU, "patches of 8 pixels, half of the width and of the layers"),
    ),
)
