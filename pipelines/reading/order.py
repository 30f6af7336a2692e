"""The order of the records in every epoch: seeded, bounded in memory, and known without reading.

In an epoch the shards come in a seeded random order, a number of them are read in turns, and a
buffer of serialized records shuffles what they give. Each step depends on how many records there
are and not on what is in them, so the same steps over numbers instead of records say which record
comes when (`numbers`). Resuming in the middle of an epoch runs the same steps again with empty
strings in place of the records of every shard that has nothing left to give: those files are not
opened, and what follows is what would have followed.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pipelines.functions import draws

# Shards that are read in turns, one record each: neighbours in a file end up far apart.
CYCLE = 16

# One thread reads about 50,000 records of 30 KB a second, which this many cores can decode. Where
# there are more, several threads read, in the same order.
_CORES_OF_A_READER = 16


@dataclasses.dataclass(frozen=True)
class Host:
    """Which of the processes that train together this one is.

    Attributes:
        index: from 0.
        count: how many there are.
    """

    index: int = 0
    count: int = 1


ALONE = Host()


@dataclasses.dataclass(frozen=True)
class Order:
    """The order of one split's records.

    Attributes:
        counts: the records in each shard.
        length: the records that an epoch delivers; what is left at its end is dropped.
        seed: any integer.
        buffer: records that the shuffle buffer holds; 0 or 1: it does not shuffle.
        host: which of the reading processes this one is: an epoch's shards are dealt out to them in
            turns.
        same_every_epoch: whether every epoch has the order of the first.
        cores: of the machine; how the records are read depends on it, their order does not.
    """

    counts: tuple[int, ...]
    length: int
    seed: int
    buffer: int
    host: Host = ALONE
    same_every_epoch: bool = False
    cores: int = 1

    def records(
        self,
        open_shard: Callable[[tf.Tensor], tf.data.Dataset],
        *,
        chunk: int,
        epochs: int,
        start_epoch: int = 0,
        start_index: int = 0,
    ) -> tf.data.Dataset:
        """The records of all epochs, from a position on, in chunks.

        Args:
            open_shard: from a shard's number (int64 []) to its records, string [].
            chunk: records in a chunk; it divides an epoch's length and `start_index`.
            epochs: where to end; -1: never.
            start_epoch: the first epoch to deliver.
            start_index: the first position in it.

        Returns:
            Elements (records string [chunk], epoch int64 [], index in the epoch of the chunk's
            first record int64 []).
        """
        everything = np.ones(len(self.counts), bool)

        def chunks(epoch: tf.Tensor, needed: np.ndarray, start: int) -> tf.data.Dataset:
            def open_if_needed(shard: tf.Tensor) -> tf.data.Dataset:
                wanted = tf.gather(tf.constant(needed), shard)
                count = tf.gather(tf.constant(self.counts, tf.int64), shard)
                opened = tf.data.Dataset.from_tensors(shard).take(tf.cast(wanted, tf.int64))
                skipped = tf.data.Dataset.from_tensors("").repeat(
                    tf.where(wanted, tf.constant(0, tf.int64), count)
                )
                return opened.flat_map(open_shard).concatenate(skipped)

            opener = open_shard if needed.all() else open_if_needed
            # Zipped by chunk: for each record it costs 10 us, and a map that returns all three 40.
            records = self._arranged(epoch, opener).skip(start).batch(chunk, drop_remainder=True)
            everywhere = tf.data.Dataset.from_tensors(epoch).repeat()
            indices = tf.data.Dataset.range(start, self.length, chunk)
            return tf.data.Dataset.zip((records, everywhere, indices))

        def whole_epochs(start: int) -> tf.data.Dataset:
            stop = epochs if epochs >= 0 else np.iinfo(np.int64).max
            return tf.data.Dataset.range(start, stop).flat_map(
                lambda epoch: chunks(epoch, everything, 0)
            )

        if not start_index:
            return whole_epochs(start_epoch)
        needed = self._unfinished(start_epoch, start_index)
        first = chunks(tf.constant(start_epoch, tf.int64), needed, start_index)
        return first.concatenate(whole_epochs(start_epoch + 1))

    def numbers(self, epoch: int) -> np.ndarray:
        """The stored number of each record of an epoch in delivered order: int64 [length].

        Records are numbered through all shards, in stored order.
        """
        starts = tf.constant(np.cumsum([0, *self.counts[:-1]]), tf.int64)
        counts = tf.constant(self.counts, tf.int64)

        def count_shard(shard: tf.Tensor) -> tf.data.Dataset:
            start = tf.gather(starts, shard)
            return tf.data.Dataset.range(start, start + tf.gather(counts, shard))

        batches = self._arranged(tf.constant(epoch, tf.int64), count_shard).batch(1 << 16)
        return np.concatenate(list(batches.as_numpy_iterator()))

    def _arranged(
        self, epoch: tf.Tensor, open_shard: Callable[[tf.Tensor], tf.data.Dataset]
    ) -> tf.data.Dataset:
        if self.same_every_epoch:
            epoch = tf.zeros_like(epoch)
        # Below 0 there are no examples: the first seed is the buffer's, then one for each shard.
        places = tf.range(-1, -2 - len(self.counts), -1, tf.int64)
        seeds = draws.example_seeds(self.seed, epoch, places)
        shards = tf.argsort(seeds[1:, 0], stable=True)[self.host.index :: self.host.count]
        readers = min(-(-self.cores // _CORES_OF_A_READER), CYCLE)
        dataset = tf.data.Dataset.from_tensor_slices(tf.cast(shards, tf.int64)).interleave(
            open_shard,
            cycle_length=CYCLE,
            block_length=1,
            num_parallel_calls=readers if readers > 1 else None,
            deterministic=True if readers > 1 else None,
        )
        if self.buffer > 1:
            dataset = _shuffle(dataset, self.buffer, seeds[0])
        return dataset.take(self.length).apply(tf.data.experimental.assert_cardinality(self.length))

    def _unfinished(self, epoch: int, index: int) -> np.ndarray:
        """Which shards still have a record to give from position `index` on: bool [shards]."""
        shards = np.repeat(np.arange(len(self.counts)), self.counts)[self.numbers(epoch)]
        return np.bincount(shards[index:], minlength=len(self.counts)) > 0


def _shuffle(dataset: tf.data.Dataset, buffer: int, seed: tf.Tensor) -> tf.data.Dataset:
    """`dataset.shuffle` with both words of the seed given.

    The method makes one of them from `tf.random.set_seed`, and the order of the data must not
    depend on who called that.
    """
    words = tf.cast(seed, tf.int64)
    spec = dataset.element_spec
    shuffled = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(dataset),
        buffer_size=buffer,
        seed=words[0],
        seed2=words[1],
        output_types=[spec.dtype],
        output_shapes=[spec.shape],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(shuffled, spec)
