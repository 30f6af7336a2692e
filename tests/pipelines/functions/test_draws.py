"""Random draws: pure functions of the seed, exact in any batch, distributed as they say."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from pipelines.functions import draws

COUNT = 50_000

PINNED_SEED = [679504938, -395163061]
PINNED_BITS = [161697075, 2683091065]


@pytest.fixture(scope="module")
def seeds():
    return draws.example_seeds(3, tf.constant(1, tf.int64), tf.range(COUNT, dtype=tf.int64))


def test_seeds_differ_between_examples_epochs_and_runs(seeds):
    index = tf.range(COUNT, dtype=tf.int64)
    others = [
        draws.example_seeds(3, tf.constant(2, tf.int64), index),
        draws.example_seeds(4, tf.constant(1, tf.int64), index),
        draws.example_seeds(3 + (1 << 32), tf.constant(1, tf.int64), index),
    ]
    everything = np.concatenate([seeds, *others]).view(np.int64)
    assert len(np.unique(everything)) == 4 * COUNT


def test_draws_stay_what_they_were_when_runs_were_recorded():
    seed = draws.example_seeds(7, tf.constant(2, tf.int64), tf.constant(5, tf.int64))
    assert seed.numpy().tolist() == PINNED_SEED
    assert draws.bits(seed, 2, 1).numpy().tolist() == PINNED_BITS


@pytest.mark.parametrize(
    "draw",
    [
        lambda seed: draws.uniform(seed, 3),
        lambda seed: draws.normal(seed, 3),
        lambda seed: draws.beta(seed, 3, 0.2),
        lambda seed: draws.below(draws.uniform(seed, 3), tf.constant(33)),
    ],
)
def test_the_same_bits_in_any_batch_and_inside_a_graph(seeds, draw):
    whole = draw(seeds[:37]).numpy()
    for size in (1, 4, 37):
        parts = [draw(seeds[start : start + size]) for start in range(0, 37, size)]
        np.testing.assert_array_equal(np.concatenate(parts)[:37], whole)
    np.testing.assert_array_equal(draw(seeds[5]), whole[5])
    np.testing.assert_array_equal(tf.function(draw)(seeds[:37]), whole)
    np.testing.assert_array_equal(tf.function(draw, jit_compile=True)(seeds[:37]), whole)


@pytest.mark.parametrize(
    ("draw", "distribution"),
    [
        (lambda seed: draws.uniform(seed, 1), scipy.stats.uniform),
        (lambda seed: draws.normal(seed, 1), scipy.stats.norm),
        (lambda seed: draws.beta(seed, 1, 1.5), scipy.stats.beta(1.5, 1.5)),
    ],
)
def test_distributions(seeds, draw, distribution):
    values = draw(seeds).numpy().ravel()
    assert scipy.stats.kstest(values, distribution.cdf).pvalue > 0.01


def test_strongly_bent_beta_in_its_lower_half(seeds):
    # Near 1 float32 has no room for what Beta(0.2, 0.2) puts there.
    values = draws.beta(seeds, 1, 0.2).numpy().ravel()
    lower = values[values < 0.5]
    assert abs(len(lower) / COUNT - 0.5) < 0.01
    expected = scipy.stats.beta(0.2, 0.2)
    assert scipy.stats.kstest(lower, lambda x: 2 * expected.cdf(x)).pvalue > 0.01


def test_below_gives_each_integer_as_often(seeds):
    values = draws.below(draws.uniform(seeds, 1), tf.constant(33)).numpy().ravel()
    assert scipy.stats.chisquare(np.bincount(values, minlength=33)).pvalue > 0.01


def test_draws_streams_places_and_neighbours_are_uncorrelated(seeds):
    columns = [
        draws.uniform(seeds, 2),
        draws.uniform(seeds, 2, 1),
        draws.uniform(draws.fold_in(seeds, 0), 1),
        draws.uniform(draws.fold_in(seeds, 1), 1),
        tf.roll(draws.uniform(seeds, 1), 1, 0),
    ]
    correlation = np.corrcoef(np.concatenate(columns, axis=1).T) - np.eye(7)
    assert np.abs(correlation).max() < 4 / np.sqrt(COUNT)


def test_a_stream_has_an_end(seeds):
    with pytest.raises(ValueError, match="a stream has"):
        draws.bits(seeds, 33)
