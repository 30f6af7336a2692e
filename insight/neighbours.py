"""Predictions, and the images whose features are nearest: Krizhevsky et al. 2012, figure 4.

As there, features are what the last layer with weights is given, near is a small Euclidean
distance, and the images found are training ones.
"""

import numpy as np
from PIL import Image, ImageDraw
from scipy.special import softmax

from insight import drawing
from insight.drawing import LINE, MARGIN
from insight.images import Images, features
from trainers.serving import net_layers
from trainers.serving.classifier import Classifier

_SIDE, _NEAREST, _TOP, _BARS = 128, 6, 5, 220
_RIGHT, _OTHER = (214, 39, 40), (120, 150, 200)


def nearest(queries: np.ndarray, found: np.ndarray, count: int) -> np.ndarray:
    """The rows of `found` that are nearest to each query, nearest first.

    Args:
        queries: float [q, c].
        found: float [n, c].
        count: how many.

    Returns:
        int [q, at most count]. A row that is the query itself, at the distance 0, is left out.
    """
    squares = (
        (queries.astype(np.float64) ** 2).sum(axis=1)[:, None]
        + (found.astype(np.float64) ** 2).sum(axis=1)
        - 2 * queries.astype(np.float64) @ found.T.astype(np.float64)
    )
    same = (queries[:, None] == found).all(axis=-1)
    squares[same] = np.inf
    order = np.argsort(squares, axis=1, kind="stable")
    return order[:, : min(count, len(found) - int(same.sum(axis=1).max()))]


def draw(classifier: Classifier, shown: Images, found: Images) -> Image.Image:
    """One row an image: it, its likeliest classes, and its neighbours among `found`."""
    model = net_layers.penultimate(classifier.model)
    near = nearest(
        features(classifier, model, shown.crops),
        features(classifier, model, found.crops),
        _NEAREST,
    )
    logits = features(classifier, classifier.model, shown.crops)
    words = classifier.dataset.words
    step, row_height = _SIDE + MARGIN, _SIDE + LINE + MARGIN
    width = 2 * MARGIN + (1 + near.shape[1]) * step + _BARS + 3 * MARGIN
    title = f"{classifier.model.name}: what is said, and the nearest of {len(found)} images"
    picture = drawing.paper(width, len(shown) * row_height, title)
    for row, crop in enumerate(shown.crops):
        top = 2 * LINE + row * row_height
        label = int(shown.labels[row])
        truth = words[label] if label >= 0 else shown.names[row]
        picture.paste(drawing.tile(crop, _SIDE), (MARGIN, top))
        drawing.write(picture, (MARGIN, top + _SIDE), drawing.short(truth, 20))
        _bars(picture, (MARGIN + step, top), softmax(logits[row]), label, words)
        for column, number in enumerate(near[row].tolist()):
            left = MARGIN + step + _BARS + 2 * MARGIN + column * step
            picture.paste(drawing.tile(found.crops[number], _SIDE), (left, top))
            name = drawing.short(words[found.labels[number]], 20)
            drawing.write(picture, (left, top + _SIDE), name)
    return picture


def _bars(
    picture: Image.Image,
    place: tuple[int, int],
    probabilities: np.ndarray,
    label: int,
    words: tuple[str, ...],
) -> None:
    """The likeliest classes with their probabilities, the truth in red."""
    left, top = place
    draw = ImageDraw.Draw(picture)
    for rank, number in enumerate(np.argsort(-probabilities, kind="stable")[:_TOP].tolist()):
        line = top + rank * (_SIDE // _TOP)
        end = left + max(1, round(_BARS * float(probabilities[number])))
        color = _RIGHT if number == label else _OTHER
        draw.rectangle((left, line + 16, end, line + 20), fill=color)
        text = f"{100 * probabilities[number]:.0f} %  {drawing.short(words[number], 28)}"
        drawing.write(picture, (left, line), text)
