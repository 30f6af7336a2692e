"""One image: every kind of file ends up right, or is rejected with a reason."""

import io
import os

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from data_prep.image import conversion, jpeg_header
from data_prep.image.conversion import RejectedError, convert
from data_prep.layouts import opening
from data_prep.schema import ImageSettings
from tests.making.small_sources import encoded, picture

AS_IT_IS = ImageSettings(geometry="none")
RAW = ImageSettings(geometry="none", encoding="raw")
PIXELS = picture(7, 60, 80)
IMAGE = Image.fromarray(PIXELS)


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def distance(found: bytes, expected: np.ndarray) -> float:
    pixels = decoded(found)
    assert pixels.shape == expected.shape
    return float(np.abs(pixels - expected).mean())


def inverted_cmyk() -> bytes:
    """As Adobe writes CMYK: inverted, with its own marker, which Pillow's writer adds."""
    data = encoded(IMAGE.convert("CMYK"), quality=95)
    assert b"Adobe" in data
    return data


def plain_cmyk() -> bytes:
    """CMYK as it is, without Adobe's marker."""
    inverted = Image.fromarray(255 - np.asarray(IMAGE.convert("CMYK")), "CMYK")
    data = encoded(inverted, quality=95)
    at = data.index(b"\xff\xee")
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    return data[:at] + data[at + 2 + length :]


def sixteen_bit_png() -> bytes:
    gray = np.asarray(IMAGE.convert("L")).astype(np.uint16) * 257
    return encoded(Image.fromarray(gray), "PNG")


GRAY = np.repeat(np.asarray(IMAGE.convert("L"))[..., None], 3, axis=2)
KINDS = {
    "jpeg": (encoded(IMAGE, quality=95), PIXELS, 2),
    "progressive": (encoded(IMAGE, quality=95, progressive=True), PIXELS, 2),
    "rgb_jpeg": (encoded(IMAGE, quality=95, keep_rgb=True), PIXELS, 2),
    "gray_jpeg": (encoded(IMAGE.convert("L"), quality=95), GRAY, 2),
    "cmyk": (plain_cmyk(), PIXELS, 3),
    "cmyk_inverted": (inverted_cmyk(), PIXELS, 3),
    "png": (encoded(IMAGE, "PNG"), PIXELS, 2),
    "gray_png": (encoded(IMAGE.convert("L"), "PNG"), GRAY, 2),
    "png_16_bit": (sixteen_bit_png(), GRAY, 2),
    "gif": (encoded(IMAGE.convert("P", palette=Image.Palette.ADAPTIVE), "GIF"), PIXELS, 6),
    "bmp": (encoded(IMAGE, "BMP"), PIXELS, 2),
    "webp": (encoded(IMAGE, "WEBP", lossless=True), PIXELS, 2),
    "tiff": (encoded(IMAGE, "TIFF"), PIXELS, 2),
    "bilevel": (encoded(IMAGE.convert("1"), "PNG"), None, 0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_ends_up_right(kind):
    data, expected, tolerance = KINDS[kind]
    stored = convert(data, AS_IT_IS)
    header = jpeg_header.read(stored.encoded)
    assert header.is_plain
    assert stored.pixels.shape == (60, 80, 4)
    assert (stored.pixels[..., 3] == 255).all()
    if expected is not None:
        assert distance(stored.encoded, expected) < tolerance
    # And the pixels are those that are stored, but for JPEG's loss.
    assert np.abs(decoded(stored.encoded) - stored.pixels[..., :3]).mean() < 12


def test_transparency_is_laid_on_white():
    overlay = np.dstack([PIXELS, np.zeros(PIXELS.shape[:2], np.uint8)])
    overlay[:, 40:, 3] = 255
    stored = convert(encoded(Image.fromarray(overlay), "PNG"), RAW)
    assert (stored.pixels[:, :40, :3] == 255).all()
    np.testing.assert_array_equal(stored.pixels[:, 40:, :3], PIXELS[:, 40:])


def test_a_baseline_image_that_needs_no_change_is_stored_as_it_is():
    data = encoded(IMAGE, quality=77, subsampling=1)
    for settings in (
        AS_IT_IS,
        ImageSettings(geometry="short_side", size=60),
        ImageSettings(geometry="longest_side", size=80),
    ):
        assert convert(data, settings).encoded == data
    assert convert(data, ImageSettings(size=59)).encoded != data


@pytest.mark.parametrize("kind", ["progressive", "gray_jpeg", "cmyk", "png", "rgb_jpeg"])
def test_what_is_no_baseline_colour_jpeg_is_encoded_anew(kind):
    data = KINDS[kind][0]
    assert convert(data, AS_IT_IS).encoded != data


def test_the_exif_orientation_is_honoured_only_where_asked_for():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to see it upright
    data = encoded(IMAGE, quality=95, exif=exif)
    assert convert(data, AS_IT_IS).encoded == data
    turned = convert(data, ImageSettings(geometry="none", exif=True))
    assert distance(turned.encoded, np.rot90(PIXELS, -1)) < 2
    upright = encoded(IMAGE, quality=95)
    assert convert(upright, ImageSettings(geometry="none", exif=True)).encoded == upright


def test_a_truncated_file_is_rejected_or_repaired():
    data = encoded(IMAGE, quality=95)
    cut = data[: len(data) * 2 // 3]
    with pytest.raises(RejectedError, match="truncated"):
        convert(cut, AS_IT_IS)
    repaired = convert(cut, ImageSettings(geometry="none", repair=True))
    top = decoded(repaired.encoded)[:16] - PIXELS[:16]
    assert np.abs(top).mean() < 3
    # Asking for a repair of one file leaves the next one as strict as before.
    with pytest.raises(RejectedError):
        convert(cut, AS_IT_IS)


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"", "empty file"),
        (b"<html>not found</html>", "no image: starts with 3c 68 74 6d 6c"),
        (encoded(IMAGE)[:50], "cannot be decoded"),
        (encoded(IMAGE, "PNG")[:300], "cannot be decoded"),
    ],
)
def test_what_is_no_image_is_rejected_with_the_reason(data, reason):
    with pytest.raises(RejectedError, match=reason):
        convert(data, AS_IT_IS)


