"""Map functions of the device that end a chain: means, scales, the order of channels."""

import numpy as np
import tensorflow as tf

from data_prep.schema import Statistics
from pipelines.functions.map_function import MAP_FUNCTIONS, MapFunction, Place, on_image


@MAP_FUNCTIONS.register
def subtract_mean(
    mean: str | tuple[float, float, float] = "channel", *, statistics: Statistics | None
) -> MapFunction:
    """Subtracts the mean over the training set; levels keep their scale.

    Args:
        mean: `channel`: one value a channel. `image`: one value a pixel, the centre of the mean
            image where a crop is smaller (Krizhevsky et al. 2012, section 2; they subtracted
            before cropping, so a crop off the centre had another part of it). `none`: nothing. Or
            three levels, R, G, B.
        statistics: the data set's.
    """
    if mean == "none":
        return MapFunction(on_image(_float), Place.BATCH, normalizes=True)
    if mean == "image":
        known = _need(statistics, "subtract_mean('none'), or three levels")
        if known.mean_image is None:
            raise ValueError("the data set has no mean image: its images are not of one size")
        mean_image = known.mean_image

        def subtract(images: tf.Tensor) -> tf.Tensor:
            center = _center(mean_image, images.shape[1], images.shape[2])
            return _float(images) - tf.constant(center, tf.float32)

        return MapFunction(on_image(subtract), Place.BATCH, normalizes=True)
    if mean == "channel":
        mean = tuple(_need(statistics, "subtract_mean('none'), or three levels").channel_mean)
    constant = np.asarray(_three(mean), np.float32)
    return MapFunction(
        on_image(lambda images: _float(images) - constant), Place.BATCH, normalizes=True
    )


@MAP_FUNCTIONS.register
def mean_std(
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    *,
    statistics: Statistics | None,
) -> MapFunction:
    """(image - mean) / std for each channel.

    Source: plain.

    Args:
        mean: three levels, R, G, B; None: the data set's.
        std: likewise.
        statistics: the data set's.
    """
    instead = "three levels for the mean and for the deviation"
    means = _need(statistics, instead).channel_mean if mean is None else _three(mean)
    deviations = _need(statistics, instead).channel_std if std is None else _three(std)
    if min(deviations) <= 0:
        raise ValueError(f"a standard deviation is above 0, not {tuple(deviations)}")
    offset, scale = np.asarray(means, np.float32), 1 / np.asarray(deviations, np.float32)
    return MapFunction(
        on_image(lambda images: (_float(images) - offset) * scale), Place.BATCH, normalizes=True
    )


@MAP_FUNCTIONS.register
def cast(divisor: float = 1.0) -> MapFunction:
    """float32, divided by `divisor`: 255 makes levels into 0..1.

    Source: plain.
    """
    if not divisor > 0:
        raise ValueError(f"a divisor is above 0, not {divisor!r}")
    return MapFunction(
        on_image(lambda images: _float(images) * np.float32(1 / divisor)),
        Place.BATCH,
        normalizes=True,
    )


@MAP_FUNCTIONS.register
def to_bgr() -> MapFunction:
    """Reverses the channels, for weights from Caffe and OpenCV.

    Source: plain.
    """
    return MapFunction(on_image(lambda images: tf.reverse(images, [-1])), Place.BATCH)


def _float(images: tf.Tensor) -> tf.Tensor:
    return tf.cast(images, tf.float32)


def _need(statistics: Statistics | None, instead: str) -> Statistics:
    if statistics is None:
        raise ValueError(f"the data set has no statistics: give {instead}")
    return statistics


def _three(levels: object) -> tuple[float, ...]:
    numbers = isinstance(levels, tuple) and all(isinstance(v, int | float) for v in levels)
    if not numbers or len(levels) != 3:  # type: ignore[arg-type]
        raise ValueError(f"three levels (R, G, B) are expected, not {levels!r}")
    return levels  # type: ignore[return-value]


def _center(image: np.ndarray, height: int, width: int) -> np.ndarray:
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    if top < 0 or left < 0:
        raise ValueError(f"the mean image of {image.shape[:2]} is smaller than {(height, width)}")
    return image[top : top + height, left : left + width]
