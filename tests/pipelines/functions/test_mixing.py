"""Mixup and CutMix, against their definitions."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from pipelines.functions import draws
from pipelines.functions.mixing import cutmix, mixup, mixup_or_cutmix
from tests.making.datasets import pixels, sample_photographs

COUNT = 4000
SEEDS = draws.example_seeds(4, tf.constant(0, tf.int64), tf.range(COUNT, dtype=tf.int64))
CLASSES = 5
LABELS = np.array([0, 1, 2, 3, 4, 4], np.int32)


@pytest.fixture(scope="module")
def batch(sample_dir):
    images = [pixels(encoded)[:60, :80] for encoded in sample_photographs(sample_dir, 6)]
    return {"image": tf.constant(np.stack(images)), "label": tf.constant(LABELS)}


def test_mixup_blends_pairs(batch):
    function = mixup(0.2, num_classes=CLASSES)
    share = function.draw(batch, SEEDS[:6])["share"].numpy()
    mixed = function(batch, SEEDS[:6])
    images = batch["image"].numpy().astype(float)
    for index in range(6):
        partner, weight = index ^ 1, share[index - index % 2]
        reference = weight * images[index] + (1 - weight) * images[partner]
        np.testing.assert_allclose(mixed["image"][index], reference, atol=1e-3)
        label = np.zeros(CLASSES)
        label[LABELS[index]] += weight
        label[LABELS[partner]] += 1 - weight
        np.testing.assert_allclose(mixed["label"][index], label, atol=1e-6)


def test_mixup_share_is_beta_distributed():
    share = mixup(1.5, num_classes=CLASSES).draw({}, SEEDS)["share"].numpy()
    assert scipy.stats.kstest(share, scipy.stats.beta(1.5, 1.5).cdf).pvalue > 0.01


def test_cutmix_pastes_a_rectangle_and_mixes_labels_by_its_area(batch):
    function = cutmix(1.0, num_classes=CLASSES)
    mixed = function(batch, SEEDS[:6])
    images = batch["image"].numpy()
    for index in range(6):
        partner = index ^ 1
        ours = mixed["image"][index].numpy()
        pasted = (ours != images[index]).any(-1)
        assert (ours[pasted] == images[partner][pasted]).all()
        rows, columns = np.nonzero(pasted.any(1))[0], np.nonzero(pasted.any(0))[0]
        area = (np.ptp(rows) + 1) * (np.ptp(columns) + 1) / pasted.size if len(rows) else 0
        label = np.zeros(CLASSES)
        label[LABELS[index]] += 1 - area
        label[LABELS[partner]] += area
        # Where two photographs have the same pixel at a corner, the rectangle looks smaller.
        np.testing.assert_allclose(mixed["label"][index], label, atol=0.05)


def test_cutmix_covers_what_yuns_rule_covers():
    function = cutmix(1.0, num_classes=2)
    image = np.zeros([2000, 32, 40, 1], np.uint8)
    image[1::2] = 1
    batch = {"image": tf.constant(image), "label": tf.zeros([2000], tf.int32)}
    ours = function(batch, SEEDS[:2000])["image"].numpy()[::2]
    generator = np.random.default_rng(0)
    share, y, x = generator.uniform(size=(3, 1000))
    half = np.sqrt(1 - share) / 2
    reference = (np.minimum(y + half, 1) - np.maximum(y - half, 0)) * (
        np.minimum(x + half, 1) - np.maximum(x - half, 0)
    )
    assert scipy.stats.ks_2samp(ours.mean((1, 2, 3)), reference).pvalue > 0.01


def test_one_of_both_for_each_pair(batch):
    function = mixup_or_cutmix(0.4, 1.0, num_classes=CLASSES)
    drawn = function.draw({}, SEEDS)
    cuts = drawn["cut"].numpy()
    assert scipy.stats.binomtest(int(cuts.sum()), COUNT).pvalue > 0.01
    shares = drawn["share"].numpy()
    assert scipy.stats.kstest(shares[cuts], scipy.stats.uniform.cdf).pvalue > 0.01
    lower = shares[~cuts & (shares < 0.5)]
    expected = scipy.stats.beta(0.4, 0.4)
    assert scipy.stats.kstest(lower, lambda x: 2 * expected.cdf(x)).pvalue > 0.01
    choice = np.repeat(cuts[:6:2], 2)
    mixed = function(batch, SEEDS[:6])["image"].numpy()
    fractional = (mixed != np.round(mixed)).any((1, 2, 3))
    np.testing.assert_array_equal(fractional, ~choice)


@pytest.mark.parametrize("function", [mixup(0.2, num_classes=5), cutmix(1.0, num_classes=5)])
def test_a_pair_is_mixed_alike_in_any_even_part_of_the_batch(batch, function):
    whole = function(batch, SEEDS[:6])
    for start in (0, 2, 4):
        part = function(
            {name: value[start : start + 2] for name, value in batch.items()},
            SEEDS[start : start + 2],
        )
        for name in ("image", "label"):
            np.testing.assert_array_equal(part[name], whole[name][start : start + 2])


def test_labels_that_are_mixed_already_are_mixed_again(batch):
    once = mixup(0.2, num_classes=CLASSES)(batch, SEEDS[:6])
    twice = cutmix(1.0, num_classes=CLASSES)(once, SEEDS[6:12])
    np.testing.assert_allclose(tf.reduce_sum(twice["label"], 1), np.ones(6), atol=1e-6)


@pytest.mark.parametrize("factory", [mixup, cutmix])
def test_alpha_is_above_0(factory):
    with pytest.raises(ValueError, match="alpha"):
        factory(0.0, num_classes=2)
