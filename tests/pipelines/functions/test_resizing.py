"""Resizing, against Pillow on real photographs; the distribution of Inception's crops."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from PIL import Image

from pipelines.config import ACCURATE
from pipelines.functions import draws
from pipelines.functions.decoders import JpegDecoder
from pipelines.functions.resizing import (
    decode_random_resized_crop,
    random_short_side,
    resize_short_side,
)
from tests.making.datasets import jpeg, pixels, sample_photographs

COUNT = 4000
SEEDS = draws.example_seeds(1, tf.constant(0, tf.int64), tf.range(COUNT, dtype=tf.int64))


@pytest.fixture(scope="module")
def photographs(sample_dir):
    return sample_photographs(sample_dir, 8)


def by_pillow(image: np.ndarray, height: int, width: int) -> np.ndarray:
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def mean_difference(ours: tf.Tensor, reference: np.ndarray) -> float:
    assert ours.shape == reference.shape
    return np.abs(ours.numpy().astype(int) - reference).mean()


@pytest.mark.parametrize("size", [96, 224, 340, 460])
def test_resizing_is_within_one_level_of_pillow(photographs, size):
    """Shrinking much and little, and enlarging: the photographs' short sides are about 375."""
    differences = []
    for encoded in photographs:
        image = pixels(encoded)
        ours = resize_short_side(size)({"image": tf.constant(image)}, SEEDS[0])["image"]
        differences.append(mean_difference(ours, by_pillow(image, *ours.shape[:2])))
    assert np.mean(differences) < 1


@pytest.mark.parametrize(("height", "width"), [(375, 500), (500, 375), (100, 640)])
def test_short_side_has_torchvisions_rounding(height, width):
    image = tf.zeros([height, width, 3], tf.uint8)
    long = int(256 * max(height, width) / min(height, width))
    shape = resize_short_side(256)({"image": image}, SEEDS[0])["image"].shape
    assert sorted(shape[:2]) == [256, long]


def test_random_short_side_takes_every_size_equally_often():
    drawn = random_short_side(256, 480).draw({}, SEEDS)["short_side"].numpy()
    counts = np.bincount(drawn - 256, minlength=225)
    assert scipy.stats.chisquare(counts).pvalue > 0.01


def test_random_short_side_resizes_to_what_it_drew():
    function = random_short_side(40, 60)
    for seed in SEEDS[:5]:
        example = {"image": tf.zeros([50, 80, 3], tf.uint8)}
        side = int(function.draw(example, seed)["short_side"])
        assert function(example, seed)["image"].shape == (side, 80 * side // 50, 3)


def boxes(function, height: int, width: int) -> np.ndarray:
    sizes = {"height": tf.fill([COUNT], height), "width": tf.fill([COUNT], width)}
    return function.draw(sizes, SEEDS)["box"].numpy()


def test_random_resized_crop_has_uniform_area_and_log_uniform_ratio():
    # Small enough areas always fit, so the distributions are undisturbed.
    function = decode_random_resized_crop(224, (0.08, 0.5), decoder=JpegDecoder())
    drawn = boxes(function, 2000, 2000)
    area = drawn[:, 2] * drawn[:, 3] / 2000**2
    ratio = np.log(drawn[:, 3] / drawn[:, 2]) / np.log(4 / 3)
    assert scipy.stats.kstest(area, scipy.stats.uniform(0.08, 0.42).cdf).pvalue > 0.01
    assert scipy.stats.kstest(ratio, scipy.stats.uniform(-1, 2).cdf).pvalue > 0.01
    assert abs(np.corrcoef(area, ratio)[0, 1]) < 4 / np.sqrt(COUNT)
    room = 2000 - drawn[:, 2]
    assert scipy.stats.kstest(drawn[:, 0] / room, scipy.stats.uniform.cdf).pvalue > 0.01


def reference_boxes(height: int, width: int) -> np.ndarray:
    """torchvision's rule with NumPy's own randomness."""
    generator = np.random.default_rng(0)
    found = []
    while len(found) < COUNT:
        for _ in range(10):
            area = height * width * generator.uniform(0.08, 1)
            ratio = np.exp(generator.uniform(np.log(3 / 4), np.log(4 / 3)))
            wide, tall = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
            if 0 < wide <= width and 0 < tall <= height:
                found.append((tall, wide))
                break
        else:
            found.append((height, round(height * 4 / 3)))
    return np.array(found)


def test_random_resized_crop_of_a_photographs_shape_is_torchvisions():
    drawn = boxes(decode_random_resized_crop(224, decoder=JpegDecoder()), 256, 384)
    reference = reference_boxes(256, 384)
    for column in (0, 1):
        assert scipy.stats.ks_2samp(drawn[:, 2 + column], reference[:, column]).pvalue > 0.01
    assert (drawn[:, 0] + drawn[:, 2]).max() <= 256
    assert (drawn[:, 1] + drawn[:, 3]).max() <= 384
    assert drawn.min(axis=0)[:2].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("shape", "box"), [((50, 1000), (0, 467, 50, 67)), ((1000, 50), (467, 0, 67, 50))]
)
def test_random_resized_crop_falls_back_to_the_largest_allowed_center(shape, box):
    function = decode_random_resized_crop(224, (0.99, 1.0), decoder=JpegDecoder())
    top, left, height, width = box
    drawn = boxes(function, *shape)
    assert (drawn[:, 2:] == [height, width]).all()
    assert (np.abs(drawn[:, :2] - [top, left]) <= 1).all()


def test_random_resized_crop_is_pillows_crop_and_resize(photographs):
    function = decode_random_resized_crop(160, decoder=JpegDecoder(ACCURATE))
    differences = []
    for number, encoded in enumerate(photographs):
        image = pixels(encoded)
        example = {
            "image": tf.constant(encoded),
            "height": tf.constant(image.shape[0]),
            "width": tf.constant(image.shape[1]),
        }
        top, left, tall, wide = function.draw(example, SEEDS[number])["box"].numpy()
        reference = by_pillow(image[top : top + tall, left : left + wide], 160, 160)
        differences.append(mean_difference(function(example, SEEDS[number])["image"], reference))
    assert np.mean(differences) < 1


@pytest.mark.parametrize("arguments", [(224, (0.5, 0.2)), (224, (0.0, 1.0)), (224, (0.1, 2.0))])
def test_areas_that_make_no_sense_are_refused(arguments):
    with pytest.raises(ValueError, match="area"):
        decode_random_resized_crop(*arguments, decoder=JpegDecoder())


@pytest.mark.slow(reason="many photographs beside Pillow")
def test_random_resized_crop_of_stored_images_is_within_half_a_level(photographs):
    """From short side 256 to 224, where crops take the quick kernel: as training does it."""
    function = decode_random_resized_crop(224, decoder=JpegDecoder(ACCURATE))
    differences = []
    for number, encoded in enumerate(photographs * 6):
        image = Image.fromarray(pixels(encoded))
        image = image.resize([256 * side // min(image.size) for side in image.size])
        example = {
            "image": tf.constant(jpeg(np.asarray(image))),
            "height": tf.constant(image.height),
            "width": tf.constant(image.width),
        }
        top, left, tall, wide = function.draw(example, SEEDS[number])["box"].numpy()
        stored = pixels(example["image"].numpy())[top : top + tall, left : left + wide]
        ours = function(example, SEEDS[number])["image"]
        differences.append(mean_difference(ours, by_pillow(stored, 224, 224)))
    assert np.mean(differences) < 0.5
    assert np.max(differences) < 3
