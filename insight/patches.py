"""What feature maps answer most strongly to: Zeiler & Fergus 2014, figure 2 (the patches there)."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from insight import drawing, layers
from insight.config import FiguresConfig
from insight.images import Images, given
from trainers.serving.classifier import Classifier
from trainers.serving.explanations import GRAY
from trainers.serving.net_layers import FeatureMaps

_MAPS, _COLUMNS, _SIDE = 12, 4, 72
_STRONGEST = 9  # as in the paper
_NOISE = 8  # images


def draw(classifier: Classifier, config: FiguresConfig, found: Images) -> Image.Image:
    """For some maps of a layer the nine patches, of different images, of its strongest answers."""
    model = classifier.model
    maps = layers.of_flags(config, model)
    part = keras.Model(model.input, maps.layer.output)
    strength, places = [], []
    for features in given(classifier, part, found.crops):
        flat = maps.fold(features).reshape(len(features), maps.grid[0] * maps.grid[1], -1)
        strength.append(flat.max(axis=1))
        places.append(flat.argmax(axis=1))
    answers, where = np.concatenate(strength), np.concatenate(places)
    top = np.argsort(-answers, axis=0, kind="stable")[:_STRONGEST]
    numbers = layers.strongest(config, np.take_along_axis(answers, top, axis=0).mean(axis=0), _MAPS)
    field = receptive_field(classifier, part, maps)
    block = 3 * _SIDE + 4
    width, height = block + 2 * drawing.MARGIN, block + drawing.LINE + drawing.MARGIN
    rows = -(-len(numbers) // _COLUMNS)
    title = (
        f"{model.name}, {maps.layer.name}: what answers most strongly among {len(found)} images; a "
        f"position sees {field.size[0]}x{field.size[1]} pixels"
    )
    picture = drawing.paper(_COLUMNS * width, rows * height, title)
    for place, number in enumerate(numbers):
        tiles = []
        for image in top[:, number].tolist():
            position = divmod(int(where[image, number]), maps.grid[1])
            cut = patch(found.crops[image], position, field)
            tiles.append(drawing.tile(cut, _SIDE))
        left = drawing.MARGIN + place % _COLUMNS * width
        line = 2 * drawing.LINE + place // _COLUMNS * height
        drawing.write(picture, (left, line), f"map {number}")
        picture.paste(drawing.mosaic(tiles, 3, 1), (left, line + drawing.LINE))
    return picture


@dataclasses.dataclass(frozen=True)
class Field:
    """Which pixels the positions of a grid depend on, for each axis (down, across).

    Attributes:
        size: how many a position sees.
        first: where those of the position 0 begin; below 0, as the layers pad.
        stride: how far those of the next position are.
    """

    size: tuple[int, int]
    first: tuple[int, int]
    stride: tuple[int, int]


def receptive_field(classifier: Classifier, part: keras.Model, maps: FeatureMaps) -> Field:
    """Which pixels a layer's positions depend on.

    Measured by gradients on noise, in the middle of the image, so it holds for any net: where there
    is attention, or an average over all positions, it is the whole image.
    """
    shape = classifier.model.input.shape[1:]
    noise = np.random.default_rng(0).integers(0, 256, (_NOISE, *shape), np.uint8)
    image = tf.cast(classifier.normalized(tf.constant(noise)), tf.float32)

    def seen(place: tuple[int, int]) -> list[np.ndarray]:
        """The rows and the columns that a position depends on."""
        with tf.GradientTape() as tape:
            tape.watch(image)
            output = part(image, training=False)
            features = tf.reshape(output, [_NOISE, -1, output.shape[-1]])
            number = place[0] * maps.grid[1] + place[1] - maps.grid[0] * maps.grid[1]
            answer = tf.reduce_sum(tf.cast(features[:, number], tf.float32))
        pixels = np.abs(tape.gradient(answer, image).numpy()).max(axis=(0, 3)) > 0
        return [np.flatnonzero(pixels.any(axis=axis)) for axis in (1, 0)]

    middle = (maps.grid[0] // 2, maps.grid[1] // 2)
    here, before = seen(middle), seen((max(middle[0] - 1, 0), max(middle[1] - 1, 0)))
    sizes, firsts, strides = [], [], []
    for axis in (0, 1):
        # Where noise wakes no unit, nothing is known.
        if not len(here[axis]) or not len(before[axis]):
            here[axis] = before[axis] = np.arange(shape[axis])
        stride = int(here[axis][-1] - before[axis][-1])
        sizes.append(int(here[axis][-1] - here[axis][0] + 1))
        firsts.append(int(here[axis][0]) - middle[axis] * stride)
        strides.append(stride)
    return Field((sizes[0], sizes[1]), (firsts[0], firsts[1]), (strides[0], strides[1]))


def patch(crop: np.ndarray, place: tuple[int, int], field: Field) -> np.ndarray:
    """The pixels that a position depends on, gray where they are outside of the image.

    Where these are as many as the image has, it is the whole image.
    """
    ends = []
    for axis in (0, 1):
        start = field.first[axis] + place[axis] * field.stride[axis]
        whole = field.size[axis] >= crop.shape[axis]
        ends.append((0, crop.shape[axis]) if whole else (start, start + field.size[axis]))
    (top, bottom), (left, right) = ends
    cut = np.full((bottom - top, right - left, 3), GRAY, np.uint8)
    inside = crop[max(top, 0) : bottom, max(left, 0) : right]
    above, beside = max(-top, 0), max(-left, 0)
    cut[above : above + inside.shape[0], beside : beside + inside.shape[1]] = inside
    return cut
