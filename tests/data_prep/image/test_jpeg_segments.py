"""Parts of JPEGs, against the whole image's pixels."""

import io

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_prep.image import jpeg_segments
from tests.making.small_sources import picture

HEIGHT, WIDTH = 93, 118  # neither is a multiple of a group's 16 pixels


def encoded(chroma: str = "4:2:0", markers: int = 1, **options: object) -> bytes:
    pixels = picture(0, HEIGHT, WIDTH)
    noisy = pixels ^ np.random.default_rng(1).integers(0, 32, pixels.shape, np.uint8)
    file = io.BytesIO()
    image = Image.fromarray(noisy).convert(str(options.pop("mode", "RGB")))
    image.save(file, "JPEG", subsampling=chroma, restart_marker_blocks=markers, **options)
    return file.getvalue()


def cut(data: bytes, box: tuple[int, int, int, int], margin: int = 0) -> tuple[bytes, int, int]:
    result = np.empty(len(data), np.uint8)
    length, top, left = jpeg_segments.cut(
        np.frombuffer(data, np.uint8), np.array(box, np.int32), margin, result
    )
    return result[:length].tobytes(), top, left


FILES = {
    "420": encoded(),
    "444": encoded("4:4:4"),
    "422": encoded("4:2:2"),
    "gray": encoded(mode="L"),
    "unmarked": encoded(markers=0),
    "sparse": encoded(markers=3),
}
BOXES = st.tuples(st.integers(0, HEIGHT - 1), st.integers(0, WIDTH - 1)).flatmap(
    lambda corner: st.tuples(
        *map(st.just, corner),
        st.integers(1, HEIGHT - corner[0]),
        st.integers(1, WIDTH - corner[1]),
    )
)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=40)
@given(box=BOXES, fast=st.booleans())
def test_the_window_has_the_whole_images_pixels(name, box, fast):
    options = {"fastdct": fast, "fastupsample": fast}
    whole = simplejpeg.decode_jpeg(FILES[name], **options)
    part, top, left = cut(FILES[name], box, 0 if fast else jpeg_segments.MARGIN)
    lenient = name in ("unmarked", "sparse")  # what is left out at the end is no mistake
    found = simplejpeg.decode_jpeg(part, strict=not lenient, **options)
    np.testing.assert_array_equal(
        found[top : top + box[2], left : left + box[3]],
        whole[box[0] : box[0] + box[2], box[1] : box[1] + box[3]],
    )


def test_a_window_takes_its_share_of_bytes_and_pixels():
    part, top, left = cut(FILES["420"], (40, 40, 20, 20))
    assert simplejpeg.decode_jpeg_header(part)[:2] == (32, 32)
    assert (top, left) == (8, 8)
    assert len(part) < 0.35 * len(FILES["420"])
    unmarked, top, left = cut(FILES["unmarked"], (40, 40, 20, 20))
    assert simplejpeg.decode_jpeg_header(unmarked)[:2] == (64, WIDTH)
    assert (top, left) == (40, 40)


@pytest.mark.parametrize(
    ("data", "box"),
    [
        (b"", (0, 0, 1, 1)),
        (b"\xff\xd8\xff", (0, 0, 1, 1)),
        (FILES["420"][:-2], (0, 0, 8, 8)),
        (encoded(progressive=True), (0, 0, 8, 8)),
        (encoded(mode="CMYK"), (0, 90, 8, 40)),
        (FILES["420"], (90, 0, 8, 8)),
        (FILES["420"], (-1, 0, 8, 8)),
    ],
    ids=["empty", "start", "truncated", "progressive", "too wide", "too low", "before"],
)
def test_what_is_not_understood_is_not_cut(data, box):
    assert cut(data, box)[0] == b""


@given(data=st.data())
def test_damaged_files_are_cut_within_their_bounds(data):
    damaged = bytearray(FILES[data.draw(st.sampled_from(sorted(FILES)))])
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    room = np.full(len(damaged) + 64, 7, np.uint8)
    box = np.array(data.draw(BOXES), np.int32)
    file = np.frombuffer(bytes(damaged), np.uint8)
    length, _, _ = jpeg_segments.cut(file, box, 1, room[: len(damaged)])
    assert 0 <= length <= len(damaged)
    assert (room[len(damaged) :] == 7).all()
