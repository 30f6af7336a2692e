"""From stored bytes to pixels, one decoder for each way in which a data set stores images.

JPEG is by far the common case and the costly one: a decoder decodes no more than a crop needs.
`crop` does so in TensorFlow's graph; `window`, outside of it, is what batches are made by
(`windows`), and gives the same pixels to the bit.
"""

import dataclasses
from typing import Protocol

import numpy as np
import simplejpeg
import tensorflow as tf

from data_prep.image import jpeg_segments
from pipelines.config import ACCURATE, FAST
from pipelines.functions.windows import Window


class Decoder(Protocol):
    """How one data set's images are decoded."""

    def shapes(self, encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Heights and widths, int32 [k], of images string [k], without decoding them."""

    def decode(self, example: dict[str, tf.Tensor]) -> tf.Tensor:
        """One example's image: uint8 [height, width, 3], RGB."""

    def crop(self, example: dict[str, tf.Tensor], box: tf.Tensor) -> tf.Tensor:
        """The part of it in `box`, int32 [4]: top, left, height, width."""

    def window(self, data: bytes, shape: tuple[int, int], box: np.ndarray, depth: int) -> Window:
        """A part that holds `box`, int32 [4], of one image of so many rows and columns.

        Its pixels have `depth` bytes, 3 or 4.
        """


@dataclasses.dataclass(frozen=True)
class JpegDecoder:
    """JPEG, by libjpeg-turbo.

    Attributes:
        accuracy: `fast` uses the quick integer DCT and repeats chroma samples, which differs from
            `accurate` (the slow integer DCT and interpolated chroma, as Pillow has it) by about
            one level on average. It also decodes only the blocks that a crop needs.
    """

    accuracy: str = FAST

    def shapes(self, encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See Decoder."""
        shapes = tf.map_fn(
            tf.io.extract_jpeg_shape, encoded, fn_output_signature=tf.TensorSpec([3], tf.int32)
        )
        return shapes[:, 0], shapes[:, 1]

    def decode(self, example: dict[str, tf.Tensor]) -> tf.Tensor:
        """See Decoder."""
        return tf.io.decode_jpeg(example["image"], channels=3, **self._options())

    def crop(self, example: dict[str, tf.Tensor], box: tf.Tensor) -> tf.Tensor:
        """See Decoder."""
        if self.accuracy == ACCURATE:
            # Cropping while decoding has no neighbours to interpolate chroma from at its right
            # border: up to two levels in the last column.
            return _slice(self.decode(example), box)
        return tf.io.decode_and_crop_jpeg(example["image"], box, channels=3, **self._options())

    def window(self, data: bytes, shape: tuple[int, int], box: np.ndarray, depth: int) -> Window:
        """See Decoder."""
        fast = self.accuracy == FAST
        room = np.empty(len(data), np.uint8)
        margin = 0 if fast else jpeg_segments.MARGIN
        length, top, left = jpeg_segments.cut(np.frombuffer(data, np.uint8), box, margin, room)
        try:
            pixels = simplejpeg.decode_jpeg(
                room[:length],
                colorspace="RGBA" if depth == 4 else "RGB",
                fastdct=fast,
                fastupsample=fast,
                strict=length < len(data),  # what is left out at the end is no mistake
            )
        except ValueError:  # none of the plain ones: let TensorFlow try
            return _whole(self.decode({"image": data}).numpy(), box, depth)
        return Window(pixels, top, left)

    def _options(self) -> dict[str, object]:
        fast = self.accuracy == FAST
        return {
            "dct_method": "INTEGER_FAST" if fast else "INTEGER_ACCURATE",
            "fancy_upscaling": not fast,
        }


@dataclasses.dataclass(frozen=True)
class RawDecoder:
    """Pixels as they are, row by row; the record says their height and width."""

    def shapes(self, encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Not called: bytes of pixels don't tell their shape."""
        raise NotImplementedError

    def decode(self, example: dict[str, tf.Tensor]) -> tf.Tensor:
        """See Decoder."""
        pixels = tf.io.decode_raw(example["image"], tf.uint8)
        return tf.reshape(pixels, [example["height"], example["width"], 3])

    def crop(self, example: dict[str, tf.Tensor], box: tf.Tensor) -> tf.Tensor:
        """See Decoder."""
        return _slice(self.decode(example), box)

    def window(self, data: bytes, shape: tuple[int, int], box: np.ndarray, depth: int) -> Window:
        """See Decoder."""
        return _whole(np.frombuffer(data, np.uint8).reshape(*shape, 3), box, depth)


@dataclasses.dataclass(frozen=True)
class AnyDecoder:
    """JPEG or PNG, whichever each image is: what TensorFlow Datasets may hold.

    Attributes:
        jpeg: decodes the JPEG ones.
    """

    jpeg: JpegDecoder

    def shapes(self, encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See Decoder."""
        shapes = tf.map_fn(
            lambda image: tf.cond(
                tf.io.is_jpeg(image),
                lambda: tf.io.extract_jpeg_shape(image)[:2],
                # Width and height, big endian, stand at byte 16 of every PNG file.
                lambda: tf.io.decode_raw(
                    tf.strings.substr(image, 16, 8), tf.int32, little_endian=False
                )[::-1],
            ),
            encoded,
            fn_output_signature=tf.TensorSpec([2], tf.int32),
        )
        return shapes[:, 0], shapes[:, 1]

    def decode(self, example: dict[str, tf.Tensor]) -> tf.Tensor:
        """See Decoder."""
        return tf.cond(
            tf.io.is_jpeg(example["image"]),
            lambda: self.jpeg.decode(example),
            lambda: tf.io.decode_png(example["image"], channels=3),
        )

    def crop(self, example: dict[str, tf.Tensor], box: tf.Tensor) -> tf.Tensor:
        """See Decoder."""
        return tf.cond(
            tf.io.is_jpeg(example["image"]),
            lambda: self.jpeg.crop(example, box),
            lambda: _slice(tf.io.decode_png(example["image"], channels=3), box),
        )

    def window(self, data: bytes, shape: tuple[int, int], box: np.ndarray, depth: int) -> Window:
        """See Decoder."""
        if data.startswith(b"\xff\xd8"):
            return self.jpeg.window(data, shape, box, depth)
        return _whole(tf.io.decode_png(data, channels=3).numpy(), box, depth)


@dataclasses.dataclass(frozen=True)
class DecodedImage:
    """No decoding: the example's image is uint8 pixels already. For exported nets."""

    def shapes(self, encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Not called: who has the pixels has their shape."""
        raise NotImplementedError

    def decode(self, example: dict[str, tf.Tensor]) -> tf.Tensor:
        """See Decoder."""
        return example["image"]

    def crop(self, example: dict[str, tf.Tensor], box: tf.Tensor) -> tf.Tensor:
        """See Decoder."""
        return _slice(example["image"], box)

    def window(self, data: bytes, shape: tuple[int, int], box: np.ndarray, depth: int) -> Window:
        """Not called: who has the pixels makes no batches of bytes."""
        raise NotImplementedError


def _slice(image: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
    return image[box[0] : box[0] + box[2], box[1] : box[1] + box[3]]


def _whole(image: np.ndarray, box: np.ndarray, depth: int) -> Window:
    """The window of uint8 [H, W, 3]: the box alone, where the pixels become longer."""
    top, left, height, width = box
    if depth == 3:
        return Window(image, top, left)
    pixels = np.empty([height, width, depth], np.uint8)
    pixels[..., :3] = image[top : top + height, left : left + width]
    return Window(pixels, 0, 0)
