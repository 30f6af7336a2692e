"""Damaged image files are converted, or rejected with a reason."""

import io

import numpy as np
import pytest
from PIL import Image

from data_prep.image import conversion, jpeg_header
from data_prep.schema import ImageSettings
from tests.making.small_sources import encoded, picture

PIXELS = picture(0, 17, 23)
EXIF = Image.Exif()
EXIF[0x0112] = 6  # the orientation: turned by 90 degrees


def gray_16() -> bytes:
    levels = PIXELS[..., 0].astype(np.uint16) * 257
    return encoded(Image.fromarray(levels), "PNG")


def animated_gif() -> bytes:
    stream = io.BytesIO()
    frames = [Image.fromarray(picture(seed, 17, 23)) for seed in range(3)]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    return stream.getvalue()


FILES = {
    "baseline": encoded(PIXELS, quality=90),
    "progressive": encoded(PIXELS, quality=90, progressive=True),
    "exif": encoded(PIXELS, exif=EXIF),
    "cmyk": encoded(Image.fromarray(PIXELS).convert("CMYK")),
    "png": encoded(PIXELS, "PNG"),
    "transparent": encoded(Image.fromarray(PIXELS).convert("RGBA"), "PNG"),
    "gray_16": gray_16(),
    "gif": animated_gif(),
    "bmp": encoded(PIXELS, "BMP"),
    "webp": encoded(PIXELS, "WEBP"),
    "tiff": encoded(PIXELS, "TIFF"),
}


def test_a_jpeg_header(fuzz):
    def read(damaged: bytes) -> None:
        header = jpeg_header.read(damaged)
        if header:
            assert isinstance(header.is_plain, bool)

    fuzz(FILES["exif"], read)


@pytest.mark.parametrize("settings", [ImageSettings(size=8), ImageSettings(size=8, repair=True)])
@pytest.mark.parametrize("form", FILES)
def test_an_image(form, settings, fuzz):
    def convert(damaged: bytes) -> None:
        image = conversion.convert(damaged, settings)
        height, width, channels = image.pixels.shape
        assert (min(height, width), channels) == (8, 4)

    fuzz(FILES[form], convert, conversion.RejectedError)
