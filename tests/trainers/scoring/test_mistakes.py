"""What a net gets wrong, against slow loops."""

import numpy as np
import pytest

from tests.making.predictions import CLASSES, predictions_of
from trainers.scoring import mistakes
from trainers.scoring.tally import Tally
from trainers.training.losses import correct

RNG = np.random.default_rng(0)
IMAGES = 300
WNIDS = [f"n{label:08d}" for label in range(CLASSES)]


@pytest.fixture(scope="module")
def said():
    rows = RNG.dirichlet(np.ones(CLASSES), IMAGES)
    return predictions_of(RNG.integers(0, CLASSES, IMAGES), rows)


def test_the_likeliest_classes_are_those_that_count_as_right():
    # In eighths: many are equal, as those of a net that is half dead.
    rows = np.round(RNG.dirichlet(np.ones(CLASSES), IMAGES) * 8) / 8
    tally = Tally(IMAGES, CLASSES)
    tally.add(np.arange(IMAGES), RNG.integers(0, CLASSES, IMAGES), rows)
    said = tally.predictions(WNIDS)
    np.testing.assert_array_equal(said.right, correct(rows, said.labels, 1).numpy() > 0)
    fifth = (said.top == said.labels[:, None]).any(axis=1)
    np.testing.assert_array_equal(fifth, correct(rows, said.labels, 5).numpy() > 0)
    for label, top, probabilities, row in zip(
        said.labels, said.top, said.probabilities, rows, strict=True
    ):
        wanted = sorted(range(CLASSES), key=lambda c: (-row[c], c == label, c))[:5]
        assert top.tolist() == wanted
        np.testing.assert_array_equal(probabilities, row[wanted])


def test_the_confusion_matrix_counts_every_image_and_its_pairs_are_its_cells(said):
    matrix = mistakes.confusion_matrix(said)
    assert matrix.sum() == IMAGES and matrix.trace() == said.right.sum()
    for score in mistakes.class_scores(said):
        assert (score.images, score.right) == (
            matrix[score.label].sum(),
            matrix[score.label, score.label],
        )
        assert score.interval[0] <= score.accuracy <= score.interval[1]
    pairs = mistakes.confused_pairs(said)
    counts = [matrix[pair.label, pair.predicted] for pair in pairs]
    assert counts == sorted(counts, reverse=True) == [len(pair.images) for pair in pairs]
    wrong = matrix[~np.eye(CLASSES, dtype=bool)]
    assert counts == sorted(wrong[wrong > 0], reverse=True)[: len(counts)]
    for pair in pairs:
        assert (said.labels[pair.images] == pair.label).all()
        assert (said.top[pair.images, 0] == pair.predicted).all()
        losses = said.losses[pair.images].tolist()
        assert losses == sorted(losses, reverse=True)


def test_of_many_classes_those_with_the_most_mistakes_are_looked_at():
    matrix = np.diag([9, 9, 9, 9])
    matrix[3, 1], matrix[0, 2] = 5, 1
    assert mistakes.most_mistaken(matrix, 2).tolist() == [1, 3]
    assert mistakes.most_mistaken(matrix, 9).tolist() == [0, 1, 2, 3]


def test_the_worst_images_are_wrong_ones_and_no_number_is_worse_than_any():
    rows = np.full([4, CLASSES], 0.01)
    rows[0, 0], rows[1, 5], rows[2, 5] = 0.93, 0.93, 0.5
    rows[3] = np.nan
    said = predictions_of([0, 1, 5, 2], rows)
    assert mistakes.worst_images(said).tolist() == [3, 1]
    assert mistakes.pictured(said) == [1, 3]


def test_reliability_says_how_often_a_net_is_right_that_is_so_sure():
    found = mistakes.reliability(np.array([0.5, 0.5, 0.99, 1.0]), np.array([1, 0, 1, 1], bool))
    assert found.counts[7] == 2 and found.counts[-1] == 2 and found.counts.sum() == 4
    assert (found.confidence[7], found.accuracy[7], found.accuracy[-1]) == (0.5, 0.5, 1)
    assert np.isnan(found.accuracy[0])
    assert found.error == pytest.approx((1 - 0.995) / 2)
