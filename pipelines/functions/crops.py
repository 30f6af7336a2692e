"""Map functions that decode, and those that cut a window out of an image.

The `decode_...` ones decode only what their crop needs, which is most of the pipeline's speed.
"""

import tensorflow as tf

from pipelines.functions import draws
from pipelines.functions.decoders import Decoder
from pipelines.functions.map_function import (
    MAP_FUNCTIONS,
    Draw,
    Drawn,
    Example,
    MapFunction,
    Place,
    describe_box,
    on_image,
)
from pipelines.functions.windows import windows_of


@MAP_FUNCTIONS.register
def decode(*, decoder: Decoder) -> MapFunction:
    """Decodes the whole image: uint8 [height, width, 3].

    Source: plain.
    """
    return MapFunction(
        lambda example, drawn: example | {"image": decoder.decode(example)}, Place.ENCODED
    )


@MAP_FUNCTIONS.register
def decode_random_crop(size: int, within: int = 0, *, decoder: Decoder) -> MapFunction:
    """Decodes a random square, every position equally likely.

    With `within`, the square lies in the image's central square of that side: AlexNet crops 224 out
    of the central 256 (Krizhevsky et al. 2012, sections 2 and 4.1).

    Args:
        size: side, in pixels.
        within: side of the central square, in pixels; 0: the whole image.
        decoder: the data set's.
    """
    check_size(size)
    if within and within < size:
        raise ValueError(f"a crop of {size} does not fit within {within}")

    def draw(example: Example, seed: tf.Tensor) -> Drawn:
        height, width = example["height"], example["width"]
        with tf.control_dependencies([_assert_side(example, max(size, within))]):
            uniforms = draws.uniform(seed, 2)
        top, high = _span(height, within)
        left, wide = _span(width, within)
        top += draws.below(uniforms[..., 0], high - size + 1)
        left += draws.below(uniforms[..., 1], wide - size + 1)
        return {"box": _square(top, left, size)}

    return _decode_box(draw, size, decoder, min_side=max(size, within))


@MAP_FUNCTIONS.register
def decode_center_crop(size: int, *, decoder: Decoder) -> MapFunction:
    """Decodes the central square of `size` pixels; what cannot be halved is cut more at the end.

    Source: plain.
    """
    check_size(size)

    def draw(example: Example, seed: tf.Tensor) -> Drawn:
        with tf.control_dependencies([_assert_side(example, size)]):
            top, _ = _span(tf.identity(example["height"]), size)
        left, _ = _span(example["width"], size)
        return {"box": _square(top, left, size)}

    return _decode_box(draw, size, decoder, min_side=size)


@MAP_FUNCTIONS.register
def center_crop(size: int) -> MapFunction:
    """The central square of `size` pixels; what cannot be halved is cut more at the end.

    Source: plain.
    """
    check_size(size)

    def crop(image: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(image)
        top, left = (shape[0] - size) // 2, (shape[1] - size) // 2
        return tf.image.crop_to_bounding_box(image, top, left, size, size)

    return MapFunction(on_image(crop), Place.IMAGE)


@MAP_FUNCTIONS.register
def random_crop(size: int) -> MapFunction:
    """A random square of `size` pixels, every position equally likely.

    Source: plain.
    """
    check_size(size)

    def draw(example: Example, seed: tf.Tensor) -> Drawn:
        return {"position": draws.uniform(seed, 2)}

    def apply(example: Example, drawn: Drawn) -> Example:
        shape = tf.shape(example["image"])
        corner = draws.below(drawn["position"], shape[:2] - size + 1)
        image = tf.image.crop_to_bounding_box(example["image"], corner[0], corner[1], size, size)
        return example | {"image": image}

    return MapFunction(apply, Place.IMAGE, draw)


def _decode_box(draw: Draw, size: int, decoder: Decoder, *, min_side: int) -> MapFunction:
    def apply(example: Example, drawn: Drawn) -> Example:
        image = decoder.crop(example, drawn["box"])
        return example | {"image": tf.ensure_shape(image, [size, size, 3])}

    def windows(examples: Example, drawn: Drawn, mirrored: tf.Tensor) -> tf.Tensor:
        return windows_of(decoder.window, examples, drawn["box"], mirrored, size)

    return MapFunction(
        apply, Place.ENCODED, draw, min_side=min_side, windows=windows, describe=describe_box
    )


def check_size(size: int) -> None:
    """Raises ValueError unless it is a whole number of pixels."""
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"a size is a whole number of pixels, not {size!r}")


def _span(side: tf.Tensor, within: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Start and length of the central `within` pixels of `side`, or of all of it (0)."""
    return ((side - within) // 2, tf.fill(tf.shape(side), within)) if within else (0 * side, side)


def _square(top: tf.Tensor, left: tf.Tensor, size: int) -> tf.Tensor:
    side = tf.fill(tf.shape(top), size)
    return tf.stack([top, left, side, side], axis=-1)


def _assert_side(example: Example, side: int) -> tf.Operation | None:
    smallest = tf.reduce_min(tf.minimum(example["height"], example["width"]))
    return tf.debugging.assert_greater_equal(
        smallest,
        side,
        message=f"an image is smaller than the crop of {side} pixels: "
        f"start the chain with decode|resize_short_side({side}) or decode_random_resized_crop",
    )
