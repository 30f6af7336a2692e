"""One image: from a source's bytes, whatever they are, to the bytes that a shard stores.

`convert(data, settings)` takes the bytes of one file and gives an `Image`: a baseline RGB JPEG (or
raw pixels) in the wanted geometry, with its pixels for the statistics; or it raises `RejectedError`
with a reason. It is a pure function, and what a file is gets decided by its content, never by its
name.

Regular JPEGs (8-bit, gray or YCbCr) go the fast way: libjpeg-turbo by simplejpeg, which refuses
whatever libjpeg warns about. All else goes through Pillow: CMYK (inverted by Adobe or not), PNG,
GIF, BMP or WebP under any name, 16-bit PNG, transparency, files that libjpeg complains about.

Two short cuts of libjpeg are not taken. Decoding scaled by DCT (1/2, 1/4, 1/8) is no area average
(2 levels off), and would save 3 % of the time on ILSVRC's photographs. Decoding by the fast DCT
saves as much and moves every pixel by a level, red and blue to one side. Pillow encodes without it,
and writes the restart markers that `jpeg_segments` cuts by. simplejpeg, 5 % quicker, always takes
it below quality 96, which costs 0.04 levels beside JPEG's own 2.7 and no shift.
"""

import dataclasses
import io
import os
import tempfile
import threading
import warnings
from typing import BinaryIO

import numpy as np
import simplejpeg
from PIL import Image as PillowImage
from PIL import ImageChops, ImageFile, ImageOps, PngImagePlugin, UnidentifiedImageError

from data_prep.image import jpeg_header
from data_prep.image.resample import resample
from data_prep.schema import ImageSettings

MAX_PIXELS = 89_478_485  # where Pillow warns of a decompression bomb; ILSVRC has none larger
MAX_SIDE = 65500  # of a JPEG, libjpeg's JPEG_MAX_DIMENSION
_pillow_lock = threading.Lock()
_thread = threading.local()  # the `file` that each encodes into
# A long comment (cameras' raw profiles) is no reason to reject a photograph: one may be as long as
# Pillow lets all of a file's be.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY


class RejectedError(Exception):
    """An image that cannot be stored; the message is the reason."""


@dataclasses.dataclass(frozen=True)
class Image:
    """What one record stores, and the pixels it was made from.

    Attributes:
        encoded: the JPEG file, or the raw pixels.
        pixels: uint8 [height, width, 4], R, G, B and 255: what the encoder was given. Decoding
            the JPEG again would give slightly others; see `dataset_stats`.
    """

    encoded: bytes
    pixels: np.ndarray


def convert(data: bytes, settings: ImageSettings) -> Image:
    """Makes the stored form of one image.

    Args:
        data: a whole image file.
        settings: what to make of it.

    Raises:
        RejectedError: it is empty, no image, truncated, too large or too narrow.
    """
    if not data:
        raise RejectedError("empty file")
    header = jpeg_header.read(data)
    pixels = _decode_jpeg(data, header, settings) if header else None
    whole_jpeg = pixels is not None
    if pixels is None:
        pixels = _decode_any(data, header, settings)
    height, width, crop = stored_size(pixels.shape[0], pixels.shape[1], settings)
    if (height, width) == pixels.shape[:2] and crop is None:
        if header and whole_jpeg and header.is_plain and settings.encoding == "jpeg":
            return Image(data, pixels)
    else:
        pixels = resample(pixels, height, width, crop)
    return Image(encode(pixels, settings), pixels)


def stored_size(
    height: int, width: int, settings: ImageSettings
) -> tuple[int, int, tuple[int, int] | None]:
    """The geometry: (height, width, central crop or None) of what is stored of an image.

    Raises:
        RejectedError: the result would be larger than a JPEG can be.
    """
    size, crop = settings.size, None
    if settings.geometry == "warp":
        height = width = size
    elif settings.geometry in ("short_side", "square_crop"):
        short = min(height, width)
        height, width = _scaled(height, size, short), _scaled(width, size, short)
        if settings.geometry == "square_crop" and height != width:
            crop = (size, size)
    elif settings.geometry == "longest_side" and max(height, width) > size:
        longest = max(height, width)
        height, width = _scaled(height, size, longest), _scaled(width, size, longest)
    stored = crop or (height, width)
    if max(stored) > MAX_SIDE or height * width > MAX_PIXELS:
        raise RejectedError(f"{height} x {width} pixels once resized: too large")
    return height, width, crop


