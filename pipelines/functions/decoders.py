"""From stored bytes to pixels, one decoder for each way in which a data set stores images.

JPEG is by far the common case and the costly one: a decoder's `crop` decodes only the rows and the
columns of blocks that the crop needs.
"""

import dataclasses
from typing import Protocol

import tensorflow as tf

from pipelines.config import ACCURATE, FAST


class Decoder(Protocol):
    """How one data set's images are decoded."""

    def shapes(self, encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Heights and widths, int32 [k], of images string [k], without decoding them."""

    def decode(self, example: dict[str, tf.Tensor]) -> tf.Tensor:
        """One example's image: uint8 [height, width, 3], RGB."""

    def crop(self, example: dict[str, tf.Tensor], box: tf.Tensor) -> tf.Tensor:
        """The part of it in `box`, int32 [4]: top, left, height, width."""


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


def _slice(image: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
    return image[box[0] : box[0] + box[2], box[1] : box[1] + box[3]]
