"""What an evaluation says, against slow loops."""

import numpy as np
import pytest

from trainers.scoring.mistakes import reliability, wilson_interval
from trainers.scoring.tally import RealLabels, Tally

WNIDS = tuple(f"n{label:08d}" for label in range(8))
RNG = np.random.default_rng(0)


def tally(labels, probabilities) -> Tally:
    made = Tally(len(labels), len(WNIDS))
    order = RNG.permutation(len(labels))
    for part in np.array_split(order, 3):
        made.add(part, np.asarray(labels)[part], np.asarray(probabilities)[part])
    return made


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Newcombe 1998 (Statistics in Medicine 17), table I, method 3.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_is_that_of_the_literature(successes, trials, low, high):
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_accuracies_and_loss_equal_sorting():
    labels = RNG.integers(0, 8, 200)
    probabilities = RNG.dirichlet(np.ones(8), 200)
    result = tally(labels, probabilities).result(WNIDS)
    ranked = np.argsort(-probabilities, axis=1)
    first = ranked[:, 0] == labels
    fifth = (ranked[:, :5] == labels[:, None]).any(axis=1)
    assert result["images"] == 200
    assert result["top1"] == pytest.approx(first.mean())
    assert result["top5"] == pytest.approx(fifth.mean())
    assert result["loss"] == pytest.approx(-np.log(probabilities[range(200), labels]).mean())
    assert result["top1_interval"] == wilson_interval(first.sum(), 200)
    for label, wnid in enumerate(WNIDS):
        assert result["per_class"][wnid] == pytest.approx(first[labels == label].mean())


def test_calibration_error_equals_a_loop_over_bins():
    confidence = RNG.uniform(0.1, 1, 500)
    right = RNG.uniform(size=500) < confidence**2
    wanted = 0.0
    for index in range(15):
        inside = (confidence > index / 15) & (confidence <= (index + 1) / 15)
        if inside.any():
            wanted += inside.sum() * abs(right[inside].mean() - confidence[inside].mean())
    assert reliability(confidence, right).error == pytest.approx(wanted / 500)
    assert wanted / 500 > 0.1
    assert reliability(np.ones(4), np.ones(4, bool)).error == 0


def test_the_most_confused_pairs_come_first():
    labels = [3] * 5 + [2] * 4 + [1] * 3
    predicted = [*(3, 7, 7, 7, 0), *(6, 6, 2, 2), *(1, 1, 1)]
    result = tally(labels, np.eye(8)[predicted]).result(WNIDS)
    assert result["most_confused"] == [
        [WNIDS[3], WNIDS[7], 3],
        [WNIDS[2], WNIDS[6], 2],
        [WNIDS[3], WNIDS[0], 1],
    ]
    assert set(result["per_class"]) == {WNIDS[1], WNIDS[2], WNIDS[3]}


def test_an_image_that_is_not_finite_is_never_right():
    probabilities = np.full([2, 8], np.nan)
    result = tally([0, 1], probabilities).result(WNIDS)
    assert (result["top1"], result["top5"]) == (0.0, 0.0)


def test_images_scored_twice_or_never_are_noticed():
    made = Tally(3, 8)
    made.add(np.array([0, 2]), np.array([1, 1]), np.full([2, 8], 1 / 8))
    with pytest.raises(AssertionError, match="1 of 3 images were not scored"):
        made.result(WNIDS)
    with pytest.raises(AssertionError, match="twice"):
        made.add(np.array([2]), np.array([1]), np.full([1, 8], 1 / 8))


def test_real_labels_allow_several_and_leave_out_images_without():
    real = RealLabels([frozenset({1, 2}), frozenset(), frozenset({0}), frozenset({7})])
    result = tally([0, 1, 2, 7], np.eye(8)[[2, 1, 2, 7]]).result(WNIDS, real)
    assert result["real_images"] == 3
    assert result["real_top1"] == pytest.approx(2 / 3)
    assert result["top1"] == pytest.approx(3 / 4)
