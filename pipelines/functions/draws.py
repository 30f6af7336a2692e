"""Random draws as pure functions of an example's seed.

Every example has a seed of its own, a pair of 32-bit integers made from (run seed, epoch, position
in the epoch). What is drawn for it depends on that pair and on nothing else: not on the other
examples of the batch, the number of threads or of replicas.

`tf.random.stateless_*` takes one seed a call, which costs a call for each example. Here a whole
batch draws at once, through a counter-based integer hash. Only integer operations, table look-ups
and single additions and multiplications are used, because those are exact: a vectorised `exp`
differs in its last bit from the scalar one that handles a vector's rest, so that a crop would
depend on the size of the batch.
"""

import hashlib
from collections.abc import Callable

import numpy as np
import scipy.special
import tensorflow as tf

# Intervals of a quantile table: draws are exact to about 1e-5 of the distribution, and a normal
# one is at most 4.3 standard deviations.
_QUANTILES = 1 << 16

# Draws of one stream.
_STREAM = 32

# Constants: from the front for draws, from the back for places in a chain. From a standardised
# hash, as NumPy does not promise that its generators give the same numbers for ever.
_KEYS = (
    np.frombuffer(hashlib.shake_128(b"pipelines.draws").digest(4096 * 8), "<u4")
    .astype(np.uint32)
    .reshape(4096, 2)
)


def example_seeds(run_seed: int, epoch: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """The seeds of examples.

    Args:
        run_seed: any integer.
        epoch: int64 [...].
        index: int64 [...], the position in the epoch.

    Returns:
        int32 [..., 2].
    """
    run = np.array([run_seed & 0xFFFFFFFF, (run_seed >> 32) & 0xFFFFFFFF], np.uint32)
    state = _mix(tf.constant(run) + _KEYS[0])  # [2]
    for value in (epoch, index):
        state = _mix(state ^ tf.cast(value, tf.uint32)[..., tf.newaxis])
        # Each word takes in the other, or the pair would hold no more than one of them.
        state = _mix(state + tf.reverse(state, [-1]) * _KEYS[1] + _KEYS[2])
    return tf.bitcast(state, tf.int32)


def fold_in(seed: tf.Tensor, place: int) -> tf.Tensor:
    """Another seed, for the map function at a place of its chain: int32 [..., 2]."""
    return seed ^ tf.constant(_KEYS[-1 - place].view(np.int32))


def bits(seed: tf.Tensor, count: int, stream: int = 0) -> tf.Tensor:
    """Random words: uint32 [..., count] from seeds int32 [..., 2].

    Draws from one seed that must not depend on each other come from different streams.
    """
    if count > _STREAM:
        raise ValueError(f"a stream has {_STREAM} draws, not {count}")
    words = tf.bitcast(seed, tf.uint32)
    keys = _KEYS[stream * _STREAM :][:count]
    state = _mix(words[..., :1] ^ keys[:, 0])
    return _mix((state + words[..., 1:]) ^ keys[:, 1])


def uniform(seed: tf.Tensor, count: int, stream: int = 0) -> tf.Tensor:
    """Uniform on [0, 1), in steps of 2^-24: float32 [..., count]."""
    words = tf.bitwise.right_shift(bits(seed, count, stream), np.uint32(8))
    return tf.cast(words, tf.float32) * 2.0**-24


def normal(seed: tf.Tensor, count: int, stream: int = 0) -> tf.Tensor:
    """Standard normal: float32 [..., count]."""
    return distributed(scipy.special.ndtri, seed, count, stream)


def beta(seed: tf.Tensor, count: int, alpha: float, stream: int = 0) -> tf.Tensor:
    """Beta(alpha, alpha), on [0, 1]: float32 [..., count]."""
    return distributed(lambda p: scipy.special.betaincinv(alpha, alpha, p), seed, count, stream)


def distributed(
    quantile: Callable[[np.ndarray], np.ndarray], seed: tf.Tensor, count: int, stream: int = 0
) -> tf.Tensor:
    """Distributed as a quantile function says: float32 [..., count].

    The function is tabulated at the middles of 2^16 equal intervals of probability. Two functions
    with the same seed and stream give values for the same probability: a sine and its cosine.
    """
    table = quantile((np.arange(_QUANTILES) + 0.5) / _QUANTILES)
    index = tf.bitwise.right_shift(bits(seed, count, stream), np.uint32(16))
    return tf.gather(tf.constant(table, tf.float32), tf.cast(index, tf.int32))


def below(uniforms: tf.Tensor, limit: tf.Tensor) -> tf.Tensor:
    """Integers uniform on 0..limit-1 from uniforms: int32; `limit` (int32) at most 2^23."""
    return tf.cast(uniforms * tf.cast(limit, tf.float32), tf.int32)


def _mix(words: tf.Tensor) -> tf.Tensor:
    """A bijection of 32-bit words in which every input bit moves every output bit.

    Xor-shift and multiply, twice; the constants are Chris Wellons's `lowbias32`.
    """
    words ^= tf.bitwise.right_shift(words, np.uint32(16))
    words *= np.uint32(0x7FEB352D)
    words ^= tf.bitwise.right_shift(words, np.uint32(15))
    words *= np.uint32(0x846CA68B)
    return words ^ tf.bitwise.right_shift(words, np.uint32(16))
