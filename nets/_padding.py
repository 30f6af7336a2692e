"""How many zeros go around feature maps: arithmetic of sides, windows and strides, in positions."""

from __future__ import annotations

from typing import Literal

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