def with_size(height: int, width: int) -> bytes:
    """A JPEG whose header claims another size than it has."""
    data = bytearray(encoded(IMAGE))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


def test_sizes_beyond_reason_are_rejected_before_memory_is_taken():
    with pytest.raises(RejectedError, match="65000 x 65000 pixels: too large"):
        convert(with_size(65000, 65000), AS_IT_IS)
    thread = encoded(Image.new("RGB", (2, 3000)), "PNG")
    with pytest.raises(RejectedError, match="too large"):
        convert(thread, ImageSettings(size=256))


@pytest.mark.parametrize(
    "geometry, size, shape",
    [
        ("short_side", 30, (30, 40)),
        ("short_side", 90, (90, 120)),
        ("short_side", 31, (31, 41)),
        ("square_crop", 30, (30, 30)),
        ("square_crop", 90, (90, 90)),
        ("warp", 50, (50, 50)),
        ("longest_side", 40, (30, 40)),
        ("longest_side", 100, (60, 80)),
        ("none", 10, (60, 80)),
    ],
)
def test_geometries(geometry, size, shape):
    settings = ImageSettings(geometry=geometry, size=size)
    stored = convert(KINDS["png"][0], settings)
    assert stored.pixels.shape == (*shape, 4)
    assert decoded(stored.encoded).shape == (*shape, 3)
    high = convert(encoded(Image.fromarray(PIXELS.transpose(1, 0, 2)), "PNG"), settings)
    assert high.pixels.shape == (shape[1], shape[0], 4)


def test_a_square_crop_is_the_middle_of_the_short_side_version():
    whole = convert(KINDS["png"][0], ImageSettings(size=30, encoding="raw"))
    square = convert(
        KINDS["png"][0], ImageSettings(geometry="square_crop", size=30, encoding="raw")
    )
    np.testing.assert_array_equal(square.pixels, whole.pixels[:, 5:35])


