"""Resampling: an honest area average, Pillow's bicubic, no shift, flat areas unchanged."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_prep.image.resample import resample
from tests.making.small_sources import picture


def rgba(pixels: np.ndarray) -> np.ndarray:
    return np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])


def exact_area_average(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The mean over each output pixel's rectangle, by the integral of the image."""

    def along_rows(values: np.ndarray, count: int) -> np.ndarray:
        size = len(values)
        integral = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
        edges = np.arange(count + 1) * size / count
        whole = np.minimum(edges.astype(int), size - 1)
        at = integral[whole] + (edges - whole)[:, None, None] * values[whole]
        return np.diff(at, axis=0) * count / size

    turned = along_rows(image.astype(float), height).transpose(1, 0, 2)
    return along_rows(turned, width).transpose(1, 0, 2)


@pytest.mark.parametrize("size", [(256, 341), (100, 100), (37, 499), (20, 31), (374, 500)])
def test_shrinking_is_the_exact_area_average(size):
    image = np.random.default_rng(0).integers(0, 256, (375, 500, 4), dtype=np.uint8)
    difference = resample(image, *size) - exact_area_average(image, *size)
    # Two roundings, and weights in 256ths, on white noise, which is the worst there is.
    assert np.abs(difference).mean() < 0.6
    assert np.abs(difference).max() < 4
    assert abs(difference.mean()) < 0.05  # no drift


@pytest.mark.parametrize("size", [(256, 341), (700, 900), (241, 256)])
def test_enlarging_is_pillows_bicubic(size):
    image = rgba(picture(1, 240, 200))
    reference = Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC)
    difference = resample(image, *size).astype(int) - np.asarray(reference)
    assert np.abs(difference).mean() < 0.4
    assert np.abs(difference).max() <= 3


def test_an_overshoot_is_clipped():
    image = np.zeros((8, 8, 4), np.uint8)
    image[:, 4:] = 255
    enlarged = resample(image, 8, 64)
    assert enlarged[0, 0, 0] == 0
    assert enlarged[0, -1, 0] == 255
    steps = np.diff(enlarged[0, :, 0].astype(int))
    assert steps.min() >= 0  # where it wrapped around, there would be a fall


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(0, 255),
)
@settings(max_examples=200, deadline=None)
def test_a_flat_image_stays_as_it_is(height, width, new_height, new_width, level):
    image = np.full((height, width, 4), level, np.uint8)
    resampled = resample(image, new_height, new_width)
    assert resampled.shape == (new_height, new_width, 4)
    assert (resampled == level).all()


@given(st.integers(2, 60), st.integers(2, 60), st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=100, deadline=None)
def test_a_crop_is_the_central_part_of_the_whole(height, width, rows, columns):
    image = np.random.default_rng(height).integers(0, 256, (45, 33, 4), dtype=np.uint8)
    rows, columns = min(rows, height), min(columns, width)
    whole = resample(image, height, width)
    top, left = (height - rows) // 2, (width - columns) // 2
    part = resample(image, height, width, (rows, columns))
    np.testing.assert_array_equal(part, whole[top : top + rows, left : left + columns])


@pytest.mark.parametrize("size", [(256, 341), (400, 533)])
def test_nothing_shifts(size):
    image = rgba(picture(3, 300, 400))
    mirrored = resample(np.ascontiguousarray(image[::-1, ::-1]), *size)[::-1, ::-1]
    difference = resample(image, *size).astype(int) - mirrored
    assert np.abs(difference).max() <= 2
    assert abs(difference.mean()) < 0.02
