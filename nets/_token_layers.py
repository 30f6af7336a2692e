"""Keras layers of nets that see an image as tokens; all in keras.ops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

_registered = keras.saving.register_keras_serializable(__package__ or "nets")

Grid = tuple[int, int]  # rows and columns of tokens


@_registered
class LayerNormalization(keras.layers.Layer):
    """Normalises each token, or each position's channels (Ba et al. 2016, arXiv:1607.06450).

    In float32 whatever the policy. In an order of operations in which no gradient is a sum of more
    than two terms: TensorFlow adds up three in an order that changes from run to run.
    """

    def __init__(self, epsilon: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape: Any) -> None:
        """Makes gamma and beta, float32 [channels]."""
        shape = (input_shape[-1],)
        self.gamma = self.add_weight(shape=shape, initializer="ones", autocast=False, name="gamma")
        self.beta = self.add_weight(shape=shape, initializer="zeros", autocast=False, name="beta")

    def call(self, inputs: Any) -> Any:
        """[batch, ..., channels] -> the same shape and dtype."""
        x = ops.cast(inputs, "float32")
        x = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(x), axis=-1, keepdims=True)
        x = x * ops.rsqrt(variance + self.epsilon) * self.gamma + self.beta
        return ops.cast(x, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "epsilon": self.epsilon}


@_registered
class LayerScale(keras.layers.Layer):
    """Learned factors of a residual branch's channels (Touvron et al. 2021, arXiv:2103.17239)."""

    def __init__(self, initial: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.initial = initial

    def build(self, input_shape: Any) -> None:
        """Makes gamma, [channels]."""
        self.gamma = self.add_weight(
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(self.initial),
            name="gamma",
        )

    def call(self, inputs: Any) -> Any:
        """[batch, ..., channels] -> the same shape and dtype."""
        return inputs * self.gamma

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "initial": self.initial}


@_registered
class LearnedTokens(keras.layers.Layer):
    """Puts tokens before an image's own that are the same for every image, and learned."""

    def __init__(self, count: int, initializer: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.count, self.initializer = count, initializer

    def build(self, input_shape: Any) -> None:
        """Makes the tokens, [count, width]."""
        self.tokens = self.add_weight(
            shape=(self.count, input_shape[-1]),
            initializer=keras.initializers.get(self.initializer),
            name="tokens",
        )

    def call(self, inputs: Any) -> Any:
        """[batch, n, width] -> [batch, count + n, width]."""
        # A sum that broadcasts: its gradient repeats to the bit.
        tokens = ops.zeros_like(inputs[:, :1]) + self.tokens
        return ops.concatenate([tokens, inputs], axis=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """More tokens."""
        batch, count, width = input_shape
        return (batch, self.count + count, width)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "count": self.count, "initializer": self.initializer}


@_registered
class PositionEmbedding(keras.layers.Layer):
    """Adds what is learned for each position (Dosovitskiy et al. 2021, arXiv:2010.11929, 3.1).

    It is learned on the grid of tokens of one image size; on those of others it is interpolated, so
    that trained weights fit any size (section 3.2).
    """

    def __init__(self, learned: Grid, shown: Grid, initializer: Any, **kwargs: Any):
        """Takes two grids.

        Args:
            learned: that of the variable.
            shown: that of the images that this build sees.
            initializer: of the variable.
            **kwargs: Keras's.
        """
        super().__init__(**kwargs)
        self.learned: Grid = (learned[0], learned[1])
        self.shown: Grid = (shown[0], shown[1])
        self.initializer = initializer

    def build(self, input_shape: Any) -> None:
        """Makes the embedding, float32 [extra + rows * columns, width].

        Extra tokens, before those of the grid, have embeddings of their own.
        """
        self.extra = input_shape[1] - self.shown[0] * self.shown[1]
        self.embedding = self.add_weight(
            shape=(self.extra + self.learned[0] * self.learned[1], input_shape[-1]),
            initializer=keras.initializers.get(self.initializer),
            autocast=False,
            name="embedding",
        )

    def call(self, inputs: Any) -> Any:
        """[batch, extra + n, width] -> the same shape and dtype."""
        embedding = self.embedding
        if self.learned != self.shown:
            matrix = _resampling(self.extra, self.learned, self.shown)
            embedding = ops.matmul(matrix, embedding)
        return inputs + ops.cast(embedding, inputs.dtype)

    def fitted(self, embedding: np.ndarray) -> np.ndarray:
        """An embedding that was learned on another square grid, on this layer's; else as it is."""
        side = round(max(len(embedding) - self.extra, 0) ** 0.5)
        if embedding.ndim != 2 or side == 0 or side**2 != len(embedding) - self.extra:
            return embedding
        if (side, side) == self.learned:
            return embedding
        return _resampling(self.extra, (side, side), self.learned) @ embedding

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"learned": self.learned, "shown": self.shown, "initializer": self.initializer}
        return {**super().get_config(), **own}


