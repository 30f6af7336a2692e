"""What feature maps answer most strongly to: Zeiler & Fergus 2014, figure 2 (the patches there)."""

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from insight import drawing
from insight.config import FiguresConfig
from insight.images import Images, given
from insight.layers import chosen_maps
from trainers.serving import net_layers
from trainers.serving.classifier import Classifier

_MAPS, _COLUMNS, _SIDE = 12, 4, 72
_STRONGEST = 9  # as in the paper


def draw(classifier: Classifier, config: FiguresConfig, found: Images) -> Image.Image:
    """For some maps of a layer the nine patches, of different images, of its strongest answers."""
    model = classifier.model
    maps = net_layers.chosen_maps(model, config.layer, "--layer")
    part = keras.Model(model.input, maps.layer.output)
    strength, places = [], []
    for _, features in given(classifier, part, found.crops):
        flat = maps.fold(features).reshape(len(features), maps.grid[0] * maps.grid[1], -1)
        strength.append(flat.max(axis=1))
        places.append(flat.argmax(axis=1))
    answers, where = np.concatenate(strength), np.concatenate(places)
    top = np.argsort(-answers, axis=0, kind="stable")[:_STRONGEST]
    numbers = chosen_maps(config, np.take_along_axis(answers, top, axis=0).mean(axis=0), _MAPS)
    size = receptive_field(classifier, part, maps)
    block = 3 * _SIDE + 4 * 1
    width, height = block + 2 * drawing.MARGIN, block + drawing.LINE + drawing.MARGIN
    rows = -(-len(numbers) // _COLUMNS)
    title = (
        f"{model.name}, {maps.layer.name}: what answers most strongly among {len(found)} images; a "
        f"position sees {size[0]}x{size[1]} pixels"
    )
    picture = drawing.paper(_COLUMNS * width, rows * height, title)
    for place, number in enumerate(numbers):
        tiles = []
        for image in top[:, number].tolist():
            cut = patch(
                found.crops[image], divmod(int(where[image, number]), maps.grid[1]), maps, size
            )
            tiles.append(drawing.tile(cut, _SIDE))
        left = drawing.MARGIN + place % _COLUMNS * width
        line = 2 * drawing.LINE + place // _COLUMNS * height
        drawing.write(picture, (left, line), f"map {number}")
        picture.paste(drawing.mosaic(tiles, 3, 1), (left, line + drawing.LINE))
    return picture


def receptive_field(
    classifier: Classifier, part: keras.Model, maps: net_layers.FeatureMaps
) -> tuple[int, int]:
    """How many pixels, (height, width), a position of a layer depends on, in its middle.

    Measured by gradients on noise, so it holds for any net: where there is attention, or an average
    over all positions, it is the whole image.
    """
    shape = classifier.model.input.shape[1:]
    noise = np.random.default_rng(0).integers(0, 256, (4, *shape), np.uint8)
    image = tf.cast(classifier.normalized(tf.constant(noise)), tf.float32)
    flat = maps.grid[0] * maps.grid[1]
    middle = maps.grid[0] // 2 * maps.grid[1] + maps.grid[1] // 2
    with tf.GradientTape() as tape:
        tape.watch(image)
        output = part(image, training=False)
        tokens = tf.reshape(output, [len(noise), -1, output.shape[-1]])[:, -flat:]
        answer = tf.reduce_sum(tf.cast(tokens[:, middle], tf.float32))
    seen = np.abs(tape.gradient(answer, image).numpy()).max(axis=(0, 3)) > 0
    sides = [np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0)]
    height, width = (int(side[-1] - side[0] + 1) if len(side) else 1 for side in sides)
    return height, width


def patch(
    crop: np.ndarray, place: tuple[int, int], maps: net_layers.FeatureMaps, size: tuple[int, int]
) -> np.ndarray:
    """The pixels around a position of a grid, gray where they would be outside of the image."""
    ends = []
    for axis in (0, 1):
        middle = (place[axis] + 0.5) * crop.shape[axis] / maps.grid[axis]
        start = round(middle - size[axis] / 2)
        ends.append((start, start + size[axis]))
    (top, bottom), (left, right) = ends
    cut = np.full((*size, 3), 128, np.uint8)
    inside = crop[max(top, 0) : bottom, max(left, 0) : right]
    above, beside = max(-top, 0), max(-left, 0)
    cut[above : above + inside.shape[0], beside : beside + inside.shape[1]] = inside
    return cut
