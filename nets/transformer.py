"""The encoder of ViT and DeiT: layers of attention among all tokens, and of each by itself."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._builder import Builder
    from ._registry import Tensor


@dataclasses.dataclass(frozen=True)
class Encoder:
    """What the sizes of a transformer are called by.

    Attributes:
        width: of a token.
        layers: how many.
        heads: of each attention.
        patch: side in pixels of the squares that tokens are made of.
    """

    width: int
    layers: int
    heads: int
    patch: int = 16


def patches(nn: Builder, x: Tensor, sizes: Encoder, initializer: Any) -> Tensor:
    """A token for each patch, by one matrix for all (Dosovitskiy et al. 2021, equation 1)."""
    x = nn.conv(
        x, sizes.width, sizes.patch, sizes.patch, kernel_initializer=initializer, name="patches"
    )
    return nn.flatten_positions(x, name="tokens")


def encoder(
    nn: Builder,
    x: Tensor,
    sizes: Encoder,
    *,
    qkv: Any = None,
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> Tensor:
    """Equations 2 and 3, and the last normalisation.

    The rate of stochastic depth grows evenly from 0 in the first layer to ``stochastic_depth`` in
    the last. ``qkv`` initialises the matrices of queries, keys and values.
    """
    for index in range(sizes.layers):
        rate = stochastic_depth * index / max(sizes.layers - 1, 1)
        name = f"block{index + 1}"
        y = nn.layer_norm(x, name=f"{name}_norm1")
        y = self_attention(nn, y, sizes.heads, qkv=qkv, name=name)
        x = residual(nn, x, y, dropout=dropout, drop_rate=rate, name=f"{name}_1")
        y = nn.layer_norm(x, name=f"{name}_norm2")
        y = mlp(nn, y, 4 * sizes.width, dropout=dropout, name=name)
        x = residual(nn, x, y, dropout=dropout, drop_rate=rate, name=f"{name}_2")
    return nn.layer_norm(x, name="norm")


def self_attention(nn: Builder, x: Tensor, heads: int, *, qkv: Any, name: str) -> Tensor:
    """Appendix A: queries, keys and values of all heads by one matrix, and one for the result."""
    width = x.shape[-1]
    x = nn.dense(x, 3 * width, kernel_initializer=qkv, name=f"{name}_qkv")
    x = nn.attention(x, heads, name=f"{name}_attention")
    return nn.dense(x, width, name=f"{name}_project")


def mlp(nn: Builder, x: Tensor, hidden: int, *, dropout: float = 0.0, name: str) -> Tensor:
    """Two matrices with the exact GELU between them."""
    width = x.shape[-1]
    x = nn.dense(x, hidden, activation="gelu", name=f"{name}_mlp1")
    if dropout:
        x = nn.dropout(x, dropout, name=f"{name}_mlp_drop")
    return nn.dense(x, width, name=f"{name}_mlp2")


def residual(
    nn: Builder, x: Tensor, y: Tensor, *, dropout: float = 0.0, drop_rate: float, name: str
) -> Tensor:
    """Adds a branch, which dropout and stochastic depth may thin out."""
    if dropout:
        y = nn.dropout(y, dropout, name=f"{name}_dropout")
    if drop_rate:
        y = nn.stochastic_depth(y, drop_rate, name=f"{name}_drop")
    return nn.add([x, y], name=name)
