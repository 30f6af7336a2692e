"""The statistics are exact, and the same however the images were shared out."""

import numpy as np
import pytest

from data_prep.image.pixel_sums import PixelSums


def images(count: int, side: int = 24, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        height, width = side, int(random.integers(side, 3 * side))
        pixels = random.integers(0, 256, (height, width, 4), dtype=np.uint8)
        pixels[..., 3] = 255
        made.append(pixels)
    return made


def summed(pixels: list[np.ndarray], side: int = 24) -> PixelSums:
    sums = PixelSums(side)
    for label, image in enumerate(pixels):
        sums.add(image, label % 3)
    return sums


def test_against_numpy():
    pixels = images(40)
    found = summed(pixels).statistics(num_classes=4)
    everything = np.concatenate([image[..., :3].reshape(-1, 3) for image in pixels]).astype(float)
    np.testing.assert_allclose(found.channel_mean, everything.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.channel_std, everything.std(0), rtol=1e-10)
    covariance = np.cov(everything.T, bias=True)
    rebuilt = found.eigenvectors @ np.diag(found.eigenvalues) @ found.eigenvectors.T
    np.testing.assert_allclose(rebuilt, covariance, rtol=1e-8, atol=1e-6)
    assert (np.diff(found.eigenvalues) <= 0).all()
    assert (found.eigenvectors[0] >= 0).all()
    lefts = [(image.shape[1] - 24) // 2 for image in pixels]
    squares = [image[:, left : left + 24, :3] for image, left in zip(pixels, lefts, strict=True)]
    np.testing.assert_array_equal(found.mean_image, np.mean(squares, axis=0))
    np.testing.assert_array_equal(found.class_counts, [14, 13, 13, 0])
    assert found.size_counts.sum() == 40
    assert {tuple(size) for size in found.sizes} == {image.shape[:2] for image in pixels}


@pytest.mark.parametrize("level", [0, 255])
def test_the_extremes_add_up_exactly(level):
    # Every partial sum is at its largest here: where 32 bits overflowed, this would show it.
    image = np.full((700, 1100, 4), level, np.uint8)
    image[..., 3] = 255
    sums = PixelSums()
    sums.add(image, 0)
    count = 700 * 1100
    assert sums.totals.tolist() == [count * level] * 3 + [count * level**2] * 6


@pytest.mark.parametrize("cuts", [(1,), (7, 8, 30), tuple(range(1, 60))])
def test_parts_merge_to_the_same(cuts):
    pixels = images(60)
    whole = summed(pixels)
    merged = PixelSums(24)
    for start, stop in zip((0, *cuts), (*cuts, 60), strict=True):
        part = PixelSums(24)
        for number in range(start, stop):
            part.add(pixels[number], number % 3)
        merged.merge(PixelSums.from_arrays(part.to_arrays()))
    expected, found = whole.to_arrays(), merged.to_arrays()
    assert expected.keys() == found.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_many_images_merged_on_the_way():
    image = np.full((4, 4, 4), 255, np.uint8)
    sums, other = PixelSums(4), PixelSums(4)
    for number in range(600):
        (sums if number % 2 else other).add(image, 0)
    sums.merge(other)
    for _ in range(300):
        sums.add(image, 0)
    assert (sums.statistics(1).mean_image == 255).all()


def test_without_a_common_square_there_is_no_mean_image():
    assert summed(images(3), side=0).statistics(3).mean_image is None


def test_nothing_has_statistics_too():
    found = PixelSums(8).statistics(2)
    assert np.isfinite(found.channel_std).all()
    assert found.class_counts.tolist() == [0, 0]