def encode(pixels: np.ndarray, settings: ImageSettings) -> bytes:
    """The stored bytes of uint8 [h, w, 4] pixels: a baseline JPEG, or raw R, G, B."""
    if settings.encoding == "raw":
        return pixels[..., :3].tobytes()
    if settings.restart_markers:  # which simplejpeg cannot write
        height, width, _ = pixels.shape
        image = PillowImage.frombuffer("RGBX", (width, height), pixels, "raw", "RGBX", 0, 1)
        file = _own_file()
        file.seek(0)
        chroma = {"420": "4:2:0", "444": "4:4:4"}[settings.chroma]
        image.save(
            file, "JPEG", quality=settings.quality, subsampling=chroma, restart_marker_blocks=1
        )
        return os.pread(file.fileno(), file.tell(), 0)
    return simplejpeg.encode_jpeg(
        pixels, quality=settings.quality, colorspace="RGBX", colorsubsampling=settings.chroma
    )


def _own_file() -> BinaryIO:
    """This thread's file to encode into, in memory where the system has such files (Linux).

    Pillow releases the interpreter's lock while it encodes to a file of the operating system's, and
    holds it for an `io.BytesIO`: all threads together would encode no more than one core does.
    """
    if not hasattr(_thread, "file"):
        if hasattr(os, "memfd_create"):
            _thread.file = open(os.memfd_create("jpeg"), "w+b", buffering=0)  # noqa: SIM115
        else:
            _thread.file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
    return _thread.file


def _forget_files() -> None:
    """After a fork: two processes would share one position in the file."""
    global _thread
    _thread = threading.local()


os.register_at_fork(after_in_child=_forget_files)


def _scaled(side: int, numerator: int, denominator: int) -> int:
    """side * numerator / denominator, rounded half up, at least 1."""
    return max(1, (2 * side * numerator + denominator) // (2 * denominator))


def _decode_jpeg(
    data: bytes, header: jpeg_header.JpegHeader, settings: ImageSettings
) -> np.ndarray | None:
    """The fast way; None where Pillow has to look."""
    if header.height * header.width > MAX_PIXELS:
        raise RejectedError(f"{header.height} x {header.width} pixels: too large")
    turned = settings.exif and header.has_exif
    if not header.is_regular or turned:
        return None
    try:
        return simplejpeg.decode_jpeg(data, colorspace="RGBA")
    except ValueError:  # what libjpeg only warns about is an error here too
        return None


def _decode_any(
    data: bytes, header: jpeg_header.JpegHeader | None, settings: ImageSettings
) -> np.ndarray:
    """Whatever Pillow opens, as uint8 [h, w, 4]."""
    # Pillow's switch for truncated files is global: one slow image at a time.
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ImageFile.LOAD_TRUNCATED_IMAGES = settings.repair
        try:
            with PillowImage.open(io.BytesIO(data)) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise RejectedError(f"{image.height} x {image.width} pixels: too large")
                image.load()
                upright = ImageOps.exif_transpose(image) if settings.exif else image
                if header and image.mode == "CMYK" and not header.has_adobe:
                    upright = ImageChops.invert(upright)  # Pillow takes all CMYK for Adobe's
                return _to_rgba(upright)
        except RejectedError:
            raise
        except UnidentifiedImageError:
            raise RejectedError(f"no image: starts with {data[:8].hex(' ')}") from None
        except Exception as error:  # Pillow's plugins raise nearly anything
            reason = " ".join(str(error).split()) or type(error).__name__
            if not settings.repair and "truncated" in reason.lower():
                reason = f"{reason[:150]}: --truncated=repair stores what there is"
            raise RejectedError(f"cannot be decoded: {reason[:200]}") from None
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = False


def _to_rgba(image: PillowImage.Image) -> np.ndarray:
    if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip to 8
        levels = np.asarray(image).astype(np.float64) / 257
        gray = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
        image = PillowImage.fromarray(gray)
    if image.has_transparency_data:
        overlay = image.convert("RGBA")
        white = PillowImage.new("RGBA", image.size, "white")
        image = PillowImage.alpha_composite(white, overlay)
    return np.array(image.convert("RGB").convert("RGBA"))
