"""What an evaluation says of a split: from each image's class probabilities to one result."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainers.run_folder.predictions import Predictions
from trainers.scoring.mistakes import (
    class_scores,
    confused_pairs,
    reliability,
    wilson_interval,
)
from trainers.scoring.probabilities import log_softmax
from trainers.training.losses import TOP_K, correct


@dataclasses.dataclass(frozen=True)
class RealLabels:
    """ReaL labels (Beyer et al. 2020): for each image, by position, the labels that are right.

    Images with no label are left out of the ReaL accuracy, as there.
    """

    labels: Sequence[frozenset[int]]


class Tally:
    """Collects what an evaluation has to know of each image, by its position in the split."""

    def __init__(self, images: int, classes: int):
        """For a split of so many images, and a net of so many classes."""
        k = min(TOP_K, classes)
        self._label = np.full(images, -1, np.int64)
        self._first = np.zeros(images, bool)
        self._fifth = np.zeros(images, bool)
        self._top = np.full([images, k], -1, np.int64)
        self._probability = np.zeros([images, k])
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
        self._first[positions] = correct(ranked, labels, 1).numpy() > 0
        self._fifth[positions] = correct(ranked, labels, TOP_K).numpy() > 0
        finite = np.isfinite(ranked).all(axis=1)
        top = _likeliest(ranked[finite], labels[finite])
        self._top[positions[finite]] = top
        of_top = np.take_along_axis(probabilities[finite], top, axis=1)
        self._probability[positions[finite]] = of_top
        with np.errstate(divide="ignore"):
            logs = np.log(probabilities) if scores is None else log_softmax(scores)
        self._loss[positions] = -logs[rows, labels]

    def predictions(self, wnids: Sequence[str]) -> Predictions:
        """What was said of each image; the texts are still to come, but for the classes'."""
        if (self._label < 0).any():
            missing = int((self._label < 0).sum())
            raise AssertionError(f"{missing} of {len(self._label)} images were not scored")
        return Predictions(
            protocol="",
            split="",
            wnids=tuple(wnids),
            words=tuple(wnids),
            names=("",) * len(self._label),
            labels=self._label,
            top=self._top,
            probabilities=self._probability,
            losses=self._loss,
        )

    def result(self, wnids: Sequence[str], real: RealLabels | None = None) -> dict[str, Any]:
        """The result's figures, as the evaluation's JSON file has them.

        Accuracies are fractions; `top1_interval` and `top5_interval` are Wilson's 95 % intervals;
        `per_class` has each class's fraction of right images, without classes that have none;
        `most_confused` rows are [true WNID, predicted WNID, images], most first.

        Args:
            wnids: the classes in label order.
            real: ReaL labels, for `real_top1` over `real_images`.
        """
        found = self.predictions(wnids)
        images, first, fifth = len(self._label), self._first, self._fifth
        result: dict[str, Any] = {
            "images": images,
            "loss": float(self._loss.mean()),
            "top1": float(first.mean()),
            "top5": float(fifth.mean()),
            "interval": "Wilson, 95 %",
            "top1_interval": wilson_interval(first.sum(), images),
            "top5_interval": wilson_interval(fifth.sum(), images),
            "calibration_error": reliability(found.confidence, first).error,
            "per_class": {wnids[each.label]: each.accuracy for each in class_scores(found)},
            "most_confused": [
                [wnids[pair.label], wnids[pair.predicted], len(pair.images)]
                for pair in confused_pairs(found)
            ],
        }
        if real is not None:
            result |= self._against_real_labels(real)
        return result

    def _against_real_labels(self, real: RealLabels) -> Mapping[str, Any]:
        rights = [
            int(predicted) in allowed
            for predicted, allowed in zip(self._top[:, 0], real.labels, strict=True)
            if allowed
        ]
        count = len(rights)
        return {
            "real_images": count,
            "real_top1": sum(rights) / count if count else None,
            "real_top1_interval": wilson_interval(sum(rights), count),
        }


def _likeliest(ranked: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The classes that rank first, the label last among equals, as `losses.correct` has it.

    Args:
        ranked: float [k, N], finite.
        labels: int [k].

    Returns:
        int [k, 5], or [k, N] where there are fewer classes.
    """
    rows, places = np.arange(len(labels)), np.arange(min(TOP_K, ranked.shape[1]))
    own = ranked[rows, labels]
    others = np.array(ranked)
    others[rows, labels] = -np.inf
    rank = (others >= own[:, None]).sum(axis=1)[:, None]
    best = np.zeros([len(labels), len(places)], np.int64)
    for place in places:
        best[:, place] = others.argmax(axis=1)
        others[rows, best[:, place]] = -np.inf
    behind = np.roll(best, 1, axis=1)
    return np.where(places < rank, best, np.where(places == rank, labels[:, None], behind))
