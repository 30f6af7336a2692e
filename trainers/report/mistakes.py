"""What a net gets wrong, for people: as text, and as one picture."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from trainers.run_folder.predictions import Predictions
from trainers.scoring import mistakes

if TYPE_CHECKING:  # it takes a second, and the text needs none of it
    from matplotlib.axes import Axes

# Where the picture is, in a run's folder of figures.
PICTURE_FILE = "mistakes.png"

# The text names so many of each; the picture shows so many pairs.
_LISTED = 10
_PAIRS = 10
# More classes than these are no bars, and no matrix, to look at: then those with most mistakes are.
_MOST_CLASSES = 40

_WIDTH, _DPI = 15.0, 100  # inches, and pixels an inch
_TILE, _MARGIN, _LINE = 128, 12, 16  # pixels
_COLUMNS = 10
_LABEL = 260  # pixels that a pair's words take


def mistakes_text(predictions: Predictions) -> str:
    """The worst classes, the most confused ones and the worst images, one line each."""
    name = predictions.class_name
    right, images = int(predictions.right.sum()), len(predictions.labels)
    found = mistakes.reliability(predictions.confidence, predictions.right)
    lines = [
        f"{predictions.split}, {predictions.protocol}: {images - right:,} of {images:,} images are "
        f"wrong; calibration error {found.error:.3f}, mean confidence "
        f"{100 * predictions.confidence.mean():.1f} %, top-1 {100 * right / images:.1f} %",
        "",
        "worst classes: right of all images, with the 95 % interval",
        *(
            f"  {score.right:>5} of {score.images:<5} {100 * score.interval[0]:3.0f} to "
            f"{100 * score.interval[1]:3.0f} %  {name(score.label)}"
            for score in mistakes.class_scores(predictions)[:_LISTED]
            if score.right < score.images
        ),
        "",
        "most confused: images, what they are, what they were taken for",
        *(
            f"  {len(pair.images):>5}  {name(pair.label)} -> {name(pair.predicted)}"
            for pair in mistakes.confused_pairs(predictions, _LISTED)
        ),
        "",
        "worst images: loss, what each is, what was said",
        *(
            f"  {predictions.losses[position]:8.2f}  {predictions.name(position)}: "
            f"{name(predictions.labels[position])} -> {_said(predictions, position)}"
            for position in mistakes.worst_images(predictions, _LISTED).tolist()
        ),
    ]
    return "\n".join(lines)


def mistakes_picture(predictions: Predictions, title: str) -> Image.Image:
    """Confusion matrix, reliability diagram, classes, worst images and confused pairs."""
    worst = [p for p in mistakes.worst_images(predictions).tolist() if p in predictions.pictures]
    # A pair of one image is none, and the image is perhaps among the worst.
    pairs = [p for p in mistakes.confused_pairs(predictions, _PAIRS) if len(p.images) > 1]
    parts = [_diagrams(predictions, title)]
    if worst:
        parts.append(_worst_images(predictions, worst))
    if pairs:
        parts.append(_pairs(predictions, pairs))
    picture = Image.new("RGB", (parts[0].width, sum(part.height for part in parts)), "white")
    top = 0
    for part in parts:
        picture.paste(part, (0, top))
        top += part.height
    return picture


def _said(predictions: Predictions, position: int) -> str:
    label = int(predictions.top[position, 0])
    if label < 0:
        return "nothing, as it is no number"
    return f"{predictions.class_name(label)} {100 * predictions.confidence[position]:.0f} %"


def _short(text: str, width: int = 22) -> str:
    return textwrap.shorten(text.split(" (")[0], width, placeholder="...")


def _diagrams(predictions: Predictions, title: str) -> Image.Image:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, 11.0), dpi=_DPI, layout="tight")
    figure.suptitle(title, fontsize=14)
    grid = figure.add_gridspec(2, 2, width_ratios=[1.5, 1], height_ratios=[1.7, 1])
    _draw_matrix(figure.add_subplot(grid[0, 0]), predictions)
    _draw_reliability(figure.add_subplot(grid[0, 1]), predictions)
    _draw_classes(figure.add_subplot(grid[1, :]), predictions)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return Image.open(file).convert("RGB")


def _draw_matrix(axes: Axes, predictions: Predictions) -> None:
    matrix = mistakes.confusion_matrix(predictions)
    chosen = mistakes.most_mistaken(matrix, _MOST_CLASSES)
    shown = matrix[np.ix_(chosen, chosen)]
    rows = np.maximum(matrix.sum(axis=1)[chosen], 1)[:, None]
    axes.imshow(shown / rows, cmap="Blues", vmin=0, vmax=1)
    size = 8 if len(chosen) <= 25 else 6
    if len(chosen) <= 25:
        for row, column in np.argwhere(shown > 0).tolist():
            dark = shown[row, column] > 0.6 * rows[row, 0]
            color = "white" if dark else "black"
            text = str(shown[row, column])
            axes.text(column, row, text, ha="center", va="center", color=color, fontsize=7)
    names = [_short(predictions.class_name(label)) for label in chosen.tolist()]
    axes.set_xticks(range(len(chosen)), names, rotation=90, fontsize=size)
    axes.set_yticks(range(len(chosen)), names, fontsize=size)
    axes.set_xlabel("what was said")
    axes.set_ylabel("what it is")
    whole = len(chosen) == len(matrix)
    which = "" if whole else f": the {len(chosen)} of {len(matrix)} classes with most mistakes"
    axes.set_title(f"Confusion matrix{which}", fontsize=11)


def _draw_reliability(axes: Axes, predictions: Predictions) -> None:
    found = mistakes.reliability(predictions.confidence, predictions.right)
    edges = np.arange(mistakes.CALIBRATION_BINS) / mistakes.CALIBRATION_BINS
    width = 1 / mistakes.CALIBRATION_BINS
    accuracy = np.nan_to_num(found.accuracy)
    axes.bar(edges + width / 2, accuracy, 0.94 * width, color="#7fb2d9", label="right")
    share = found.counts / found.counts.sum()
    axes.bar(edges + width / 2, share, 0.4 * width, color="#444444", label="share of the images")
    axes.plot([0, 1], [0, 1], color="black", linestyle="--", label="as sure as right")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("confidence: the probability of what was said")
    axes.set_ylabel("fraction")
    axes.set_title(f"Reliability; expected calibration error {found.error:.3f}", fontsize=11)
    axes.legend(loc="upper left", fontsize=8)


def _draw_classes(axes: Axes, predictions: Predictions) -> None:
    scores = mistakes.class_scores(predictions)
    title = "Top-1 by class, with 95 % intervals"
    if len(scores) > _MOST_CLASSES:
        half = _MOST_CLASSES // 2
        scores = [*scores[:half], *scores[-half:]]
        title += f": the {half} worst and the {half} best"
    accuracy = np.array([score.accuracy for score in scores])
    low, high = np.array([score.interval for score in scores]).T
    places = range(len(scores))
    # What stands at the interval's end may be off by a rounding.
    errors = np.maximum([accuracy - low, high - accuracy], 0)
    axes.bar(places, accuracy, color="#1f77b4", yerr=errors, ecolor="#555555", capsize=2)
    names = [_short(predictions.class_name(score.label)) for score in scores]
    axes.set_xticks(places, names, rotation=90, fontsize=8)
    axes.set_xlim(-0.6, len(scores) - 0.4)
    axes.set_ylim(0, 1.02)
    axes.set_title(title, fontsize=11)


def _worst_images(predictions: Predictions, positions: Sequence[int]) -> Image.Image:
    rows = -(-len(positions) // _COLUMNS)
    height = _TILE + 3 * _LINE
    picture, draw = _strip("Worst images: what is, and what was said", rows * height)
    for place, position in enumerate(positions):
        left = _MARGIN + place % _COLUMNS * (_TILE + _MARGIN)
        top = 3 * _LINE + place // _COLUMNS * height
        _paste(picture, predictions.pictures[position], left, top)
        said = _short(_said(predictions, position), 15)
        confidence = f"{100 * predictions.confidence[position]:.0f} %"
        truth = _short(predictions.class_name(predictions.labels[position]), 19)
        for line, text in enumerate((truth, f"{said} {confidence}")):
            draw.text((left, top + _TILE + line * _LINE), text, fill="black", font=_font(11))
    return picture


def _pairs(predictions: Predictions, pairs: Sequence[mistakes.Pair]) -> Image.Image:
    height = _TILE + 2 * _LINE
    title = "Most confused: what they are, and what they were taken for"
    picture, draw = _strip(title, len(pairs) * height)
    for row, pair in enumerate(pairs):
        top = 3 * _LINE + row * height
        names = [_short(predictions.class_name(each), 34) for each in (pair.label, pair.predicted)]
        lines = (names[0], f"taken for {names[1]}", f"{len(pair.images)} images")
        for line, text in enumerate(lines):
            place = (_MARGIN, top + _TILE // 3 + 20 * line)
            draw.text(place, text, fill="black", font=_font(13))
        shown = [p for p in pair.images.tolist() if p in predictions.pictures]
        for column, position in enumerate(shown):
            left = _LABEL + column * (_TILE + _MARGIN)
            _paste(picture, predictions.pictures[position], left, top)
            said = f"{100 * predictions.confidence[position]:.0f} %"
            draw.text((left, top + _TILE), said, fill="black", font=_font(11))
    return picture


def _strip(title: str, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """White paper with a heading and room for so many pixels under it."""
    picture = Image.new("RGB", (round(_WIDTH * _DPI), 3 * _LINE + height), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((_MARGIN, _MARGIN), title, fill="black", font=_font(16))
    return picture, draw


def _paste(picture: Image.Image, content: bytes, left: int, top: int) -> None:
    """An image, as large as fits into a tile, in its middle and at its bottom."""
    image = ImageOps.contain(Image.open(io.BytesIO(content)), (_TILE, _TILE))
    picture.paste(image, (left + (_TILE - image.width) // 2, top + _TILE - image.height))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
