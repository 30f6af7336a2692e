"""The vocabulary in which the nets' bodies are written.

A ``Builder`` holds what a paper states once for all layers (initialisers, the constants of batch
normalisation); each method adds one layer under the given name. Sizes are explicit as in the
papers' reference code: padding is a number of pixels on each side, not TensorFlow's SAME.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from . import _channel_layers, _layers, _linear_layers, _padding
from ._padding import Pad
from ._registry import ResponseNorm, Tensor
from ._settings import Initializer
from ._tokens import TokenLayers


@dataclasses.dataclass(frozen=True)
class Builder(TokenLayers):
    """Adds layers to a functional model; every method takes and returns Keras tensors, NHWC."""

    # Convolutions

    def conv(
        self,
        x: Tensor,
        filters: int,
        size: int | tuple[int, int],
        strides: int = 1,
        *,
        name: str,
        pad: Pad = 0,
        groups: int = 1,
        activation: str | None = None,
        use_bias: bool = True,
        kernel_initializer: Initializer | None = None,
        bias_initializer: float | None = None,
    ) -> Tensor:
        """A convolution [batch, h, w, c] -> [batch, h', w', filters]."""
        x, padding = _padding.padded(self.net, x, size, strides, pad, name)
        layer = _linear_layers.Conv2D if groups == 1 else _linear_layers.GroupedConv2D
        return layer(
            filters,
            size,
            strides,
            padding=padding,
            data_format="channels_last",
            groups=groups,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer or self.kernel_initializer,
            bias_initializer=self.constant(bias_initializer),
            name=name,
        )(x)

    def conv_relu(
        self, x: Tensor, filters: int, size: int | tuple[int, int], strides: int = 1, **kwargs: Any
    ) -> Tensor:
        """A convolution with ReLU, under one name."""
        return self.conv(x, filters, size, strides, activation="relu", **kwargs)

    def conv_bn(
        self,
        x: Tensor,
        filters: int,
        size: int | tuple[int, int],
        strides: int = 1,
        *,
        name: str,
        zero_gamma: bool = False,
        **kwargs: Any,
    ) -> Tensor:
        """A convolution without bias ``name``, then batch normalisation ``name``_bn."""
        x = self.conv(x, filters, size, strides, name=name, use_bias=False, **kwargs)
        return self.batch_norm(x, name=f"{name}_bn", zero_gamma=zero_gamma)

    def conv_bn_relu(
        self,
        x: Tensor,
        filters: int,
        size: int | tuple[int, int],
        strides: int = 1,
        *,
        name: str,
        **kwargs: Any,
    ) -> Tensor:
        """``conv_bn``, then ReLU ``name``_relu."""
        x = self.conv_bn(x, filters, size, strides, name=name, **kwargs)
        return self.relu(x, name=f"{name}_relu")

    def space_to_depth_stem(self, x: Tensor, filters: int, *, name: str) -> Tensor:
        """ResNet's first convolution (7x7, stride 2, padded by 3, no bias) over 2x2 blocks."""
        if x.shape[1] is None:
            raise ValueError(
                f"{self.net.name}: a space-to-depth stem takes images of one size only"
            )
        if x.shape[1] % 2 or x.shape[2] % 2:
            raise ValueError(
                f"{self.net.name}: a space-to-depth stem takes even image sizes, "
                f"not {x.shape[1]}x{x.shape[2]}"
            )
        return _linear_layers.SpaceToDepthConv2D(
            filters,
            7,
            2,
            data_format="channels_last",
            use_bias=False,
            kernel_initializer=self.kernel_initializer,
            name=name,
        )(x)

    def depthwise_conv(
        self,
        x: Tensor,
        size: int,
        strides: int = 1,
        *,
        name: str,
        pad: Pad = 0,
        use_bias: bool = False,
    ) -> Tensor:
        """A convolution of each feature map by itself."""
        x, padding = _padding.padded(self.net, x, size, strides, pad, name)
        return keras.layers.DepthwiseConv2D(
            size,
            strides,
            padding=padding,
            data_format="channels_last",
            use_bias=use_bias,
            depthwise_initializer=self.kernel_initializer,
            name=name,
        )(x)

    # Pooling

    def max_pool(self, x: Tensor, size: int, strides: int, *, name: str, pad: Pad = 0) -> Tensor:
        """Maximum pooling of what follows a ReLU, so that it doesn't matter what is padded."""
        x, padding = _padding.padded(self.net, x, size, strides, pad, name)
        return keras.layers.MaxPooling2D(
            size, strides, padding=padding, data_format="channels_last", name=name
        )(x)

    def avg_pool(
        self,
        x: Tensor,
        size: int,
        strides: int,
        *,
        name: str,
        same: bool = False,
        count_zeros: bool = False,
    ) -> Tensor:
        """Average pooling; ``same`` keeps the sides, and pads for it.

        What is padded counts in the means only with ``count_zeros`` (torch does, TensorFlow not).
        """
        if same and count_zeros:
            x, same = self.zero_pad(x, size // 2, name=f"{name}_pad"), False
        x, padding = _padding.padded(self.net, x, size, strides, "same" if same else 0, name)
        return keras.layers.AveragePooling2D(
            size, strides, padding=padding, data_format="channels_last", name=name
        )(x)

    def zero_pad(self, x: Tensor, pixels: int, *, name: str) -> Tensor:
        """Zeros around the feature maps."""
        return keras.layers.ZeroPadding2D(pixels, data_format="channels_last", name=name)(x)

    def blur_pool(self, x: Tensor, *, name: str) -> Tensor:
        """A binomial blur before a strided layer; the size stays."""
        return _layers.BlurPool(name=name)(x)

    def global_avg_pool(self, x: Tensor, *, name: str, keepdims: bool = False) -> Tensor:
        """The mean over all positions, [batch, c], or [batch, 1, 1, c] with ``keepdims``."""
        return keras.layers.GlobalAveragePooling2D(
            data_format="channels_last", keepdims=keepdims, name=name
        )(x)

    # Everything else

    def fc(
        self,
        x: Tensor,
        units: int,
        *,
        name: str,
        activation: str | None = None,
        kernel_initializer: Initializer | None = None,
        bias_initializer: float | None = None,
    ) -> Tensor:
        """A fully connected layer -> [batch, units]; feature maps are flattened row by row.

        In the fully convolutional form, where it has feature maps before it, it is a convolution ->
        [batch, h, w, units].
        """
        if len(x.shape) > 2 and self.windows is not None:
            return self.conv(
                x,
                units,
                self.windows.get(name, (1, 1)),
                activation=activation,
                kernel_initializer=kernel_initializer,
                bias_initializer=bias_initializer,
                name=name,
            )
        if len(x.shape) > 2:
            x = keras.layers.Flatten(data_format="channels_last", name=f"{name}_flatten")(x)
        return _linear_layers.Dense(
            units,
            activation=activation,
            kernel_initializer=kernel_initializer or self.kernel_initializer,
            bias_initializer=self.constant(bias_initializer),
            name=name,
        )(x)

    def fc_relu(self, x: Tensor, units: int, **kwargs: Any) -> Tensor:
        """A fully connected layer with ReLU, under one name."""
        return self.fc(x, units, activation="relu", **kwargs)

    def batch_norm(self, x: Tensor, *, name: str, zero_gamma: bool = False) -> Tensor:
        """Batch normalisation with the constants of the net's entry."""
        constants = self.net.batch_norm
        if constants is None:
            raise TypeError(f"{self.net.name}: the entry lacks the constants of {name}")
        return _layers.BatchNormalization(
            synchronized=self.synchronized,
            momentum=constants.momentum,
            epsilon=constants.epsilon,
            scale=constants.scale,
            gamma_initializer="zeros" if zero_gamma else "ones",
            name=name,
        )(x)

    def relu(self, x: Tensor, *, name: str, maximum: float | None = None) -> Tensor:
        """max(x, 0), cut at ``maximum`` where given."""
        return keras.layers.ReLU(maximum, name=name)(x)

    def activation(self, x: Tensor, function: str, *, name: str) -> Tensor:
        """A function of Keras's by its name: 'hard_swish', 'silu', 'gelu' (the exact one), ..."""
        return keras.layers.Activation(function, name=name)(x)

    def lrn(self, x: Tensor, constants: ResponseNorm, *, name: str) -> Tensor:
        """Local response normalisation across channels."""
        c = constants
        return _layers.LocalResponseNormalization(c.size, c.alpha, c.beta, c.k, name=name)(x)

    def dropout(self, x: Tensor, rate: float, *, name: str) -> Tensor:
        """Drops values with probability ``rate`` in training."""
        return _layers.Dropout(rate, name=name)(x)

    def stochastic_depth(self, x: Tensor, rate: float, *, name: str) -> Tensor:
        """Drops all of an example's feature maps with probability ``rate`` in training."""
        return _layers.StochasticDepth(rate, name=name)(x)

    def squeeze_excite(
        self, x: Tensor, units: int, *, name: str, inner: str = "relu", gate: str = "sigmoid"
    ) -> Tensor:
        """Scales each feature map by a gate in (0, 1) computed from all maps' means.

        Hu et al. 2018 (arXiv:1709.01507), section 3; 1x1 convolutions with biases, the first to
        ``units`` maps and through ``inner``, as in the authors' Caffe models.
        """
        channels = x.shape[-1]
        y = self.global_avg_pool(x, keepdims=True, name=f"{name}_squeeze")
        y = self.conv(y, units, 1, activation=inner, name=f"{name}_down")
        y = self.conv(y, channels, 1, activation=gate, name=f"{name}_up")
        return keras.layers.Multiply(name=name)([x, y])

    def pad_channels(self, x: Tensor, channels: int, *, name: str) -> Tensor:
        """Appends feature maps of zeros until there are ``channels``."""
        return _layers.PadChannels(channels, name=name)(x)

    def slice_channels(self, x: Tensor, start: int, stop: int, *, name: str) -> Tensor:
        """The feature maps from ``start`` to before ``stop``."""
        return _channel_layers.SliceChannels(start, stop, name=name)(x)

    def shuffle_channels(self, x: Tensor, groups: int, *, name: str) -> Tensor:
        """Deals the feature maps of so many groups out in turns."""
        return _channel_layers.ShuffleChannels(groups, name=name)(x)

    def scale(self, x: Tensor, factor: float, *, name: str) -> Tensor:
        """Every value times a constant."""
        return keras.layers.Rescaling(factor, name=name)(x)

    def concat(self, tensors: Sequence[Tensor], *, name: str) -> Tensor:
        """Joins feature maps along the channels."""
        return keras.layers.Concatenate(axis=-1, name=name)(tensors)

    def add(self, tensors: Sequence[Tensor], *, name: str) -> Tensor:
        """The sum of feature maps."""
        return keras.layers.Add(name=name)(tensors)
