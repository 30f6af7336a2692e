"""What an evaluation says of a split: from each image's class probabilities to one result."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainers.scoring.probabilities import log_softmax
from trainers.training.losses import TOP_K, correct

# Of the two-sided normal quantile: 95 %.
_Z = 1.959963984540054
CALIBRATION_BINS = 15  # Guo et al. 2017, section 4
CONFUSED_PAIRS = 20


def wilson_interval(successes: float, trials: int) -> tuple[float, float]:
    """The 95 % confidence interval of a fraction (Wilson 1927), which never leaves [0, 1]."""
    if trials == 0:
        return 0.0, 1.0
    fraction, square = successes / trials, _Z**2
    center = fraction + square / (2 * trials)
    half = _Z * math.sqrt(fraction * (1 - fraction) / trials + square / (4 * trials**2))
    low, high = (center - half) / (1 + square / trials), (center + half) / (1 + square / trials)
    return max(0.0, low), min(1.0, high)


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """The expected calibration error (Guo et al. 2017, equation 3), in 15 equal bins.

    Args:
        confidence: float [n], the probability of the predicted class.
        right: bool [n], whether it is the label.

    Returns:
        The mean over images of |accuracy - mean confidence| of the image's bin, a fraction.
    """
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, right - confidence, CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


@dataclasses.dataclass(frozen=True)
class RealLabels:
    """ReaL labels (Beyer et al. 2020): for each image, by position, the labels that are right.

    Images with no label are left out of the ReaL accuracy, as there.
    """

    labels: Sequence[frozenset[int]]


class Tally:
    """Collects what an evaluation has to know of each image, by its position in the split."""

    def __init__(self, images: int):
        """For a split of so many images."""
        self._label = np.full(images, -1, np.int64)
        self._first = np.zeros(images, bool)
        self._fifth = np.zeros(images, bool)
        self._predicted = np.zeros(images, np.int64)
        self._confidence = np.zeros(images)
        self._loss = np.zeros(images)

    def add(
        self,
        positions: np.ndarray,
        labels: np.ndarray,
        probabilities: np.ndarray,
        scores: np.ndarray | None = None,
    ) -> None:
        """Takes in images; `losses.correct` says which are right.

        Args:
            positions: int [k], each image's number in the split.
            labels: int [k].
            probabilities: float64 [k, N].
            scores: float [k, N], logits or log probabilities, where they are known: they tell
                apart what is one probability, and their loss is finite.
        """
        if len(np.unique(positions)) < len(positions) or (self._label[positions] >= 0).any():
            raise AssertionError("an image was scored twice")
        rows = np.arange(len(labels))
        ranked = probabilities if scores is None else scores
        self._label[positions] = labels
        self._first[positions] = first = correct(ranked, labels, 1).numpy() > 0
        self._fifth[positions] = correct(ranked, labels, TOP_K).numpy() > 0
        others = np.array(ranked)
        others[rows, labels] = -np.inf
        self._predicted[positions] = np.where(first, labels, others.argmax(axis=1))
        finite = np.isfinite(probabilities).all(axis=1)
        self._confidence[positions] = np.where(finite, probabilities.max(axis=1), 0.0)
        with np.errstate(divide="ignore"):
            logs = np.log(probabilities) if scores is None else log_softmax(scores)
        self._loss[positions] = -logs[rows, labels]

    def result(self, wnids: Sequence[str], real: RealLabels | None = None) -> dict[str, Any]:
        """The result's figures, as the evaluation's JSON file has them.

        Accuracies are fractions; `top1_interval` and `top5_interval` are Wilson's 95 % intervals;
        `per_class` has each class's fraction of right images, without classes that have none;
        `most_confused` rows are [true WNID, predicted WNID, images], most first.

        Args:
            wnids: the classes in label order.
            real: ReaL labels, for `real_top1` over `real_images`.
        """
        if (self._label < 0).any():
            missing = int((self._label < 0).sum())
            raise AssertionError(f"{missing} of {len(self._label)} images were not scored")
        images, first, fifth = len(self._label), self._first, self._fifth
        counts = np.bincount(self._label, minlength=len(wnids))
        rights = np.bincount(self._label, first, len(wnids))
        result: dict[str, Any] = {
            "images": images,
            "loss": float(self._loss.mean()),
            "top1": float(first.mean()),
            "top5": float(fifth.mean()),
            "interval": "Wilson, 95 %",
            "top1_interval": wilson_interval(first.sum(), images),
            "top5_interval": wilson_interval(fifth.sum(), images),
            "calibration_error": calibration_error(self._confidence, first),
            "per_class": {
                wnid: float(right / count)
                for wnid, right, count in zip(wnids, rights, counts, strict=True)
                if count
            },
            "most_confused": self._most_confused(wnids),
        }
        if real is not None:
            result |= self._against_real_labels(real)
        return result

    def _most_confused(self, wnids: Sequence[str]) -> list[list[Any]]:
        wrong = ~self._first
        pairs = self._label[wrong] * len(wnids) + self._predicted[wrong]
        found, counts = np.unique(pairs, return_counts=True)
        most = np.argsort(-counts, kind="stable")[:CONFUSED_PAIRS]
        return [
            [wnids[found[i] // len(wnids)], wnids[found[i] % len(wnids)], int(counts[i])]
            for i in most
        ]

    def _against_real_labels(self, real: RealLabels) -> Mapping[str, Any]:
        rights = [
            int(predicted) in allowed
            for predicted, allowed in zip(self._predicted, real.labels, strict=True)
            if allowed
        ]
        count = len(rights)
        return {
            "real_images": count,
            "real_top1": sum(rights) / count if count else None,
            "real_top1_interval": wilson_interval(sum(rights), count),
        }
