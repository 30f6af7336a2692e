"""Map functions that change an image's size by resampling."""

import numpy as np
import tensorflow as tf

from pipelines.functions import draws
from pipelines.functions.crops import check_size
from pipelines.functions.decoders import Decoder
from pipelines.functions.map_function import (
    MAP_FUNCTIONS,
    Drawn,
    Example,
    MapFunction,
    Place,
    describe_box,
    on_image,
)
from pipelines.functions.windows import windows_of

# Shrinking by more than this takes the antialiased kernel, which is three times slower. At this
# factor, plain bilinear differs from it by 0.7 levels on average over real photographs.
_ANTIALIAS_ABOVE = 1.1

# torchvision tries as often before it takes the central crop.
_TRIES = 10


@MAP_FUNCTIONS.register
def decode_random_resized_crop(
    size: int,
    area: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    *,
    decoder: Decoder,
) -> MapFunction:
    """Decodes a random part of the image and resizes it to a square, distorting it.

    Szegedy et al. 2015 (GoogLeNet), section 6, as torchvision's RandomResizedCrop states it: the
    part's share of the area is uniform, its width to height uniform in the logarithm; after ten
    tries that don't fit, the largest central part of an allowed ratio. TF-slim draws the ratio
    uniformly instead. Resized as Pillow's BILINEAR, to 0.15 levels on average (measured).

    Args:
        size: side of the result, in pixels.
        area: smallest and largest share of the image's area.
        ratio: smallest and largest width / height.
        decoder: the data set's.
    """
    check_size(size)
    _check_range("area", area, 1.0)
    _check_range("ratio", ratio, np.inf)
    low, high = np.log(ratio)

    def draw(example: Example, seed: tf.Tensor) -> Drawn:
        height, width = example["height"], example["width"]
        pixels = tf.cast(height * width, tf.float32)[..., tf.newaxis]
        areas = pixels * (area[0] + (area[1] - area[0]) * draws.uniform(seed, _TRIES, 0))
        ratios = draws.distributed(lambda p: np.exp(low + (high - low) * p), seed, _TRIES, 1)
        tall = tf.cast(tf.round(tf.sqrt(areas / ratios)), tf.int32)
        wide = tf.cast(tf.round(tf.sqrt(areas * ratios)), tf.int32)
        fits = (tall <= height[..., None]) & (wide <= width[..., None]) & (tall > 0) & (wide > 0)
        first = tf.argmax(tf.cast(fits, tf.int32), axis=-1, output_type=tf.int32)
        tall, wide = (
            tf.gather(v, first, axis=-1, batch_dims=first.shape.rank) for v in (tall, wide)
        )
        place = draws.uniform(seed, 2, 2)
        top = draws.below(place[..., 0], height - tall + 1)
        left = draws.below(place[..., 1], width - wide + 1)
        drawn = tf.stack([top, left, tall, wide], axis=-1)
        found = tf.reduce_any(fits, axis=-1, keepdims=True)
        return {"box": tf.where(found, drawn, _largest_center(height, width, ratio))}

    def windows(examples: Example, drawn: Drawn, mirrored: tf.Tensor) -> tf.Tensor:
        return windows_of(decoder.window, examples, drawn["box"], mirrored, size)

    def apply(example: Example, drawn: Drawn) -> Example:
        one = {name: example[name][tf.newaxis] for name in ("image", "height", "width")}
        box = drawn["box"][tf.newaxis]
        return example | {"image": windows(one, {"box": box}, tf.constant([False]))[0]}

    return MapFunction(apply, Place.ENCODED, draw, windows=windows, describe=describe_box)


@MAP_FUNCTIONS.register
def resize_short_side(size: int) -> MapFunction:
    """Makes the shorter side `size` pixels; the aspect ratio is kept, as far as pixels allow.

    Source: plain.
    """
    check_size(size)
    return MapFunction(
        on_image(lambda image: with_short_side(image, tf.constant(size))), Place.IMAGE
    )


@MAP_FUNCTIONS.register
def random_short_side(minimum: int, maximum: int) -> MapFunction:
    """Makes the shorter side a random number of pixels, both bounds included.

    The scale jitter of VGG (Simonyan & Zisserman 2015, section 3.1: 256 to 512) and ResNet (He et
    al. 2016, section 3.4: 256 to 480).
    """
    check_size(minimum)
    check_size(maximum)
    if maximum < minimum:
        raise ValueError(f"from {minimum} to {maximum} there is no size")

    def draw(example: Example, seed: tf.Tensor) -> Drawn:
        choices = tf.constant(maximum - minimum + 1)
        return {"short_side": minimum + draws.below(draws.uniform(seed, 1)[..., 0], choices)}

    def apply(example: Example, drawn: Drawn) -> Example:
        return example | {"image": with_short_side(example["image"], drawn["short_side"])}

    return MapFunction(apply, Place.IMAGE, draw)


def resized(
    image: tf.Tensor, height: int | tf.Tensor, width: int | tf.Tensor, antialias: tf.Tensor
) -> tf.Tensor:
    """Bilinear resizing of uint8 [H, W, 3] to uint8 [height, width, 3], as Pillow's if antialiased.

    Where it enlarges, both kernels are the same.
    """
    size = tf.stack([height, width])
    levels = tf.cond(
        antialias,
        lambda: tf.image.resize(image, size, antialias=True),
        lambda: tf.image.resize(image, size),
    )
    # Rounds and narrows in one pass; `tf.round` and `tf.cast` take two, and twice the time.
    rounded = tf.raw_ops.QuantizeV2(
        input=levels,
        min_range=0.0,
        max_range=255.0,
        T=tf.quint8,
        mode="MIN_FIRST",
        round_mode="HALF_AWAY_FROM_ZERO",
    )
    static = [side if isinstance(side, int) else None for side in (height, width)]
    return tf.ensure_shape(tf.bitcast(rounded.output, tf.uint8), [*static, 3])


def with_short_side(image: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """The image uint8 [H, W, 3] resized so that its shorter side is `size` pixels (int32 [])."""
    height, width = tf.unstack(tf.shape(image)[:2])
    short = tf.minimum(height, width)
    # Integers, so that 500x375 becomes what torchvision makes of it.
    return resized(image, size * height // short, size * width // short, shrinks(short, size))


def shrinks(side: tf.Tensor, size: tf.Tensor | int) -> tf.Tensor:
    """Whether resizing a side to `size` pixels shrinks it enough to need the antialiased kernel."""
    return tf.cast(side, tf.float32) > _ANTIALIAS_ABOVE * tf.cast(size, tf.float32)


def _largest_center(height: tf.Tensor, width: tf.Tensor, ratio: tuple[float, float]) -> tf.Tensor:
    """The largest central box whose width / height lies within `ratio`: int32 [..., 4]."""
    high, wide = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    tall = tf.minimum(height, tf.cast(tf.round(wide / ratio[0]), tf.int32))
    broad = tf.minimum(width, tf.cast(tf.round(high * ratio[1]), tf.int32))
    return tf.stack([(height - tall) // 2, (width - broad) // 2, tall, broad], axis=-1)


def _check_range(name: str, bounds: tuple[float, float], most: float) -> None:
    if not (isinstance(bounds, tuple) and len(bounds) == 2 and 0 < bounds[0] <= bounds[1] <= most):
        raise ValueError(f"{name}={bounds!r} is not a pair of increasing numbers above 0")
