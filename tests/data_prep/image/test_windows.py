"""Windows of images into batches, against Pillow and NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data_prep.image import windows
from tests.making.small_sources import picture

IMAGE = picture(0, 60, 80)


def placed(
    image: np.ndarray, box: tuple[int, ...], rows: int, columns: int, mirrored: bool = False
):
    lanes = np.concatenate([image, np.full_like(image[..., :1], 99)], axis=-1)
    result = np.empty((rows, 3 * columns), np.uint8)
    pixels = np.ascontiguousarray(lanes).view(np.uint32)[..., 0]
    windows.place(pixels, np.array(box, np.int32), mirrored, result)
    return result.reshape(rows, columns, 3)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_window_of_its_own_size_is_a_copy(mirrored):
    wanted = IMAGE[7:38, 11:54]
    found = placed(IMAGE, (7, 11, 31, 43), 31, 43, mirrored)
    np.testing.assert_array_equal(found, wanted[:, ::-1] if mirrored else wanted)


@given(
    st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 20), st.integers(1, 40)),
    st.integers(1, 70),
    st.integers(1, 70),
)
def test_resizing_is_pillows_within_two_levels(box, rows, columns):
    top, left, height, width = box
    part = Image.fromarray(IMAGE[top : top + height, left : left + width])
    wanted = np.asarray(part.resize((columns, rows), Image.Resampling.BILINEAR)).astype(int)
    found = placed(IMAGE, box, rows, columns)
    assert np.abs(found - wanted).max() <= 2
    assert np.abs(found - wanted).mean() < 0.6
    mirrored = placed(IMAGE, box, rows, columns, mirrored=True)
    np.testing.assert_array_equal(mirrored, found[:, ::-1])


@pytest.mark.parametrize("level", [0, 1, 127, 254, 255])
def test_flat_areas_stay_as_they_are(level):
    flat = np.full((50, 70, 3), level, np.uint8)
    for box in ((3, 5, 41, 37), (0, 0, 9, 11), (0, 0, 50, 70)):
        assert (placed(flat, box, 24, 31) == level).all()
