"""Windows out of a chunk of encoded images: decoded, resized and mirrored outside of TensorFlow.

TensorFlow's operations make one image at a time, and each writes it anew: a decoder, a resize in
float32, a rounding, a reversal, a copy into the batch. Here one call fills the memory of a whole
chunk: libjpeg-turbo decodes what a window needs, and a compiled loop (`data_prep.image.windows`)
moves it to its place, resized and mirrored. The interpreter's lock is held for some 10 microseconds
an image, so that many threads work side by side.
"""

import atexit
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from base.errors import UserError
from data_prep.image import windows

# TensorFlow takes memory over from NumPy, and copies nothing, where it begins at such a multiple.
_ALIGNMENT = 64


class Window(NamedTuple):
    """A decoded part of an image.

    Attributes:
        pixels: uint8 [h, w, 3], RGB; [h, w, 4] with anything behind them where four are asked for.
        top: where the wanted box begins in it, in pixels.
        left: likewise.
    """

    pixels: np.ndarray
    top: int
    left: int


# From an image's bytes, its rows and columns, the wanted box and the bytes of a pixel, 3 or 4, to a
# part that holds the box.
ReadWindow = Callable[[bytes, tuple[int, int], np.ndarray, int], Window]


def windows_of(
    read: ReadWindow, examples: dict[str, tf.Tensor], box: tf.Tensor, mirrored: tf.Tensor, size: int
) -> tf.Tensor:
    """Squares of images, resized from `box` where it is not of that size.

    Args:
        read: decodes a part of one image.
        examples: `image` string [k], `height` and `width` int32 [k].
        box: int32 [k, 4]: top, left, height, width.
        mirrored: bool [k], whether left and right change places.
        size: of the squares, in pixels.

    Returns:
        uint8 [k, size, size, 3].
    """

    def fill(
        images: np.ndarray, shapes: np.ndarray, boxes: np.ndarray, mirrored: np.ndarray
    ) -> np.ndarray:
        batch, boxes = _aligned(len(images), size, size, 3), boxes.copy()
        changed = mirrored | (boxes[:, 2:] != size).any(axis=1)
        with _at_work():
            for image, shape, box, mirror, change, place in zip(
                images, shapes.tolist(), boxes, mirrored, changed.tolist(), batch, strict=True
            ):
                if _closing.is_set():
                    break
                try:
                    pixels, top, left = read(image, shape, box, 4 if change else 3)
                except (ValueError, tf.errors.OpError) as error:
                    raise UserError(_undecodable(shape, error)) from None
                if change:
                    box[0], box[1] = top, left
                    rows = place.reshape(size, 3 * size)
                    windows.place(pixels.view(np.uint32)[..., 0], box, mirror, rows)
                else:  # a copy, which is quickest without the fourth byte
                    place[:] = pixels[top : top + size, left : left + size]
        return batch

    shapes = tf.stack([examples["height"], examples["width"]], axis=-1)
    filled = tf.numpy_function(
        fill, [examples["image"], shapes, box, mirrored], tf.uint8, stateful=False
    )
    return tf.ensure_shape(filled, [box.shape[0], size, size, 3])


def _undecodable(shape: tuple[int, int], error: Exception) -> str:
    reason = " ".join(str(getattr(error, "message", error)).split())[:200]
    reason = reason.rpartition("}} ")[2]  # behind the names of TensorFlow's nodes
    return (
        f"an image of {shape[0]}x{shape[1]} pixels cannot be decoded ({reason}): the data set is "
        "damaged; data_prep/verify_tfrecords.py names the images of those that were built here"
    )


def _aligned(*shape: int) -> np.ndarray:
    """uint8 of a shape, not set, in memory that TensorFlow can take over."""
    count = int(np.prod(shape))
    room = np.empty(count + _ALIGNMENT, np.uint8)
    start = -room.ctypes.data % _ALIGNMENT
    return room[start : start + count].reshape(shape)


# An interpreter that ends kills every thread that comes back to it, and with that the process: a
# pipeline that is still at work then is asked to stop, and waited for.
_closing = threading.Event()
_calls = 0
_calls_lock = threading.Lock()


@contextlib.contextmanager
def _at_work() -> Iterator[None]:
    global _calls
    with _calls_lock:
        _calls += 1
    try:
        yield
    finally:
        with _calls_lock:
            _calls -= 1


@atexit.register
def _close() -> None:
    _closing.set()
    quiet = 0
    while quiet < 5:  # times that none was found at work: some may be on their way
        time.sleep(0.01)
        quiet = 0 if _calls else quiet + 1