def test_encodings_and_chroma():
    raw = convert(KINDS["png"][0], RAW)
    assert raw.encoded == PIXELS.tobytes()
    for chroma in ("420", "444"):
        settings = ImageSettings(geometry="none", chroma=chroma)
        stored = convert(KINDS["png"][0], settings).encoded
        assert simplejpeg.decode_jpeg_header(stored)[3] == chroma
        assert jpeg_header.read(stored).frame == 0xC0
    sizes = [
        len(convert(KINDS["png"][0], ImageSettings(geometry="none", quality=quality)).encoded)
        for quality in (50, 75, 95)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def mutated(data: bytes, other: bytes, random: np.random.Generator) -> bytes:
    """Truncated, with bits flipped, or with another file's bytes within."""
    kind = random.integers(4)
    if kind == 0:
        return data[: random.integers(len(data))]
    changed = bytearray(data)
    if kind == 1:
        for _ in range(random.integers(1, 30)):
            changed[random.integers(len(changed))] ^= 1 << random.integers(8)
    elif kind == 2:  # in the headers alone, where it hurts most
        for _ in range(random.integers(1, 6)):
            changed[random.integers(2, min(650, len(changed)))] = random.integers(256)
    else:
        start, length = random.integers(len(changed)), random.integers(1, 400)
        at = random.integers(len(other))
        changed[start : start + length] = other[at : at + length]
    return bytes(changed)


def test_two_thousand_mutated_files_are_stored_or_rejected():
    random = np.random.default_rng(0)
    originals = [data for data, _, _ in KINDS.values()]
    settings = [
        ImageSettings(size=32),
        ImageSettings(geometry="none", exif=True),
        ImageSettings(geometry="warp", size=40, repair=True),
    ]
    outcomes = {"stored": 0, "rejected": 0}
    for number in range(2000):
        # Most of them JPEGs, as most of any source is.
        pick = random.integers(6 if number % 3 else len(originals))
        data = mutated(originals[pick], originals[random.integers(len(originals))], random)
        try:
            stored = convert(data, settings[number % 3])
        except RejectedError as reason:
            outcomes["rejected"] += 1
            assert str(reason)
            assert "\n" not in str(reason)
        else:
            outcomes["stored"] += 1
            header = jpeg_header.read(stored.encoded)
            assert (header.height, header.width) == stored.pixels.shape[:2]
            simplejpeg.decode_jpeg(stored.encoded)
    assert min(outcomes.values()) > 200, outcomes


def pillow_area_average(image: Image.Image, width: int, height: int) -> np.ndarray:
    """Pillow's box filter takes whole pixels only; on ones 16 times finer it averages areas."""
    nearest, box = Image.Resampling.NEAREST, Image.Resampling.BOX
    fine = image.resize((16 * image.width, image.height), nearest)
    image = fine.resize((width, image.height), box)
    fine = image.resize((width, 16 * image.height), nearest)
    return np.asarray(fine.resize((width, height), box)).astype(int)


@pytest.mark.slow(reason="whole photographs are enlarged 16 times")
def test_stored_pixels_are_pillows_on_real_photographs(sample_dir):
    source = opening.open_source(str(sample_dir / "ilsvrc2012_sample"))
    every = 1 if os.environ.get("REQUIRE_SAMPLE") else 8
    settings, raw = ImageSettings(), ImageSettings(encoding="raw")
    before, after = [], []
    for ref in source.refs[::every]:
        data = ref.read()
        image = Image.open(io.BytesIO(data)).convert("RGB")
        stored = convert(data, raw).pixels[..., :3].astype(int)
        height, width, _ = stored.shape
        if height <= image.height:
            reference = pillow_area_average(image, width, height)
        else:
            bicubic = Image.Resampling.BICUBIC
            reference = np.asarray(image.resize((width, height), bicubic)).astype(int)
        before.append(np.abs(stored - reference).mean())
        # As a JPEG, against the JPEG that Pillow makes of its own pixels.
        own = encoded(reference.astype(np.uint8), quality=90)
        jpeg = decoded(convert(data, settings).encoded)
        after.append(np.abs(jpeg - decoded(own)).mean())
        if len(before) <= 20:
            assert best_shift(stored, reference) == (0, 0)
    assert np.mean(before) < 0.5
    assert np.max(before) < 1.5
    assert np.mean(after) < 1.5


def best_shift(found: np.ndarray, reference: np.ndarray) -> tuple[int, int]:
    """By how many pixels to move an image so that it fits another best."""
    inner = reference[2:-2, 2:-2]
    shifts = [(y, x) for y in range(-2, 3) for x in range(-2, 3)]

    def misfit(shift: tuple[int, int]) -> float:
        y, x = shift[0] + 2, shift[1] + 2
        moved = found[y : y + inner.shape[0], x : x + inner.shape[1]]
        return float(np.abs(moved - inner).mean())

    return min(shifts, key=misfit)


def test_pillow_is_left_as_strict_as_it_was():
    from PIL import ImageFile

    convert(KINDS["cmyk"][0], ImageSettings(geometry="none", repair=True))
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    assert conversion.MAX_PIXELS == Image.MAX_IMAGE_PIXELS
