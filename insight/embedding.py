"""The features of many images in two dimensions: principal components, or t-SNE.

Features are what the last layer with weights is given.
"""

import numpy as np
from PIL import Image

from base.errors import UserError
from insight import drawing
from insight.config import TSNE, FiguresConfig
from insight.images import Images, features
from trainers.serving import net_layers
from trainers.serving.classifier import Classifier

_INCHES, _DPI, _THUMBNAIL = 9.0, 100, 36
# More classes than these have no names in the picture.
_NAMED = 30
_COMPONENTS = (
    50  # to which t-SNE's input is reduced first (van der Maaten & Hinton 2008, section 4)
)


def principal_components(rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The projections on the directions of largest variance.

    Args:
        rows: float [n, c].
        count: how many directions.

    Returns:
        float64 [n, count], and each direction's share of the variance, float64 [count].
    """
    centered = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    left, singular, _ = np.linalg.svd(centered, full_matrices=False)
    variances = singular**2
    shares = variances[:count] / max(variances.sum(), 1e-300)
    return (left * singular)[:, :count], shares


def draw(classifier: Classifier, config: FiguresConfig, found: Images) -> Image.Image:
    """Every image as a dot in its class's colour, and as itself."""
    if len(found) < 3:
        raise UserError(f"--figure=embedding needs three images or more, not {len(found)}")
    model = net_layers.penultimate(classifier.model)
    rows = features(classifier, model, found.crops)
    if config.method == TSNE:
        points, axes_said = _tsne(rows), "t-SNE"
    else:
        points, shares = principal_components(rows, 2)
        said = " and ".join(f"{100 * share:.0f} %" for share in shares)
        axes_said = f"the first two principal components, {said} of the variance"
    title = f"{classifier.model.name}: {rows.shape[1]} features of {len(found)} images, {axes_said}"
    return _drawn(points, found, classifier.dataset.words, title)


def _tsne(rows: np.ndarray) -> np.ndarray:
    from sklearn import manifold

    reduced, _ = principal_components(rows, _COMPONENTS)
    perplexity = min(30.0, (len(rows) - 1) / 3)
    return manifold.TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(reduced)


def _drawn(points: np.ndarray, found: Images, words: tuple[str, ...], title: str) -> Image.Image:
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_INCHES, _INCHES), dpi=_DPI)
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.92))
    classes = np.unique(found.labels)
    colors = colormaps["gist_ncar"](np.linspace(0.02, 0.95, len(classes)))
    for color, label in zip(colors, classes.tolist(), strict=True):
        of_class = points[found.labels == label]
        axes.scatter(of_class[:, 0], of_class[:, 1], s=14, color=color)
        if len(classes) <= _NAMED:
            box = {"facecolor": "white", "alpha": 0.75, "edgecolor": color, "pad": 1.5}
            middle = np.median(of_class, axis=0)
            name = drawing.short(words[label], 20)
            axes.text(middle[0], middle[1], name, fontsize=8, ha="center", va="center", bbox=box)
    axes.set_xticks([])
    axes.set_yticks([])
    dots = drawing.chart(figure)
    picture = drawing.paper(2 * dots.width, dots.height, title)
    picture.paste(dots, (0, 2 * drawing.LINE))
    low, high = points.min(axis=0), points.max(axis=0)
    room = dots.width - 2 * drawing.MARGIN - _THUMBNAIL
    places = np.rint((points - low) / np.maximum(high - low, 1e-12) * room).astype(int)
    for (right, up), crop in zip(places.tolist(), found.crops, strict=True):
        left = dots.width + drawing.MARGIN + right
        top = 2 * drawing.LINE + drawing.MARGIN + room - up
        picture.paste(drawing.tile(crop, _THUMBNAIL), (left, top))
    return picture
