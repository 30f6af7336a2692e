"""Colour functions, against their definitions in NumPy and Pillow on real photographs."""

import itertools

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from PIL import Image

from data_prep.schema import Statistics
from pipelines.functions import draws
from pipelines.functions.color import color_jitter, grayscale, pca_lighting
from tests.making.datasets import pixels, sample_photographs

COUNT = 4000
SEEDS = draws.example_seeds(3, tf.constant(0, tf.int64), tf.range(COUNT, dtype=tf.int64))
VECTORS = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
VALUES = np.array([14000.0, 1200.0, 300.0])
STATISTICS = Statistics(np.zeros(3), np.ones(3), VALUES, VECTORS, None)


@pytest.fixture(scope="module")
def photographs(sample_dir):
    return [pixels(encoded)[:180, :200] for encoded in sample_photographs(sample_dir, 4)]


def test_lighting_is_the_papers_sum_over_principal_components(photographs):
    function = pca_lighting(0.1, statistics=STATISTICS)
    for image, seed in zip(photographs, SEEDS, strict=False):
        alpha = draws.normal(seed, 3).numpy() * 0.1
        # On pixels in [0, 1], where the eigenvalues are of the same scale.
        shift = VECTORS @ (alpha * VALUES / 255**2)
        reference = np.clip(np.round((image / 255 + shift) * 255), 0, 255)
        ours = function({"image": tf.constant(image)}, seed)["image"].numpy()
        assert ours.dtype == np.uint8
        assert np.abs(ours - reference).max() <= 1
        assert (ours == reference).mean() > 0.999


def test_lighting_of_a_batch_is_not_rounded(photographs):
    function = pca_lighting(0.1, statistics=STATISTICS)
    batch = np.stack(photographs)
    ours = function({"image": tf.constant(batch)}, SEEDS[:4])["image"].numpy()
    shifts = function.draw({}, SEEDS[:4])["shift"].numpy()
    np.testing.assert_allclose(ours, batch + shifts[:, None, None], rtol=1e-6, atol=1e-4)


def test_lighting_spreads_along_the_components():
    shifts = pca_lighting(0.1, statistics=STATISTICS).draw({}, SEEDS)["shift"].numpy()
    along = shifts @ VECTORS / (0.1 * VALUES / 255)
    for column in along.T:
        assert scipy.stats.kstest(column, scipy.stats.norm.cdf).pvalue > 0.01


def test_published_lighting_needs_no_statistics():
    shifts = pca_lighting(0.1, "published", statistics=None).draw({}, SEEDS)["shift"].numpy()
    # The first component moves all channels together, by 0.1 * 0.2175 * 255 levels along a
    # vector whose components are about 0.57 each.
    assert np.std(shifts, axis=0) == pytest.approx([3.15, 3.23, 3.27], rel=0.1)
    with pytest.raises(ValueError, match="published"):
        pca_lighting(0.1, statistics=None)


def jittered_in_order(image: np.ndarray, factors: dict[str, float], order) -> np.ndarray:
    """fb.resnet.torch's ColorJitter: on [0, 1] pixels, one step after another."""
    levels = image / 255

    def gray() -> np.ndarray:
        return (levels @ [0.299, 0.587, 0.114])[..., None]

    for name in order:
        other = {"brightness": 0, "contrast": gray().mean(), "saturation": gray()}[name]
        levels = factors[name] * levels + (1 - factors[name]) * other
    return np.clip(np.round(levels * 255), 0, 255)


def test_jitter_is_any_order_of_brightness_contrast_and_saturation(photographs):
    function = color_jitter(0.4, 0.4, 0.4)
    for image, seed in zip(photographs, SEEDS, strict=False):
        factors = {name: float(value) for name, value in function.draw({}, seed).items()}
        ours = function({"image": tf.constant(image)}, seed)["image"].numpy()
        for order in itertools.permutations(factors):
            reference = jittered_in_order(image, factors, order)
            assert np.abs(ours - reference).max() <= 1
            assert (ours == reference).mean() > 0.99


def test_jitter_factors_are_uniform():
    drawn = color_jitter(0.4, 0.2, 0.1).draw({}, SEEDS)
    for name, strength in (("brightness", 0.4), ("contrast", 0.2), ("saturation", 0.1)):
        uniform = scipy.stats.uniform(1 - strength, 2 * strength)
        assert scipy.stats.kstest(drawn[name].numpy(), uniform.cdf).pvalue > 0.01


def test_gray_is_pillows_to_the_pixel(photographs):
    for image in photographs:
        reference = np.asarray(Image.fromarray(image).convert("L").convert("RGB"))
        ours = grayscale()({"image": tf.constant(image)}, SEEDS[0])["image"]
        np.testing.assert_array_equal(ours, reference)


def test_gray_happens_with_its_probability():
    drawn = grayscale(0.2).draw({}, SEEDS)["gray"].numpy()
    assert scipy.stats.binomtest(int(drawn.sum()), COUNT, 0.2).pvalue > 0.01
