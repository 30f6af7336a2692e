"""Pictures of predictions: what the net saw, what it says, and which parts that depends on."""

import math
import textwrap
from collections.abc import Sequence

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from trainers.serving.explanations import Explainer
from trainers.serving.predictions import Prediction

_TILE, _MARGIN, _LINE = 224, 8, 17  # pixels
_CAPTION = 4 * _LINE + _MARGIN
_COLUMNS = 5
# Of explained predictions: the width of their text, in which bars stand for probabilities.
_WORDS, _BAR = 300, 5
_BLUE, _GRAY = (31, 119, 180), (110, 110, 110)
# More would be no picture to look at.
MOST_IMAGES = 100


def sheet(predictions: Sequence[Prediction]) -> Image.Image:
    """One tile an image, with the file's name and the three likeliest classes under it."""
    columns = min(_COLUMNS, len(predictions))
    rows = math.ceil(len(predictions) / columns)
    width, height = _TILE + _MARGIN, _TILE + _CAPTION + _MARGIN
    picture = Image.new("RGB", (columns * width + _MARGIN, rows * height + _MARGIN), "white")
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(12)
    for index, prediction in enumerate(predictions):
        left = _MARGIN + index % columns * width
        top = _MARGIN + index // columns * height
        picture.paste(_tile(prediction.crop), (left, top))
        rows_of = list(zip(prediction.probabilities, prediction.words, strict=True))[:3]
        lines = [prediction.path.name] + [f"{100 * p:.0f} % {words}" for p, words in rows_of]
        for row, line in enumerate(lines):
            short = textwrap.shorten(line, 36, placeholder="...")
            draw.text((left, top + _TILE + 2 + _LINE * row), short, fill="black", font=font)
    return picture


def explained_sheet(
    predictions: Sequence[Prediction], explainers: Sequence[Explainer], labels: Sequence[int]
) -> Image.Image:
    """One row an image: the image, each explanation over it, and the likeliest classes.

    Args:
        predictions: one for each row.
        explainers: one for each column.
        labels: the class of each image that is explained; where it is among the likeliest, in blue.
    """
    tile = _TILE + _MARGIN
    width = (1 + len(explainers)) * tile + _MARGIN + _WORDS
    picture = Image.new("RGB", (width, len(predictions) * tile + 2 * _LINE), "white")
    draw = ImageDraw.Draw(picture)
    font, small = ImageFont.load_default(13), ImageFont.load_default(12)
    for column, title in enumerate(("", *(each.title for each in explainers))):
        draw.text((_MARGIN + column * tile, _MARGIN), title, fill="black", font=font)
    explained = tqdm(predictions, "explaining", unit="image", leave=False, disable=None)
    for row, (prediction, label) in enumerate(zip(explained, labels, strict=True)):
        top = row * tile + 2 * _LINE - _MARGIN
        crop = prediction.crop
        tiles = [crop, *(overlay(crop, each.heat(crop, label)) for each in explainers)]
        for column, pixels in enumerate(tiles):
            picture.paste(_tile(pixels), (_MARGIN + column * tile, top))
        left = (1 + len(explainers)) * tile + _MARGIN
        draw.text((left, top), prediction.path.name, fill=_GRAY, font=small)
        said = zip(prediction.labels, prediction.probabilities, prediction.words, strict=True)
        for place, (number, probability, words) in enumerate(list(said)[:5]):
            line = top + 26 + 38 * place
            color = _BLUE if number == label else _GRAY
            text = f"{100 * probability:.1f} %  {words.split(',')[0]}"
            short = textwrap.shorten(text, 40, placeholder="...")
            draw.text((left, line), short, fill="black", font=font)
            end = left + round((_WORDS - 2 * _MARGIN) * probability)
            draw.rectangle((left, line + 20, max(end, left + 1), line + 20 + _BAR), fill=color)
    return picture


def overlay(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """An image in gray under the colours of a map of it, blue for nothing to red for the most.

    Args:
        pixels: uint8 [height, width, 3].
        heat: float [height, width], from 0 to 1.
    """
    colors = 255 * matplotlib.colormaps["jet"](heat)[..., :3]
    gray = pixels.mean(axis=-1, keepdims=True)
    return np.rint(0.5 * gray + 0.5 * colors).astype(np.uint8)


def _tile(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels).resize((_TILE, _TILE), Image.Resampling.BICUBIC)