@_registered
class SincosPositions(keras.layers.Layer):
    """Adds sines and cosines of each position's column and row (Chen et al. 2021, MoCo v3).

    Of the width's four quarters two are of the column and two of the row, with wavelengths that
    grow from 2 pi to 10,000 times that: arXiv:2104.02057, as big_vision has it.
    """

    def __init__(self, grid: Grid, **kwargs: Any):
        super().__init__(**kwargs)
        self.grid: Grid = (grid[0], grid[1])

    def call(self, inputs: Any) -> Any:
        """[batch, rows * columns, width] -> the same shape and dtype."""
        quarter = inputs.shape[-1] // 4
        frequencies = 10_000.0 ** -np.linspace(0, 1, quarter)
        rows, columns = (place.reshape(-1, 1) for place in np.indices(self.grid))
        waves = [f(p * frequencies) for p in (columns, rows) for f in (np.sin, np.cos)]
        positions = np.concatenate(waves, axis=1).astype("float32")
        return inputs + ops.cast(ops.convert_to_tensor(positions), inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "grid": self.grid}


@_registered
class Token(keras.layers.Layer):
    """One of the tokens."""

    def __init__(self, index: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.index = index

    def call(self, inputs: Any) -> Any:
        """[batch, n, width] -> [batch, width]."""
        return inputs[:, self.index]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Without the number of tokens."""
        return (input_shape[0], input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "index": self.index}


@_registered
class MergePositions(keras.layers.Layer):
    """The channels of each 2x2 positions side by side, column by column (Liu et al. 2021, 3.1)."""

    def call(self, inputs: Any) -> Any:
        """[batch, height, width, channels] -> [batch, height / 2, width / 2, 4 * channels]."""
        _, height, width, channels = inputs.shape
        x = ops.reshape(inputs, (-1, height // 2, 2, width // 2, 2, channels))
        x = ops.transpose(x, (0, 1, 3, 4, 2, 5))
        return ops.reshape(x, (-1, height // 2, width // 2, 4 * channels))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Half of the sides, four times the channels."""
        batch, height, width, channels = input_shape
        return (batch, height // 2, width // 2, 4 * channels)


@_registered
class MeanInEvaluation(keras.layers.Layer):
    """The first of two heads' logits in training, and the mean of both in evaluation.

    Touvron et al. 2021, arXiv:2012.12877, section 4: the class token learns from the labels, the
    distillation token from a teacher, and both predict together.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Two of [batch, classes] -> [batch, classes]."""
        first, second = inputs
        return first if training else (first + second) / 2

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of one of them."""
        return input_shape[0]


def fit_positions(model: keras.Model, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays by `<layer>/<variable>`, with position embeddings on the grids of a built net's."""
    fitted = dict(arrays)
    for layer in model.layers:
        name = f"{layer.name}/embedding"
        if isinstance(layer, PositionEmbedding) and name in fitted:
            fitted[name] = layer.fitted(np.asarray(fitted[name]))
    return fitted


def _resampling(extra: int, old: Grid, new: Grid) -> np.ndarray:
    """The matrix that resamples embeddings, float32 [extra + new positions, extra + old ones]."""
    of_grid = np.kron(*(_cubic(a, b) for a, b in zip(old, new, strict=True)))
    matrix = np.eye(extra + new[0] * new[1], extra + old[0] * old[1])
    matrix[extra:, extra:] = of_grid
    return matrix.astype("float32")


def _cubic(old: int, new: int) -> np.ndarray:
    """Bicubic interpolation of one side (Keys 1981, a = -0.5), wider where the side shrinks.

    The same numbers as Pillow's BICUBIC, which timm resamples position embeddings by.
    """
    scale = max(old / new, 1)
    centers = (np.arange(new) + 0.5) * old / new - 0.5
    x = np.abs(np.arange(old)[None] - centers[:, None]) / scale
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0))
    return weights / weights.sum(axis=1, keepdims=True)
