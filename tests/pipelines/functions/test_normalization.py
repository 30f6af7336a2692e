"""What ends a device chain."""

import numpy as np
import pytest
import tensorflow as tf

from data_prep.schema import Statistics
from pipelines.functions.normalization import cast, mean_std, subtract_mean, to_bgr

SEEDS = tf.zeros([4, 2], tf.int32)
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 6, 8, 3), np.uint8)
MEAN, STD = np.array([120.0, 115.0, 104.0]), np.array([70.0, 68.0, 72.0])
MEAN_IMAGE = np.random.default_rng(1).uniform(90, 130, (10, 10, 3))
STATISTICS = Statistics(MEAN, STD, np.ones(3), np.eye(3), MEAN_IMAGE)


def run(function) -> np.ndarray:
    return function({"image": tf.constant(IMAGES)}, SEEDS)["image"].numpy()


@pytest.mark.parametrize(
    ("function", "reference"),
    [
        (subtract_mean(statistics=STATISTICS), IMAGES - MEAN),
        (subtract_mean("image", statistics=STATISTICS), IMAGES - MEAN_IMAGE[2:8, 1:9]),
        (subtract_mean("none", statistics=None), IMAGES.astype(float)),
        (subtract_mean((1.0, 2.0, 3.0), statistics=None), IMAGES - [1.0, 2.0, 3.0]),
        (mean_std(statistics=STATISTICS), (IMAGES - MEAN) / STD),
        (
            mean_std((1.0, 2.0, 3.0), (2.0, 4.0, 8.0), statistics=None),
            (IMAGES - [1.0, 2.0, 3.0]) / [2.0, 4.0, 8.0],
        ),
        (cast(255), IMAGES / 255),
        (to_bgr(), IMAGES[..., ::-1]),
    ],
)
def test_is_what_its_name_says(function, reference):
    np.testing.assert_allclose(run(function), reference, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: subtract_mean(statistics=None), "no statistics"),
        (lambda: mean_std(statistics=None), "no statistics"),
        (lambda: subtract_mean("median", statistics=STATISTICS), "three levels"),
        (lambda: subtract_mean((1, 2), statistics=STATISTICS), "three levels"),
        (lambda: mean_std(MEAN_TUPLE, (1, 0, 1), statistics=None), "above 0"),
        (lambda: cast(0), "above 0"),
    ],
)
def test_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make()


MEAN_TUPLE = (1.0, 2.0, 3.0)


def test_a_mean_image_smaller_than_the_crop_is_refused():
    small = Statistics(MEAN, STD, np.ones(3), np.eye(3), MEAN_IMAGE[:4, :4])
    with pytest.raises(ValueError, match="smaller"):
        run(subtract_mean("image", statistics=small))
    none = Statistics(MEAN, STD, np.ones(3), np.eye(3), None)
    with pytest.raises(ValueError, match="no mean image"):
        subtract_mean("image", statistics=none)
