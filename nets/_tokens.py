"""The part of the vocabulary that sees an image as tokens: patches, attention, positions."""

from __future__ import annotations

import dataclasses

import keras

from . import _attention, _linear_layers, _token_layers
from ._registry import Tensor
from ._settings import Initializer, Settings
from ._token_layers import Grid


@dataclasses.dataclass(frozen=True)
class TokenLayers(Settings):
    """Adds layers of tokens [batch, n, width], or of feature maps [batch, h, w, channels]."""

    def grid(self, x: Tensor, patch: int) -> Grid:
        """How many patches an image has down and across.

        Raises:
            ValueError: it does not consist of whole ones.
        """
        height, width = x.shape[1:3]
        if height is None or width is None:
            raise ValueError(f"{self.net.name}: attention takes images of one size only")
        if height % patch or width % patch:
            raise ValueError(
                f"{self.net.name}: image sides must be multiples of {patch}, not {height}x{width}"
            )
        return height // patch, width // patch

    def flatten_positions(self, x: Tensor, *, name: str) -> Tensor:
        """Feature maps as tokens, row by row."""
        return keras.layers.Reshape((-1, x.shape[-1]), name=name)(x)

    def dense(
        self,
        x: Tensor,
        units: int,
        *,
        name: str,
        activation: str | None = None,
        use_bias: bool = True,
        kernel_initializer: Initializer | None = None,
    ) -> Tensor:
        """A fully connected layer of each token, or position, by itself."""
        return _linear_layers.Dense(
            units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer or self.kernel_initializer,
            bias_initializer=self.constant(None),
            name=name,
        )(x)

    def layer_norm(self, x: Tensor, *, name: str, epsilon: float = 1e-6) -> Tensor:
        """Layer normalisation of each token, or of each position's channels."""
        return _token_layers.LayerNormalization(epsilon, name=name)(x)

    def layer_scale(self, x: Tensor, initial: float, *, name: str) -> Tensor:
        """Learned factors of the channels."""
        return _token_layers.LayerScale(initial, name=name)(x)

    def learned_tokens(
        self, x: Tensor, count: int, *, name: str, initializer: Initializer = "zeros"
    ) -> Tensor:
        """Tokens that are the same for every image, before its own."""
        return _token_layers.LearnedTokens(count, initializer, name=name)(x)

    def positions(
        self, x: Tensor, learned: Grid, shown: Grid, *, name: str, initializer: Initializer
    ) -> Tensor:
        """Adds learned embeddings of the positions of one grid, interpolated on another."""
        return _token_layers.PositionEmbedding(learned, shown, initializer, name=name)(x)

    def sincos_positions(self, x: Tensor, grid: Grid, *, name: str) -> Tensor:
        """Adds sines and cosines of the positions."""
        return _token_layers.SincosPositions(grid, name=name)(x)

    def attention(self, x: Tensor, heads: int, *, name: str) -> Tensor:
        """Attention among all tokens, given their queries, keys and values side by side."""
        return _attention.SelfAttention(heads, name=name)(x)

    def window_attention(
        self, x: Tensor, heads: int, window: int, shift: int, *, name: str
    ) -> Tensor:
        """Attention within windows of maps, given their queries, keys and values likewise."""
        return _attention.WindowAttention(heads, window, shift, name=name)(x)

    def pad_end(self, x: Tensor, below: int, beside: int, *, name: str) -> Tensor:
        """Zeros below and at the right of feature maps."""
        if not below and not beside:
            return x
        pad = ((0, below), (0, beside))
        return keras.layers.ZeroPadding2D(pad, data_format="channels_last", name=name)(x)

    def crop_end(self, x: Tensor, below: int, beside: int, *, name: str) -> Tensor:
        """Feature maps without their lowest rows and rightmost columns."""
        if not below and not beside:
            return x
        crop = ((0, below), (0, beside))
        return keras.layers.Cropping2D(crop, data_format="channels_last", name=name)(x)

    def merge_positions(self, x: Tensor, *, name: str) -> Tensor:
        """The channels of each 2x2 positions side by side: those of the left column first."""
        return _token_layers.MergePositions(name=name)(x)

    def token(self, x: Tensor, index: int, *, name: str) -> Tensor:
        """One of the tokens, [batch, width]."""
        return _token_layers.Token(index, name=name)(x)

    def mean_token(self, x: Tensor, *, name: str) -> Tensor:
        """The mean of all tokens, [batch, width]."""
        return keras.layers.GlobalAveragePooling1D(data_format="channels_last", name=name)(x)

    def mean_in_evaluation(self, first: Tensor, second: Tensor, *, name: str) -> Tensor:
        """The first of two heads' logits in training, the mean of both in evaluation."""
        return _token_layers.MeanInEvaluation(name=name)([first, second])
