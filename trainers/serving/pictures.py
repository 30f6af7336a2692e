"""Pictures of predictions: what the net saw, what it says, and which pixels that depends on."""

import math
import textwrap
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from trainers.serving.classifier import Classifier
from trainers.serving.predictions import Prediction

_TILE, _TEXT, _MARGIN = 224, 76, 8  # pixels
_COLUMNS = 5
# More would be no picture to look at.
MOST_IMAGES = 100


def sheet(predictions: Sequence[Prediction], tiles: Sequence[np.ndarray]) -> Image.Image:
    """One tile an image, with the file's name and the three likeliest classes under it.

    Args:
        predictions: one for each tile.
        tiles: uint8 [height, width, 3].
    """
    columns = min(_COLUMNS, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    width, height = _TILE + _MARGIN, _TILE + _TEXT + _MARGIN
    picture = Image.new("RGB", (columns * width + _MARGIN, rows * height + _MARGIN), "white")
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(12)
    for index, (prediction, tile) in enumerate(zip(predictions, tiles, strict=True)):
        left = _MARGIN + index % columns * width
        top = _MARGIN + index // columns * height
        picture.paste(Image.fromarray(tile).resize((_TILE, _TILE)), (left, top))
        rows_of = list(zip(prediction.probabilities, prediction.words, strict=True))[:3]
        lines = [prediction.path.name] + [f"{100 * p:.0f} % {words}" for p, words in rows_of]
        for row, line in enumerate(lines):
            short = textwrap.shorten(line, 36, placeholder="...")
            draw.text((left, top + _TILE + 2 + 17 * row), short, fill="black", font=font)
    return picture


def saliency(classifier: Classifier, predictions: Sequence[Prediction]) -> list[np.ndarray]:
    """Where a small change of a pixel changes the first prediction's logit most.

    Simonyan, Vedaldi & Zisserman 2014 (arXiv:1312.6034), section 3: the largest magnitude of the
    gradient over the channels. Bright over the image in gray; scaled to each image's 99th
    percentile.

    Returns:
        uint8 [height, width, 3] for each prediction.
    """
    maps = []
    for prediction in predictions:
        image = classifier.normalized(tf.constant(prediction.crop[np.newaxis]))
        with tf.GradientTape() as tape:
            tape.watch(image)
            logit = classifier.model(image, training=False)[0, prediction.labels[0]]
        gradient = np.abs(tape.gradient(logit, image)[0].numpy()).max(axis=-1)
        strength = np.clip(gradient / max(np.percentile(gradient, 99), 1e-12), 0, 1)[..., None]
        gray = prediction.crop.mean(axis=-1, keepdims=True) * 0.6
        red = np.array([255.0, 40.0, 0.0])
        maps.append(np.rint(gray * (1 - strength) + red * strength).astype(np.uint8))
    return maps
