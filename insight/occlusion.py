"""What is said while a gray square covers a part: Zeiler & Fergus 2014, figure 7 (a, d and e)."""

import numpy as np
from PIL import Image

from insight import drawing
from insight.images import Images
from trainers.serving.classifier import Classifier
from trainers.serving.explanations import cover

_INCHES, _DPI, _NAMED = 3.6, 100, 6


def draw(classifier: Classifier, shown: Images) -> Image.Image:
    """One row an image: it, the probability of its class, and the likeliest class, by the square.

    The class is the truth where it is known, else what is said of the whole image.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    rows = len(shown)
    figure = Figure(figsize=(4 * _INCHES, rows * _INCHES), dpi=_DPI, layout="constrained")
    grid = figure.subplots(rows, 3, squeeze=False, width_ratios=[1, 1.2, 1.8])
    words = classifier.dataset.words
    for axes, crop, label in zip(grid, shown.crops, shown.labels.tolist(), strict=True):
        said = int(classifier.logits(crop[np.newaxis])[0].argmax())
        about = said if label < 0 else label
        covered = cover(classifier, crop)
        axes[0].imshow(crop)
        axes[0].set_title(f"a square of {covered.side} pixels is slid over it", fontsize=9)
        image = axes[1].imshow(covered.probabilities[..., about], cmap="jet", vmin=0)
        figure.colorbar(image, ax=axes[1])
        axes[1].set_title(f"probability of {drawing.short(words[about], 30)}", fontsize=9)
        likeliest = covered.probabilities.argmax(axis=-1)
        found, places = np.unique(likeliest, return_inverse=True)
        colors = [(f"C{number}" if number < 10 else "lightgray") for number in range(len(found))]
        # The most frequent classes have the first colours.
        order = np.argsort(-np.bincount(places.ravel()), kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        ranked = rank[places.reshape(likeliest.shape)]
        axes[2].imshow(ranked, cmap=ListedColormap(colors), vmin=-0.5, vmax=len(found) - 0.5)
        names = [drawing.short(words[found[number]], 24) for number in order[:_NAMED]]
        handles = [Patch(color=colors[place], label=name) for place, name in enumerate(names)]
        axes[2].legend(handles=handles, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
        axes[2].set_title("likeliest class", fontsize=9)
        for each in axes:
            each.set_axis_off()
    return drawing.chart(figure)
