"""Ten crops and GoogLeNet's 144, against slow NumPy and Pillow."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines import chain
from pipelines.functions.decoders import JpegDecoder
from tests.making.datasets import jpeg, pixels, sample_photographs


def views_of(encoded: bytes, text: str) -> np.ndarray:
    made = chain.host_chain(text, "eval_map", decoder=JpegDecoder("accurate"))
    example = {"image": tf.constant(encoded), "height": 0, "width": 0}
    return made.apply(example, made.draw(example, tf.constant([0, 0])))["image"].numpy()


def ten(image: np.ndarray, size: int) -> np.ndarray:
    """Slowly: the ten crops of the central square of [h, w, 3]."""
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    square = image[top : top + side, left : left + side]
    end, middle = side - size, (side - size) // 2
    crops = [
        square[y : y + size, x : x + size]
        for y, x in ((0, 0), (0, end), (end, 0), (end, end), (middle, middle))
    ]
    return np.stack(crops + [crop[:, ::-1] for crop in crops])


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def crops_144(image: np.ndarray, size: int, short_sides: tuple[int, ...]) -> np.ndarray:
    views = []
    for side in short_sides:
        short = min(image.shape[:2])
        height, width = (side * length // short for length in image.shape[:2])
        scaled = resize(image, height, width)
        for share in (0, 1, 2):
            top, left = (height - side) * share // 2, (width - side) * share // 2
            square = scaled[top : top + side, left : left + side]
            views += [*ten(square, size)[:5], resize(square, size, size)]
    return np.stack(views + [view[:, ::-1] for view in views])


def test_ten_crop_equals_slicing_on_real_photographs(sample_dir):
    for photograph in sample_photographs(sample_dir, 4):
        found = views_of(photograph, "decode|ten_crop(160)")
        np.testing.assert_array_equal(found, ten(pixels(photograph), 160))


@pytest.mark.slow(reason="many crops beside Pillow")
def test_crops_144_equal_pillow_on_real_photographs(sample_dir):
    for photograph in sample_photographs(sample_dir, 3):
        found = views_of(photograph, "decode|crops_144(112)").astype(int)
        assert found.shape == (144, 112, 112, 3)
        wanted = crops_144(pixels(photograph), 112, (256, 288, 320, 352)).astype(int)
        differences = np.abs(found - wanted).mean(axis=(1, 2, 3))
        assert differences.max() < 1.0, "levels, in the mean of each view"
        swapped = np.roll(wanted, 1, axis=0)
        assert np.abs(found - swapped).mean() > 5, "the order of the views matters"


def test_portraits_are_taken_from_top_to_bottom():
    image = np.repeat(np.arange(60, dtype=np.uint8)[:, None, None] * 4, 40, axis=1)
    portrait = jpeg(np.repeat(image, 3, axis=2), quality=100)
    found = views_of(portrait, "decode|crops_144(40, (40,))")
    levels = found[:18].mean(axis=(1, 2, 3)).reshape(3, 6).mean(axis=1)
    assert levels[0] < levels[1] - 20 < levels[2] - 40


def test_a_chain_of_views_has_their_shape():
    made = chain.host_chain("decode|ten_crop(32)", "eval_map", decoder=JpegDecoder())
    assert chain.output_shape(made, "eval_map") == (10, 32, 32, 3)


@pytest.mark.parametrize(
    "text", ["ten_crop(0)", "crops_144(224, 256)", "crops_144(224, (200,))", "crops_144(224, ())"]
)
def test_what_makes_no_views_is_refused(text):
    with pytest.raises(chain.UserError):
        chain.host_chain(f"decode|{text}", "eval_map", decoder=JpegDecoder())
