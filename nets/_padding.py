"""Zeros around feature maps: how many, from sides, windows and strides, and the layer of them."""

from __future__ import annotations

from typing import Literal

import keras

from ._registry import Net, Tensor

# A number of zero pixels on each side; 'same', TensorFlow's rule; or 'ceil', zeros at the bottom
# and right so that a last, partial window counts (cuda-convnet's convolutions, Caffe's pooling).
Pad = int | Literal["same", "ceil"]


def amounts(side: int | None, window: int, strides: int, pad: Pad) -> tuple[int, int]:
    """The zeros before and after a side, for a ``pad`` other than 'same'.

    Where the side is not known before the call (None), they fit every side: for 'ceil', a zero too
    many at the end makes no window more.
    """
    if pad != "ceil":
        return int(pad), int(pad)
    return 0, strides - 1 if side is None else (window - side) % strides


def same_amounts(side: int | None, window: int, strides: int) -> tuple[int, int] | None:
    """The zeros that 'same' adds before and after a side; None where that depends on the side."""
    if side is None:
        return ((window - 1) // 2, window // 2) if strides == 1 else None
    total = max((-(-side // strides) - 1) * strides + window - side, 0)
    return total // 2, total - total // 2


def padded(
    net: Net, x: Tensor, size: int | tuple[int, int], strides: int, pad: Pad, name: str
) -> tuple[Tensor, str]:
    """Pads the input of a layer of this name with zeros.

    Where the padding happens to be SAME's, the layer does it itself and nothing is copied.

    Returns:
        The result, and the ``padding`` for the layer on top of it.

    Raises:
        ValueError: the window is larger than what there is; the message names net and layer.
    """
    if pad == "same":
        return x, "same"
    windows = (size, size) if isinstance(size, int) else size
    zeros, same = [], []
    for side, window in zip(x.shape[1:3], windows, strict=True):
        before, after = amounts(side, window, strides, pad)
        if side is not None and side + before + after < window:
            raise ValueError(
                f"{net.name}: the image is too small: {name} has a {window}-pixel window, and "
                f"{side} pixels are left of the input there; give a larger image_size (the net's "
                f"own is {net.image_size})"
            )
        zeros.append((before, after))
        same.append(same_amounts(side, window, strides))
    if zeros == [(0, 0), (0, 0)]:
        return x, "valid"
    if zeros == same:
        return x, "same"
    layer = keras.layers.ZeroPadding2D(
        tuple(zeros), data_format="channels_last", name=f"{name}_pad"
    )
    return layer(x), "valid"
