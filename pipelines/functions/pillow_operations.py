"""Pillow's enhancements as graph functions: the operations that augmentation policies choose from.

Each takes an image, uint8 [H, W, 3], and a magnitude, float32 [], and returns such an image. Where
Pillow's `ImageEnhance`, `ImageOps` or `Image.transform` has the same operation, the result is the
same up to rounding.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pipelines.functions.color import luma
from pipelines.functions.geometry import rotation, transformed

Operation = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

# ImageFilter.SMOOTH.
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13


def identity(image: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """The image as it is."""
    return image


def shear_x(image: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """Shifts each row by `magnitude` times its distance from the top."""
    return _affine(image, [1.0, -magnitude, 0.0, 0.0, 1.0, 0.0])


def shear_y(image: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """Shifts each column by `magnitude` times its distance from the left."""
    return _affine(image, [1.0, 0.0, 0.0, -magnitude, 1.0, 0.0])


def translate_x(image: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """Moves to the right by whole pixels."""
    return _affine(image, [1.0, 0.0, -_truncated(magnitude), 0.0, 1.0, 0.0])


def translate_y(image: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """Moves downwards by whole pixels."""
    return _affine(image, [1.0, 0.0, 0.0, 0.0, 1.0, -_truncated(magnitude)])


def rotate(image: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """Turns counterclockwise about the centre, by degrees."""
    radians = magnitude * (np.pi / 180)
    return transformed(image, rotation(image, tf.cos(radians), tf.sin(radians)), "NEAREST")


def brightness(image: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """Blends with black: 0 changes nothing, -1 is black."""
    return _blend(tf.zeros_like(image), image, magnitude)


def color(image: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """Blends with the gray image: 0 changes nothing, -1 is gray."""
    return _blend(luma(image), image, magnitude)


def contrast(image: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """Blends with the mean gray: 0 changes nothing, -1 is one level everywhere."""
    mean = tf.reduce_mean(tf.cast(luma(image), tf.float32))
    return _blend(tf.floor(mean + 0.5), image, magnitude)


def sharpness(image: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """Blends with the smoothed image: 0 changes nothing, -1 is smooth. The border stays."""
    kernel = tf.constant(np.repeat(_SMOOTH[:, :, None, None], 3, axis=2))
    levels = tf.cast(image, tf.float32)[tf.newaxis]
    inner = tf.floor(tf.nn.depthwise_conv2d(levels, kernel, [1, 1, 1, 1], "VALID")[0] + 0.5)
    blended = _blend(inner, image[1:-1, 1:-1], magnitude)
    inside = tf.pad(tf.ones_like(blended, tf.bool), [[1, 1], [1, 1], [0, 0]])
    return tf.where(inside, tf.pad(blended, [[1, 1], [1, 1], [0, 0]]), image)


def posterize(image: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """Keeps so many of the highest bits of each level."""
    dropped = 8 - tf.cast(magnitude, tf.int32)
    mask = tf.bitwise.left_shift(tf.bitwise.right_shift(255, dropped), dropped)
    return tf.bitwise.bitwise_and(image, tf.cast(mask, tf.uint8))


def solarize(image: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """Inverts the levels that are not below the magnitude."""
    return tf.where(tf.cast(image, tf.float32) >= magnitude, 255 - image, image)


def invert(image: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """Inverts every level."""
    return 255 - image


def auto_contrast(image: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """Stretches each channel's levels to 0..255."""
    low = tf.cast(tf.reduce_min(image, [0, 1]), tf.float32)
    high = tf.cast(tf.reduce_max(image, [0, 1]), tf.float32)
    scale = 255 / tf.maximum(high - low, 1)
    levels = tf.range(256, dtype=tf.float32)[:, tf.newaxis]
    # Cut off like Pillow's, whose product may be a hair below a whole level.
    stretched = tf.clip_by_value(tf.floor(levels * scale - low * scale + 1e-4), 0, 255)
    return _looked_up(image, tf.where(high > low, stretched, levels))


def equalize(image: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """Makes each channel's histogram as even as a map of levels can."""
    channels = tf.cast(image, tf.int32) * 3 + [0, 1, 2]
    counts = tf.reshape(tf.math.bincount(channels, minlength=768), [256, 3])
    highest = tf.gather(counts, tf.cast(tf.reduce_max(image, [0, 1]), tf.int32), axis=0)
    step = (tf.reduce_sum(counts, 0) - tf.linalg.diag_part(highest)) // 255
    below = tf.cumsum(counts, exclusive=True) + step // 2
    equal = tf.minimum(below // tf.maximum(step, 1), 255)
    table = tf.where(step > 0, equal, tf.range(256)[:, tf.newaxis])
    return _looked_up(image, table)


def _affine(image: tf.Tensor, matrix: list[float | tf.Tensor]) -> tf.Tensor:
    return transformed(image, tf.stack(matrix), "NEAREST")


def _truncated(magnitude: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.cast(magnitude, tf.int32), tf.float32)


def _blend(degenerate: tf.Tensor, image: tf.Tensor, magnitude: tf.Tensor) -> tf.Tensor:
    """`Image.blend` by 1 + magnitude, which cuts fractions off."""
    start = tf.cast(degenerate, tf.float32)
    blended = start + (1 + magnitude) * (tf.cast(image, tf.float32) - start)
    return tf.cast(tf.clip_by_value(blended, 0, 255), tf.uint8)


def _looked_up(image: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    """Maps levels by a table [256, 3], one column a channel."""
    places = tf.cast(image, tf.int32) * 3 + [0, 1, 2]
    return tf.gather(tf.reshape(tf.cast(table, tf.uint8), [-1]), places)
