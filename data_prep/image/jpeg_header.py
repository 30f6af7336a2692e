"""What a JPEG file says about itself before its first scan (ITU-T T.81, annex B).

A few microseconds of reading markers decide whether an image can take the fast way, whether it
may be stored as it is, and what a source holds (`check_source.py`), without decoding it.
"""

import dataclasses
import struct

_START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # those three are DHT, JPG and DAC
_START_OF_SCAN = 0xDA
_APP0, _APP1, _APP14 = 0xE0, 0xE1, 0xEE
_STANDALONE = {0x01, *range(0xD0, 0xD8)}  # TEM and restarts: no length follows
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2


@dataclasses.dataclass(frozen=True)
class JpegHeader:
    """The frame of a JPEG.

    Attributes:
        height: pixels, before any EXIF orientation.
        width: pixels.
        precision: bits per sample.
        components: 1 gray, 3 YCbCr or RGB, 4 CMYK or YCCK.
        frame: the start-of-frame marker's second byte: 0xC0 baseline, 0xC2 progressive.
        is_ycbcr: 3 components that are YCbCr, by the rules of libjpeg.
        has_adobe: there is Adobe's segment; its CMYK is inverted.
        has_exif: there is an EXIF segment, so an orientation may be given.
    """

    height: int
    width: int
    precision: int
    components: int
    frame: int
    is_ycbcr: bool
    has_adobe: bool
    has_exif: bool

    @property
    def is_regular(self) -> bool:
        """Whether libjpeg-turbo decodes it to RGB by itself."""
        return (
            self.precision == 8
            and self.frame in (_BASELINE, _EXTENDED, _PROGRESSIVE)
            and (self.components == 1 or self.is_ycbcr)
            and min(self.height, self.width) > 0
        )

    @property
    def is_plain(self) -> bool:
        """Whether it is a baseline colour JPEG, as every stored JPEG is."""
        return self.is_regular and self.frame == _BASELINE and self.components == 3


def read(data: bytes) -> JpegHeader | None:
    """The header of a JPEG file, or None if this is none or ends before its first scan."""
    if data[:3] != b"\xff\xd8\xff":
        return None
    position, frame = 2, None
    jfif = exif = False
    adobe_transform = None
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF or marker in _STANDALONE:
            position += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        body = data[position + 4 : position + 2 + length]
        if length < 2 or len(body) != length - 2:
            return None
        if marker in _START_OF_FRAME and len(body) >= 6:
            frame = (marker, body)
        elif marker == _APP0 and body.startswith(b"JFIF\0"):
            jfif = True
        elif marker == _APP1 and body.startswith(b"Exif\0"):
            exif = True
        elif marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
            adobe_transform = body[11]
        elif marker == _START_OF_SCAN:
            break
        position += 2 + length
    else:
        return None
    return _header(frame, jfif, exif, adobe_transform) if frame else None


def _header(
    frame: tuple[int, bytes], jfif: bool, exif: bool, adobe_transform: int | None
) -> JpegHeader:
    marker, body = frame
    precision, height, width, components = struct.unpack_from(">BHHB", body)
    # libjpeg's order of belief: JFIF, then Adobe's marker, then the components' ids.
    if components != 3:
        is_ycbcr = False
    elif jfif or adobe_transform is not None:
        is_ycbcr = jfif or adobe_transform != 0
    else:
        is_ycbcr = body[6::3][:3] != b"RGB"
    adobe = adobe_transform is not None
    return JpegHeader(height, width, precision, components, marker, is_ycbcr, adobe, exif)
