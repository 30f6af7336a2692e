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
_SEGMENT = struct.Struct(">BBH")  # 0xFF, the marker, the length of itself and the rest
_FRAME = struct.Struct(">BHHB")  # a frame's precision, height, width, number of components
_ADOBE = 12  # bytes of Adobe's segment, the last of which is the colour transform (T.872, 6.5.3)
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
    position, frame, jfif, exif, adobe_transform = 2, 0, False, False, None
    end = len(data)
    while position + 4 <= end:
        prefix, marker, length = _SEGMENT.unpack_from(data, position)
        if prefix != 0xFF:
            return None
        if marker == 0xFF or marker in _STANDALONE:
            position += 1 if marker == 0xFF else 2
            continue
        body, position = position + 4, position + 2 + length
        if length < 2 or position > end:
            return None
        if marker in _START_OF_FRAME and length >= 2 + _FRAME.size:
            frame = body
        elif marker == _APP0:
            jfif = jfif or data.startswith(b"JFIF\0", body, position)
        elif marker == _APP1:
            exif = exif or data.startswith(b"Exif\0", body, position)
        elif marker == _APP14 and length >= 2 + _ADOBE and data.startswith(b"Adobe", body):
            adobe_transform = data[body + _ADOBE - 1]
        elif marker == _START_OF_SCAN:
            return _header(data, frame, jfif, exif, adobe_transform) if frame else None
    return None


def _header(
    data: bytes, frame: int, jfif: bool, exif: bool, adobe_transform: int | None
) -> JpegHeader:
    precision, height, width, components = _FRAME.unpack_from(data, frame)
    # libjpeg's order of belief: JFIF, then Adobe's marker, then the components' ids.
    if components != 3:
        is_ycbcr = False
    elif jfif or adobe_transform is not None:
        is_ycbcr = jfif or adobe_transform != 0
    else:
        is_ycbcr = data[frame + 6 : frame + 15 : 3] != b"RGB"
    adobe, marker = adobe_transform is not None, data[frame - 3]
    return JpegHeader(height, width, precision, components, marker, is_ycbcr, adobe, exif)
