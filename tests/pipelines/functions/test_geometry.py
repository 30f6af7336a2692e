"""Flips, padding, rotation and erasing."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from PIL import Image

from pipelines.functions import draws
from pipelines.functions.geometry import pad, random_erasing, random_flip, rotate
from tests.making.datasets import pixels, sample_photographs

COUNT = 4000
SEEDS = draws.example_seeds(2, tf.constant(0, tf.int64), tf.range(COUNT, dtype=tf.int64))
IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def test_half_of_the_images_are_mirrored():
    flips = random_flip().draw({}, SEEDS)["flip"].numpy()
    assert scipy.stats.binomtest(int(flips.sum()), COUNT).pvalue > 0.01


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_flip_mirrors_left_and_right(probability):
    expected = IMAGE[:, ::-1] if probability else IMAGE
    ours = random_flip(probability)({"image": tf.constant(IMAGE)}, SEEDS[0])["image"]
    np.testing.assert_array_equal(ours, expected)


def test_a_batch_on_the_device_is_mirrored_as_its_examples_are_on_the_host():
    function = random_flip()
    batch = np.stack([np.roll(IMAGE, shift, 0) for shift in range(8)])
    together = function({"image": tf.constant(batch)}, SEEDS[:8])["image"].numpy()
    single = [
        function({"image": tf.constant(image)}, seed)["image"].numpy()
        for image, seed in zip(batch, SEEDS[:8], strict=True)
    ]
    np.testing.assert_array_equal(together, single)
    assert not np.array_equal(together, batch)


def test_pad_adds_a_border():
    ours = pad(4, level=7)({"image": tf.constant(IMAGE)}, SEEDS[0])["image"].numpy()
    assert ours.shape == (28, 38, 3)
    np.testing.assert_array_equal(ours[4:-4, 4:-4], IMAGE)
    assert (ours[:4] == 7).all()


def test_rotation_is_pillows(sample_dir):
    image = pixels(sample_photographs(sample_dir, 1)[0])
    function = rotate(30.0)
    for seed in SEEDS[:4]:
        drawn = function.draw({}, seed)
        degrees = np.degrees(np.arctan2(drawn["sine"], drawn["cosine"]))
        reference = Image.fromarray(image).rotate(degrees, Image.Resampling.BILINEAR)
        ours = function({"image": tf.constant(image)}, seed)["image"].numpy()
        inside = np.asarray(reference).sum(-1) > 0  # Pillow interpolates with no black outside
        difference = np.abs(ours.astype(int) - np.asarray(reference))[inside]
        assert difference.mean() < 1


def test_rotation_angles_are_uniform():
    drawn = rotate(10.0).draw({}, SEEDS)
    degrees = np.degrees(np.arctan2(drawn["sine"], drawn["cosine"]))
    assert scipy.stats.kstest(degrees, scipy.stats.uniform(-10, 20).cdf).pvalue > 0.01


def erased(function, count: int) -> np.ndarray:
    """Which pixels of a white image of 100 x 120 are covered: bool [count, 100, 120]."""
    image = tf.fill([100, 120, 3], tf.constant(255, tf.uint8))
    run = tf.function(lambda seed: function({"image": image}, seed)["image"])
    return np.stack([(run(seed).numpy() != 255).any(-1) for seed in SEEDS[:count]])


def test_erasing_covers_rectangles_of_the_asked_area_and_ratio():
    covered = erased(random_erasing(1.0, (0.1, 0.2), (0.5, 2.0), statistics=None), 200)
    for mask in covered:
        # A level of 255 is among the random ones, in all three channels once in 16 million.
        rows, columns = mask.any(1), mask.any(0)
        assert mask.sum() == rows.sum() * columns.sum()
        assert 0.09 < mask.mean() < 0.21
        assert 0.45 < rows.sum() / columns.sum() < 2.2


def test_erasing_happens_with_its_probability():
    happened = erased(random_erasing(0.3, statistics=None), 400).any((1, 2)).sum()
    assert scipy.stats.binomtest(int(happened), 400, 0.3).pvalue > 0.01


def test_erasing_fills_with_the_mean_where_asked(statistics):
    function = random_erasing(1.0, fill="mean", statistics=statistics)
    ours = function({"image": tf.constant(IMAGE)}, SEEDS[0])["image"].numpy()
    changed = ours[(ours != IMAGE).any(-1)]
    assert len(changed)
    assert (changed == np.round(statistics.channel_mean)).all()


@pytest.fixture
def statistics():
    from data_prep.schema import Statistics

    mean = np.array([120.4, 115.6, 104.0])
    return Statistics(mean, mean, np.ones(3), np.eye(3), None)
