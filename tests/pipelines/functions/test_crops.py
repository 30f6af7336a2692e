"""Decoding and cropping, against Pillow and NumPy on real photographs."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from pipelines.config import ACCURATE, FAST
from pipelines.functions import draws
from pipelines.functions.crops import (
    center_crop,
    decode,
    decode_center_crop,
    decode_random_crop,
    random_crop,
)
from pipelines.functions.decoders import AnyDecoder, JpegDecoder, RawDecoder
from tests.making.datasets import jpeg, pixels, sample_photographs

SEEDS = draws.example_seeds(0, tf.constant(0, tf.int64), tf.range(20_000, dtype=tf.int64))


@pytest.fixture(scope="module")
def photographs(sample_dir):
    return sample_photographs(sample_dir, 6)


def example(encoded: bytes) -> dict[str, tf.Tensor]:
    height, width, _ = pixels(encoded).shape
    return {
        "image": tf.constant(encoded),
        "label": tf.constant(0),
        "height": tf.constant(height),
        "width": tf.constant(width),
    }


def boxes(function, height: int, width: int, count: int = len(SEEDS)) -> np.ndarray:
    sizes = {"height": tf.fill([count], height), "width": tf.fill([count], width)}
    return function.draw(sizes, SEEDS[:count])["box"].numpy()


def test_accurate_decoding_is_pillows(photographs):
    for encoded in photographs:
        ours = decode(decoder=JpegDecoder(ACCURATE))(example(encoded), SEEDS[0])["image"]
        difference = np.abs(ours.numpy().astype(int) - pixels(encoded))
        assert difference.max() <= 1


def test_fast_decoding_stays_within_two_levels_on_average(photographs):
    for encoded in photographs:
        ours = decode(decoder=JpegDecoder(FAST))(example(encoded), SEEDS[0])["image"]
        assert np.abs(ours.numpy().astype(int) - pixels(encoded)).mean() < 2


@pytest.mark.parametrize("accuracy", [FAST, ACCURATE])
@pytest.mark.parametrize("factory", [decode_random_crop, decode_center_crop])
def test_crops_are_the_decoded_image_to_the_pixel(photographs, accuracy, factory):
    decoder = JpegDecoder(accuracy)
    crop = factory(100, decoder=decoder)
    for number, encoded in enumerate(photographs):
        full = decoder.decode(example(encoded)).numpy()
        drawn = crop.draw(example(encoded), SEEDS[number])
        top, left, height, width = drawn["box"].numpy()
        ours = crop(example(encoded), SEEDS[number])["image"].numpy()
        np.testing.assert_array_equal(ours, full[top : top + height, left : left + width])
        assert ours.shape == (100, 100, 3)


def test_accurate_center_crop_is_pillows_to_the_pixel(photographs):
    for encoded in photographs:
        image = pixels(encoded)
        top, left = (image.shape[0] - 96) // 2, (image.shape[1] - 96) // 2
        ours = decode_center_crop(96, decoder=JpegDecoder(ACCURATE))(example(encoded), SEEDS[0])
        difference = ours["image"].numpy().astype(int) - image[top : top + 96, left : left + 96]
        assert np.abs(difference).max() <= 1


def test_random_crop_reaches_every_position_equally_often():
    drawn = boxes(decode_random_crop(250, decoder=JpegDecoder()), 256, 259)
    counts = np.bincount(drawn[:, 0] * 10 + drawn[:, 1], minlength=70)
    assert drawn[:, 0].max() == 6
    assert drawn[:, 1].max() == 9
    assert scipy.stats.chisquare(counts).pvalue > 0.01


def test_random_crop_within_stays_in_the_central_square():
    drawn = boxes(decode_random_crop(224, 256, decoder=JpegDecoder()), 256, 400)
    assert (drawn[:, 0].min(), drawn[:, 0].max()) == (0, 32)
    assert (drawn[:, 1].min(), drawn[:, 1].max()) == (72, 72 + 32)


def test_random_crop_after_decoding_is_a_part_of_the_image():
    image = np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3)
    ours = random_crop(5)({"image": tf.constant(image)}, SEEDS[3])["image"].numpy()
    parts = [image[y : y + 5, x : x + 5] for y in range(4) for x in range(5)]
    assert any(np.array_equal(ours, part) for part in parts)


def test_center_crop_of_pixels():
    image = np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3)
    ours = center_crop(4)({"image": tf.constant(image)}, SEEDS[0])["image"]
    np.testing.assert_array_equal(ours, image[2:6, 2:6])


def test_a_crop_larger_than_the_image_says_what_to_do():
    for crop in (
        decode_random_crop(64, decoder=JpegDecoder()),
        decode_center_crop(64, decoder=JpegDecoder()),
    ):
        encoded = jpeg(np.zeros([50, 80, 3], np.uint8))
        with pytest.raises(tf.errors.InvalidArgumentError, match="resize_short_side"):
            crop(example(encoded), SEEDS[0])


@pytest.mark.parametrize("arguments", [(0,), (-3,), (2.5,), (224, 200)])
def test_sizes_that_make_no_sense_are_refused(arguments):
    with pytest.raises(ValueError, match=r"pixels|fit within"):
        decode_random_crop(*arguments, decoder=JpegDecoder())


def test_raw_pixels_and_png_are_cropped_alike():
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    png = tf.io.encode_png(image).numpy()
    raw = {**example(png), "image": tf.constant(image.tobytes())}
    for decoder, stored in ((RawDecoder(), raw), (AnyDecoder(JpegDecoder()), example(png))):
        crop = decode_center_crop(20, decoder=decoder)
        np.testing.assert_array_equal(crop(stored, SEEDS[0])["image"], image[5:25, 10:30])


def test_shapes_are_read_from_the_files(photographs):
    png = tf.io.encode_png(np.zeros([30, 40, 3], np.uint8)).numpy()
    expected = np.array([pixels(encoded).shape[:2] for encoded in photographs]).T
    np.testing.assert_array_equal(JpegDecoder().shapes(tf.constant(photographs)), expected)
    heights, widths = AnyDecoder(JpegDecoder()).shapes(tf.constant([*photographs, png]))
    assert (heights.numpy()[-1], widths.numpy()[-1]) == (30, 40)
    np.testing.assert_array_equal(heights[:-1], expected[0])
