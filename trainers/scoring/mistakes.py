"""What a net gets wrong, by what an evaluation saved of each image: NumPy alone, no TensorFlow.

The evaluation's result, `runs.py mistakes` and the report take their figures from here.
"""

import dataclasses
import math

import numpy as np

from trainers.run_folder.predictions import Predictions

# Of the two-sided normal quantile: 95 %.
_Z = 1.959963984540054
CALIBRATION_BINS = 15  # Guo et al. 2017, section 4
CONFUSED_PAIRS = 20
# So many of the worst images, and of each confused pair's, are looked at, and saved as pictures.
WORST_IMAGES = 24
PAIR_IMAGES = 6


@dataclasses.dataclass(frozen=True)
class Pair:
    """A class that was taken for another.

    Attributes:
        label: the truth.
        predicted: what was said.
        images: int [n], the positions of all images of it, the largest loss first.
    """

    label: int
    predicted: int
    images: np.ndarray


@dataclasses.dataclass(frozen=True)
class Reliability:
    """How often a net is right that says it is so sure (Guo et al. 2017, section 2).

    Attributes:
        counts: int [15], the images of each bin of confidence, ((m - 1) / 15, m / 15].
        confidence: float [15], the mean confidence in it; NaN where it is empty.
        accuracy: float [15], the fraction that is right; NaN where it is empty.
        error: the expected calibration error (equation 3): the mean over images of the gap.
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    error: float


@dataclasses.dataclass(frozen=True)
class ClassScore:
    """One class: its images, how many were right, and the 95 % interval of that fraction."""

    label: int
    images: int
    right: int
    interval: tuple[float, float]

    @property
    def accuracy(self) -> float:
        """The fraction that was right."""
        return self.right / self.images


def wilson_interval(successes: float, trials: int) -> tuple[float, float]:
    """The 95 % confidence interval of a fraction (Wilson 1927), which never leaves [0, 1]."""
    if trials == 0:
        return 0.0, 1.0
    fraction, square = successes / trials, _Z**2
    center = fraction + square / (2 * trials)
    half = _Z * math.sqrt(fraction * (1 - fraction) / trials + square / (4 * trials**2))
    low, high = (center - half) / (1 + square / trials), (center + half) / (1 + square / trials)
    return max(0.0, low), min(1.0, high)


def reliability(confidence: np.ndarray, right: np.ndarray) -> Reliability:
    """The reliability diagram's bars.

    Args:
        confidence: float [n], the probability of the predicted class.
        right: bool [n], whether it is the label.
    """
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)
    counts, sure, rights = (
        np.bincount(bins, weights, CALIBRATION_BINS) for weights in (None, confidence, right)
    )
    gaps = np.bincount(bins, right - confidence, CALIBRATION_BINS)
    with np.errstate(invalid="ignore"):
        error = float(np.abs(gaps).sum() / len(confidence))
        return Reliability(counts.astype(int), sure / counts, rights / counts, error)


def confusion_matrix(predictions: Predictions) -> np.ndarray:
    """How many images of each class (row) were taken for each (column): int64 [N, N].

    Images of which nothing was said are in no column.
    """
    classes, first = len(predictions.wnids), predictions.top[:, 0]
    said = first >= 0
    cells = predictions.labels[said].astype(np.int64) * classes + first[said]
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def most_mistaken(matrix: np.ndarray, most: int) -> np.ndarray:
    """The classes with the most mistakes, of both kinds, in label order: int [at most `most`].

    For a confusion matrix [N, N] that is too large to look at.
    """
    wrong = matrix - np.diag(np.diag(matrix))
    mistakes = wrong.sum(axis=0) + wrong.sum(axis=1)
    return np.sort(np.argsort(-mistakes, kind="stable")[:most])


def confused_pairs(predictions: Predictions, most: int = CONFUSED_PAIRS) -> list[Pair]:
    """The pairs of classes that were confused most often, most first."""
    classes, first = len(predictions.wnids), predictions.top[:, 0]
    wrong = np.flatnonzero(~predictions.right & (first >= 0))
    cells = predictions.labels[wrong].astype(np.int64) * classes + first[wrong]
    found, counts = np.unique(cells, return_counts=True)
    pairs = []
    for cell in found[np.argsort(-counts, kind="stable")[:most]].tolist():
        images = wrong[cells == cell]
        pairs.append(Pair(cell // classes, cell % classes, images[_by_loss(predictions, images)]))
    return pairs


def worst_images(predictions: Predictions, most: int = WORST_IMAGES) -> np.ndarray:
    """The positions of the images with the largest loss that are wrong, int [at most `most`]."""
    wrong = np.flatnonzero(~predictions.right)
    return wrong[_by_loss(predictions, wrong)][:most]


def class_scores(predictions: Predictions) -> list[ClassScore]:
    """The score of each class that has images, the worst first; of equals that of more images."""
    classes = len(predictions.wnids)
    counts = np.bincount(predictions.labels, minlength=classes).tolist()
    rights = np.bincount(predictions.labels, predictions.right, classes).astype(int).tolist()
    scores = [
        ClassScore(label, count, right, wilson_interval(right, count))
        for label, (count, right) in enumerate(zip(counts, rights, strict=True))
        if count
    ]
    return sorted(scores, key=lambda score: (score.accuracy, score.interval))


def pictured(predictions: Predictions) -> list[int]:
    """The positions of the images that are looked at, and are therefore saved as pictures."""
    galleries = [worst_images(predictions)]
    galleries += [pair.images[:PAIR_IMAGES] for pair in confused_pairs(predictions)]
    return np.unique(np.concatenate(galleries)).tolist()


def _by_loss(predictions: Predictions, positions: np.ndarray) -> np.ndarray:
    """The order of the largest loss first, and before these what is no number."""
    return np.argsort(-np.nan_to_num(predictions.losses[positions], nan=np.inf), kind="stable")
