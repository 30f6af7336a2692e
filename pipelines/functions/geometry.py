"""Map functions that move, turn or cover pixels: flips, padding, rotation, erasing."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from data_prep.schema import Statistics
from pipelines.functions import draws
from pipelines.functions.map_function import (
    MAP_FUNCTIONS,
    Drawn,
    Example,
    MapFunction,
    Place,
    on_image,
)

_ERASING_TRIES = 10


@MAP_FUNCTIONS.register
def random_flip(probability: float = 0.5) -> MapFunction:
    """Mirrors left and right with a probability (Krizhevsky et al. 2012, section 4.1)."""

    def draw(example: Example, seed: tf.Tensor) -> Drawn:
        return {"flip": draws.uniform(seed, 1)[..., 0] < probability}

    def apply(example: Example, drawn: Drawn) -> Example:
        flip = _flip_batch if example["image"].shape.rank == 4 else _flip_image
        return example | {"image": flip(example["image"], drawn["flip"])}

    return MapFunction(apply, Place.IMAGE | Place.BATCH, draw, mirrors=True)


@MAP_FUNCTIONS.register
def pad(pixels: int, level: int = 0) -> MapFunction:
    """Adds a border of so many pixels of one level on each side (He et al. 2016, section 4.2)."""
    if not isinstance(pixels, int) or pixels < 1:
        raise ValueError(f"a border is at least 1 pixel wide, not {pixels!r}")
    border = [[pixels, pixels], [pixels, pixels], [0, 0]]
    return MapFunction(
        on_image(lambda image: tf.pad(image, border, constant_values=level)), Place.IMAGE
    )


@MAP_FUNCTIONS.register
def rotate(degrees: float) -> MapFunction:
    """Turns by a random angle, uniform from -degrees to +degrees; what is uncovered is black.

    Hu et al. 2018 (squeeze-and-excitation; the published models): 10 degrees. Bilinear, about the
    centre.
    """
    if not 0 < degrees <= 180:
        raise ValueError(f"an angle lies above 0 and up to 180, not at {degrees!r}")

    def radians(probability: np.ndarray) -> np.ndarray:
        return np.radians(degrees) * (2 * probability - 1)

    def draw(example: Example, seed: tf.Tensor) -> Drawn:
        return {
            "cosine": draws.distributed(lambda p: np.cos(radians(p)), seed, 1)[..., 0],
            "sine": draws.distributed(lambda p: np.sin(radians(p)), seed, 1)[..., 0],
        }

    def apply(example: Example, drawn: Drawn) -> Example:
        matrix = rotation(example["image"], drawn["cosine"], drawn["sine"])
        return example | {"image": transformed(example["image"], matrix, "BILINEAR")}

    return MapFunction(apply, Place.IMAGE, draw)


@MAP_FUNCTIONS.register
def random_erasing(
    probability: float = 0.5,
    area: tuple[float, float] = (0.02, 0.4),
    ratio: tuple[float, float] = (0.3, 1 / 0.3),
    fill: str = "random",
    *,
    statistics: Statistics | None,
) -> MapFunction:
    """Covers a random rectangle (Zhong et al. 2020, algorithm 1).

    As there, a rectangle that does not fit is drawn again; here ten times, then none is covered.

    Args:
        probability: of covering anything.
        area: smallest and largest share of the image's area.
        ratio: smallest and largest height / width, uniform in the logarithm.
        fill: `random`: random levels, one each pixel and channel. `mean`: the training set's mean.
        statistics: the data set's.
    """
    if fill not in ("random", "mean"):
        raise ValueError(f"fill is 'random' or 'mean', not {fill!r}")
    if fill == "mean" and statistics is None:
        raise ValueError("the data set has no statistics: fill='random' needs none")
    mean = np.round(statistics.channel_mean) if statistics else None
    low, high = np.log(ratio)

    def draw(example: Example, seed: tf.Tensor) -> Drawn:
        return {
            "erase": draws.uniform(seed, 1, 0)[..., 0] < probability,
            "areas": area[0] + (area[1] - area[0]) * draws.uniform(seed, _ERASING_TRIES, 1),
            "ratios": draws.distributed(
                lambda p: np.exp(low + (high - low) * p), seed, _ERASING_TRIES, 2
            ),
            "corner": draws.uniform(seed, 2, 3),
            "noise_seed": tf.bitcast(draws.bits(seed, 2, 4), tf.int32),
        }

    def apply(example: Example, drawn: Drawn) -> Example:
        image = example["image"]
        height, width = tf.unstack(tf.shape(image)[:2])
        areas = drawn["areas"] * tf.cast(height * width, tf.float32)
        tall = tf.cast(tf.round(tf.sqrt(areas * drawn["ratios"])), tf.int32)
        wide = tf.cast(tf.round(tf.sqrt(areas / drawn["ratios"])), tf.int32)
        fits = (tall < height) & (wide < width)
        first = tf.argmax(tf.cast(fits, tf.int32))
        top = draws.below(drawn["corner"][0], height - tall[first] + 1)
        left = draws.below(drawn["corner"][1], width - wide[first] + 1)
        inside = _between(height, top, tall[first])[:, None] & _between(width, left, wide[first])
        covered = inside[..., None] & drawn["erase"] & tf.reduce_any(fits)
        levels = mean
        if fill == "random":
            levels = tf.random.stateless_uniform(
                tf.shape(image), drawn["noise_seed"], 0, 256, tf.int32
            )
        return example | {"image": tf.where(covered, tf.cast(levels, tf.uint8), image)}

    def describe(drawn: Mapping[str, np.ndarray]) -> str:
        return "covered" if drawn["erase"] else "left"

    return MapFunction(apply, Place.IMAGE, draw, describe=describe)


def rotation(image: tf.Tensor, cosine: tf.Tensor, sine: tf.Tensor) -> tf.Tensor:
    """The matrix for `transformed` that turns about the centre, counterclockwise."""
    height, width = tf.unstack(tf.cast(tf.shape(image)[:2], tf.float32))
    x, y = width / 2, height / 2
    # Pixel coordinates run downwards, and the matrix goes from the result to the image.
    return tf.stack(
        [cosine, -sine, x - cosine * x + sine * y, sine, cosine, y - sine * x - cosine * y]
    )


def transformed(image: tf.Tensor, matrix: tf.Tensor, interpolation: str) -> tf.Tensor:
    """Moves pixels by an affine map; what comes from outside the image is black.

    Args:
        image: uint8 [H, W, 3].
        matrix: float32 [6]: a, b, c, d, e, f; the result's point (x, y) shows the image's point
            (a x + b y + c, d x + e y + f). Points are in pixels from the top left corner, so that
            a pixel's middle lies at halves, as in Pillow.
        interpolation: `NEAREST` or `BILINEAR`.

    Returns:
        uint8 [H, W, 3].
    """
    a, b, c, d, e, f = tf.unstack(matrix)
    # The op counts from the middle of the first pixel.
    shifted = [a, b, c + (a + b - 1) / 2, d, e, f + (d + e - 1) / 2, 0.0, 0.0]
    result = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[tf.newaxis],
        transforms=tf.stack(shifted)[tf.newaxis],
        output_shape=tf.shape(image)[:2],
        fill_value=0.0,
        interpolation=interpolation,
        fill_mode="CONSTANT",
    )[0]
    return tf.ensure_shape(result, image.shape)


def _flip_image(image: tf.Tensor, flip: tf.Tensor) -> tf.Tensor:
    # Reversing along no axis passes the image on, and costs less than `tf.cond`.
    axes = tf.ones([tf.cast(flip, tf.int32)], tf.int32)
    return tf.ensure_shape(tf.reverse(image, axes), image.shape)


def _flip_batch(images: tf.Tensor, flip: tf.Tensor) -> tf.Tensor:
    mirrored = tf.reverse(images, [2])
    if tf.config.get_visible_devices("GPU"):
        # GPUs have no kernel to gather uint8, and would wait for indices from the host.
        return tf.where(flip[:, tf.newaxis, tf.newaxis, tf.newaxis], mirrored, images)
    # Gathering whole images is far quicker on a CPU than `tf.where`, which goes pixel by pixel.
    count = tf.shape(images)[0]
    both = tf.concat([images, mirrored], axis=0)
    return tf.gather(both, tf.range(count) + count * tf.cast(flip, tf.int32))


def _between(length: tf.Tensor, start: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    places = tf.range(length)
    return (places >= start) & (places < start + count)
