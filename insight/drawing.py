"""Tiles, words and charts on white paper."""

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARGIN, LINE = 8, 17  # pixels


def paper(width: int, height: int, title: str) -> Image.Image:
    """White paper with a title in its first two lines; the height is what comes below."""
    picture = Image.new("RGB", (width, height + 2 * LINE), "white")
    write(picture, (MARGIN, MARGIN), title, size=14)
    return picture


def write(
    picture: Image.Image, place: tuple[int, int], text: str, *, size: int = 12, color: str = "black"
) -> None:
    """Words, with their upper left corner at a place."""
    font = ImageFont.load_default(size)
    ImageDraw.Draw(picture).text(place, text, fill=color, font=font)


def tile(pixels: np.ndarray, side: int, *, smooth: bool = True) -> Image.Image:
    """Pixels uint8 [h, w, 3] or [h, w] as a square of this side."""
    way = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    return Image.fromarray(pixels).convert("RGB").resize((side, side), way)


def short(words: str, width: int) -> str:
    """The first of a class's words, cut to so many characters."""
    return textwrap.shorten(words.split(",")[0], width, placeholder="...")


def mosaic(tiles: Sequence[Image.Image], columns: int, gap: int) -> Image.Image:
    """Tiles of one size in rows, gray between them."""
    side = tiles[0].width + gap
    rows = -(-len(tiles) // columns)
    picture = Image.new("RGB", (columns * side + gap, rows * side + gap), (200, 200, 200))
    for place, each in enumerate(tiles):
        picture.paste(each, (gap + place % columns * side, gap + place // columns * side))
    return picture


def chart(figure: "Figure") -> Image.Image:
    """What Matplotlib has drawn."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return Image.open(file).convert("RGB")
