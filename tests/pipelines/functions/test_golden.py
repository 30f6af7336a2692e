"""Draws are what they were when runs were recorded, whatever versions are installed now.

Seeds, words, uniforms and integers come of exact integer operations and single multiplications:
they are compared to the bit. Normal and beta draws are SciPy's quantile functions rounded to
float32; another version of SciPy may round the last bit of its float64 otherwise, which moves a
float32 by one unit in the last place at most, so that much is allowed.
"""

import numpy as np
import pytest
import tensorflow as tf

from pipelines.functions import draws


@pytest.fixture(scope="module")
def seeds() -> tf.Tensor:
    return draws.example_seeds(7, tf.constant(2, tf.int64), tf.range(5, dtype=tf.int64))


def test_seeds_words_and_integers_to_the_bit(seeds):
    assert seeds.numpy().tolist() == [
        [393603271, 1971226188],
        [-673981673, 8919984],
        [-1720964430, -1126503328],
        [695352693, -263307308],
        [-130698047, 1719269361],
    ]
    assert draws.bits(seeds[0], 3, 2).numpy().tolist() == [184877127, 4266852430, 377058117]
    assert draws.fold_in(seeds[0], 3).numpy().tolist() == [296879408, -1558684071]
    below = draws.below(draws.uniform(seeds[0], 6, 1), tf.constant(33))
    assert below.numpy().tolist() == [11, 2, 8, 28, 16, 0]


def test_uniforms_to_the_bit(seeds):
    golden = ("0x1.310380p-1", "0x1.68ffd4p-1", "0x1.0940fcp-2", "0x1.ca8748p-3")
    assert draws.uniform(seeds[0], 4).numpy().tolist() == [float.fromhex(text) for text in golden]


# fmt: off
NORMAL = (
    "0x1.f03acep-3", "0x1.13fd18p-1", "-0x1.4ae886p-1",
    "-0x1.84adecp-1", "0x1.ee239ep-2", "-0x1.25922ep+0",
)
BETA_02 = (
    "0x1.8c23e8p-1", "0x1.e4b308p-1", "0x1.d094dcp-6",
    "0x1.c48b02p-7", "0x1.dabf6cp-1", "0x1.98275ap-11",
)
BETA_15 = (
    "0x1.26a416p-1", "0x1.53ff06p-1", "0x1.3915dap-2",
    "0x1.19f0a0p-2", "0x1.4ba05ep-1", "0x1.779a08p-3",
)
# fmt: on


@pytest.mark.parametrize(
    ("draw", "golden"),
    [
        (lambda seed: draws.normal(seed, 6), NORMAL),
        (lambda seed: draws.beta(seed, 6, 0.2), BETA_02),
        (lambda seed: draws.beta(seed, 6, 1.5), BETA_15),
    ],
    ids=["normal", "beta(0.2)", "beta(1.5)"],
)
def test_normal_and_beta_draws_to_one_unit_in_the_last_place(seeds, draw, golden):
    values = draw(seeds[0]).numpy()
    assert values.dtype == np.float32
    wanted = np.array([float.fromhex(text) for text in golden], np.float32)
    np.testing.assert_array_max_ulp(values, wanted, maxulp=1)
