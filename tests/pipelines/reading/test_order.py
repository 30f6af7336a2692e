"""The order of records: seeded, complete, well mixed, and resumed without reading what is done."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.reading.order import Host, Order

COUNTS = (13, 7, 11, 12, 9, 10, 8, 14)
TOTAL = sum(COUNTS)


def order(**changes) -> Order:
    arguments = {"counts": COUNTS, "length": 80, "seed": 1, "buffer": 10} | changes
    return Order(**arguments)


class Shards:
    """Shards whose records are their stored numbers as text; it knows which were opened."""

    def __init__(self, counts: Sequence[int] = COUNTS):
        self.opened: set[int] = set()
        self._bounds = tf.constant(np.cumsum([0, *counts]), tf.int64)

    def __call__(self, shard: tf.Tensor) -> tf.data.Dataset:
        def note(shard: tf.Tensor) -> tf.Tensor:
            self.opened.add(int(shard))
            return shard

        def read(shard: tf.Tensor) -> tf.data.Dataset:
            bounds = tf.gather(self._bounds, [shard, shard + 1])
            return tf.data.Dataset.range(bounds[0], bounds[1]).map(tf.strings.as_string)

        opened = tf.data.Dataset.from_tensors(shard)
        return opened.map(lambda shard: tf.py_function(note, [shard], tf.int64)).flat_map(read)


def numbered_shards(counts: Sequence[int]) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """The same as Shards, without note of what was opened."""
    bounds = tf.constant(np.cumsum([0, *counts]), tf.int64)

    def open_shard(shard: tf.Tensor) -> tf.data.Dataset:
        numbers = tf.data.Dataset.range(bounds[0], bounds[-1])
        skipped, end = tf.gather(bounds, shard), tf.gather(bounds, shard + 1)
        return numbers.skip(skipped).take(end - skipped).map(tf.strings.as_string)

    return open_shard


def delivered(order: Order, *, chunk: int = 1, **arguments) -> list[tuple[int, int, int]]:
    """(record, epoch, index in the epoch) one by one."""
    chunks = order.records(arguments.pop("shards", Shards()), chunk=chunk, **arguments)
    return [
        (int(record), int(epoch), int(first) + place)
        for records, epoch, first in chunks
        for place, record in enumerate(records.numpy())
    ]


def test_records_come_in_the_order_of_numbers():
    ours = delivered(order(), epochs=3)
    for epoch in range(3):
        part = ours[80 * epoch : 80 * (epoch + 1)]
        assert [record for record, _, _ in part] == order().numbers(epoch).tolist()
        assert [(e, i) for _, e, i in part] == [(epoch, index) for index in range(80)]


def test_chunks_hold_the_records_in_order():
    single = delivered(order(), epochs=2, start_index=20)
    assert delivered(order(), chunk=20, epochs=2, start_index=20) == single


def test_an_epoch_is_a_permutation_and_its_remainder_is_dropped():
    full = order(length=TOTAL).numbers(0)
    assert sorted(full) == list(range(TOTAL))
    np.testing.assert_array_equal(order(length=80).numbers(0), full[:80])


def test_seed_and_epoch_change_the_order_and_tensorflows_own_seed_does_not():
    first = order().numbers(0)
    assert not np.array_equal(first, order().numbers(1))
    assert not np.array_equal(first, order(seed=2).numbers(0))
    try:
        tf.random.set_seed(5)
        np.testing.assert_array_equal(first, order().numbers(0))
    finally:
        tf.random.set_seed(None)


def test_same_every_epoch():
    frozen = order(same_every_epoch=True)
    np.testing.assert_array_equal(frozen.numbers(0), frozen.numbers(7))


@pytest.mark.slow(reason="it traces 46 data sets")
@pytest.mark.parametrize("start", range(0, 160, 7))
def test_resuming_delivers_what_would_have_come(start):
    whole = delivered(order(), epochs=3)
    epoch, index = divmod(start, 80)
    assert delivered(order(), epochs=3, start_epoch=epoch, start_index=index) == whole[start:]


@st.composite
def resumed_orders(draw) -> tuple[Order, int, int]:
    """An order of any shards, a chunk that divides its epoch, and a chunk to resume at."""
    counts = draw(st.lists(st.integers(1, 9), min_size=1, max_size=7))
    hosts = draw(st.integers(1, min(3, len(counts))))
    most = sum(sorted(counts)[: len(counts) // hosts]) if hosts > 1 else sum(counts)
    chunk = draw(st.integers(1, min(most, 6)))
    made = Order(
        counts=tuple(counts),
        length=most // chunk * chunk,
        seed=draw(st.integers(-(2**63), 2**64)),
        buffer=draw(st.integers(0, 30)),
        host=Host(draw(st.integers(0, hosts - 1)), hosts),
        same_every_epoch=draw(st.booleans()),
    )
    return made, chunk, draw(st.integers(0, 3 * made.length // chunk - 1))


@pytest.mark.slow(reason="graphs for each example")
@settings(max_examples=5)
@given(case=resumed_orders())
def test_any_order_resumed_at_any_chunk_goes_on_as_it_would_have(case):
    made, chunk, start = case
    epoch, index = divmod(start * chunk, made.length)
    everything = made.records(numbered_shards(made.counts), chunk=chunk, epochs=3)
    later = made.records(
        numbered_shards(made.counts), chunk=chunk, epochs=3, start_epoch=epoch, start_index=index
    )
    whole = list(everything.as_numpy_iterator())
    assert len(whole) == 3 * made.length // chunk
    resumed = list(later.as_numpy_iterator())
    for ours, expected in zip(resumed, whole[start:], strict=True):
        assert (ours[0].tolist(), *ours[1:]) == (expected[0].tolist(), *expected[1:])
    for epoch in range(3):
        records = [int(r) for chunk, e, _ in whole if e == epoch for r in chunk]
        assert len(set(records)) == made.length
        assert records == made.numbers(epoch).tolist()


def test_resuming_does_not_open_finished_shards():
    narrow = order(counts=COUNTS * 4, length=TOTAL * 4, buffer=4)
    numbers = narrow.numbers(0)
    shard_of = np.repeat(np.arange(32), COUNTS * 4)
    finished = set(range(32)) - set(shard_of[numbers[300:]])
    assert len(finished) > 10

    shards = Shards(COUNTS * 4)
    rest = delivered(narrow, shards=shards, epochs=1, start_index=300)
    assert [record for record, _, _ in rest] == numbers[300:].tolist()
    assert shards.opened == set(range(32)) - finished


def test_hosts_share_out_the_shards_of_each_epoch():
    for epoch in (0, 1):
        parts = [
            order(host=Host(index, 2), length=30, buffer=20).numbers(epoch) for index in range(2)
        ]
        assert len(set(np.concatenate(parts))) == 60
    whole = [order(host=Host(index, 2), length=36).numbers(0) for index in range(2)]
    shard_of = np.repeat(np.arange(len(COUNTS)), COUNTS)
    assert not set(shard_of[whole[0]]) & set(shard_of[whole[1]])


def test_too_few_records_are_an_error_and_not_an_early_end():
    def short(shard):
        return tf.data.Dataset.from_tensors("1")

    with pytest.raises(tf.errors.FailedPreconditionError, match="80 elements"):
        delivered(order(), epochs=1, shards=short)


@pytest.mark.slow(reason="as many records as a tenth of ILSVRC, six times")
def test_a_large_data_set_is_well_mixed():
    """As many records and shards as a tenth of ILSVRC, and a buffer of 1 % of them."""
    count = 128_000
    large = Order(counts=(1000,) * 128, length=count, seed=0, buffer=1280)
    epochs = [large.numbers(epoch) for epoch in range(6)]
    correlations = [scipy.stats.spearmanr(np.arange(count), order).statistic for order in epochs]
    # Of shards in random order, 128 are drawn: 1 / sqrt(128) is the deviation to expect.
    assert np.abs(correlations).max() < 3 / np.sqrt(128)
    numbers = epochs[0]
    # Stored neighbours are far apart, and a batch holds records of all over the place.
    places = np.argsort(numbers)
    assert np.median(np.abs(np.diff(places))) > 500
    shards_in_a_batch = [len(set(batch // 1000)) for batch in numbers.reshape(-1, 128)]
    assert np.mean(shards_in_a_batch) > 12


def test_shuffling_in_the_buffer_is_what_mixes_a_single_shard():
    single = {"counts": (1000,), "length": 1000, "seed": 0}
    stored = Order(**single, buffer=0).numbers(0)
    np.testing.assert_array_equal(stored, np.arange(1000))
    shuffled = Order(**single, buffer=1000).numbers(0)
    assert abs(scipy.stats.spearmanr(np.arange(1000), shuffled).statistic) < 0.1
