"""What a map function is, and the registry of all of them.

A map function changes one example (on the host) or one batch (on the device). An example is a dict
of tensors; what a function may find in it:

- `image`: string [] before decoding, then uint8 [H, W, 3] on the host; on the device uint8 or
  float32 [b, H, W, 3], in levels 0..255, RGB;
- `label`: int32 [] or [b]; after mixing float32 [b, num_classes];
- `height`, `width`: int32 [] or [b], of the stored image.

It works in two steps. `draw` makes every random choice, from the example's seed and from what is
known before decoding, and is called for a whole batch at once (leading dimension [b]) or for one
example. `apply` does the work with the choices drawn. So randomness costs little, the host draws
also for the device, and a preview can print what was drawn.
"""

import dataclasses
import enum
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from base.spec import Registry

Example = dict[str, Any]
Drawn = dict[str, tf.Tensor]
Draw = Callable[[Example, tf.Tensor], Drawn]
Apply = Callable[[Example, Drawn], Example]
# From a chunk of [k] encoded examples, what was drawn for it, and which are to be mirrored, bool
# [k], to their images.
Windows = Callable[[Example, Drawn, tf.Tensor], tf.Tensor]


class Place(enum.Flag):
    """Where a map function can stand."""

    ENCODED = enum.auto()  # on the host, an example whose image is still a file's bytes
    IMAGE = enum.auto()  # on the host, an example whose image is pixels
    BATCH = enum.auto()  # on the device


def describe_plainly(drawn: Mapping[str, np.ndarray]) -> str:
    """Drawn values as `name value value`, for pictures."""

    def words(value: np.generic) -> str:
        if isinstance(value, np.bool_):
            return "yes" if value else "no"
        return f"{float(value):.3g}"

    return ", ".join(
        f"{name} {' '.join(words(value) for value in np.ravel(values))}"
        for name, values in drawn.items()
    )


def describe_box(drawn: Mapping[str, np.ndarray]) -> str:
    """A drawn `box` (top, left, height, width), for pictures."""
    top, left, height, width = drawn["box"]
    return f"{width}x{height} at left {left}, top {top}"


@dataclasses.dataclass(frozen=True)
class MapFunction:
    """One map function with its arguments bound.

    Attributes:
        apply: (example, drawn) -> example; never changes its arguments.
        takes: the stages at which it can stand.
        draw: (example, seed int32 [2] or [b, 2]) -> drawn, tensors of the same leading shape;
            None: there is nothing to draw.
        min_side: the shorter side that it needs in the stored image, in pixels; 0 if any will do.
        pairs: whether it mixes examples 2k and 2k+1 of a batch.
        describe: what was drawn for one example, in words.
        normalizes: whether it sets the scale or offset of the levels, which happens only once.
        windows: the same as `apply` for a whole chunk, and mirrored on the way; None: it has only
            `apply`.
        mirrors: whether it does nothing but mirror the image where it drew `flip`.
    """

    apply: Apply
    takes: Place
    draw: Draw | None = None
    min_side: int = 0
    normalizes: bool = False
    pairs: bool = False
    windows: Windows | None = None
    mirrors: bool = False
    describe: Callable[[Mapping[str, np.ndarray]], str] = describe_plainly

    def __call__(self, example: Example, seed: tf.Tensor) -> Example:
        """Draws and applies: (example, seed int32 [2], or [b, 2] for a batch) -> example."""
        return self.apply(example, self.draw(example, seed) if self.draw else {})


MAP_FUNCTIONS = Registry("map function")


def on_image(change: Callable[[tf.Tensor], tf.Tensor]) -> Apply:
    """The `apply` that only changes the image, and draws nothing."""
    return lambda example, drawn: example | {"image": change(example["image"])}
