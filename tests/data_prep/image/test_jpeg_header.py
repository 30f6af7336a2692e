"""What a JPEG says about itself, against Pillow and libjpeg-turbo."""

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from data_prep.image import jpeg_header
from tests.making.small_sources import encoded, picture


@pytest.mark.parametrize(
    "data, components, plain",
    [
        (encoded(picture(0)), 3, True),
        (encoded(picture(0), progressive=True), 3, False),
        (encoded(picture(0), subsampling=0, optimize=True), 3, True),
        (encoded(Image.fromarray(picture(0)).convert("L")), 1, False),
        (encoded(Image.fromarray(picture(0)).convert("CMYK")), 4, False),
    ],
    ids=["colour", "progressive", "444", "gray", "cmyk"],
)
def test_the_frame_is_read(data, components, plain):
    header = jpeg_header.read(data)
    assert (header.height, header.width, header.precision) == (40, 52, 8)
    assert header.components == components
    assert header.is_plain == plain


def test_rgb_without_conversion_is_told_from_ycbcr():
    coded = encoded(picture(0), keep_rgb=True)
    assert not jpeg_header.read(coded).is_ycbcr
    assert jpeg_header.read(encoded(picture(0))).is_ycbcr


def test_exif_is_noticed():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert jpeg_header.read(encoded(picture(0), exif=exif)).has_exif
    assert not jpeg_header.read(encoded(picture(0))).has_exif


def test_what_is_no_jpeg_or_ends_early_has_no_header():
    data = encoded(picture(0))
    scan = data.index(b"\xff\xda")
    assert jpeg_header.read(data[: scan + 14])
    for end in range(scan + 2):
        assert jpeg_header.read(data[:end]) is None
    assert jpeg_header.read(encoded(picture(0), "PNG")) is None
    assert jpeg_header.read(b"") is None


def test_fill_bytes_and_odd_segments_are_skipped():
    data = encoded(picture(0))
    odd = data[:2] + b"\xff\xff\xff\xe5\x00\x04ab" + data[2:]
    assert jpeg_header.read(odd) == jpeg_header.read(data)


def test_it_agrees_with_libjpeg_on_real_photographs(sample_dir):
    from data_prep.layouts import opening

    source = opening.open_source(str(sample_dir / "ilsvrc2012_sample"))
    for ref in source.refs[::20]:
        data = ref.read()
        header = jpeg_header.read(data)
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        assert (header.height, header.width) == (height, width)
        assert header.components == {"YCbCr": 3, "Gray": 1}[colours]
        assert header.is_regular


def test_random_bytes_never_raise():
    random = np.random.default_rng(0)
    for _ in range(500):
        jpeg_header.read(b"\xff\xd8\xff" + random.bytes(60))
