"""Batches for training and for evaluation.

    records in order -> chunks: parse, draw, host chain -> batches -> device chain

The same flags and seed give the same bytes whatever the number of replicas, threads and restarts:
the order is a function of numbers (`order`), every draw a function of the example's own seed
(`draws`), and a global batch is a run of consecutive examples, of which each replica takes its
consecutive part.

A batch is a dict:

- `image`: uint8 [b, height, width, 3], RGB (evaluation by several views of an image: [b, views,
  height, width, 3], which the device chain takes as [b * views, height, width, 3]);
- `label`: int32 [b];
- `seed`: int32 [b, 2], the example's own;
- `position`: int64 [b], the running number of the example: in training over all epochs, in
  evaluation within the split;
- `drawn`: what the device chain drew for the batch;
- `weight` (evaluation): float32 [b], 1 for an image and 0 for padding.

`InputPipeline` is what is handed on: a data set, the flags and this host's part, with each chain
compiled once. Graphs are traced without AutoGraph, which has nothing to convert here and makes that
many times slower.
"""

import functools

import numpy as np
import tensorflow as tf

from base.errors import UserError
from data_prep import schema
from pipelines import whole_images
from pipelines.batches import BatchMaker, chunk_size
from pipelines.chain import Chains, compile_chains
from pipelines.config import OWN_SHARDS, SYNTHETIC, Phase, PipelineConfig
from pipelines.functions import draws
from pipelines.reading.dataset import Dataset
from pipelines.reading.order import ALONE, Host, Order


class InputPipeline:
    """Batches of one data set, by the flags, for one host.

    Attributes:
        dataset: the opened data set.
        config: the flags.
        host: which of the processes that train together this one is; each gets its consecutive part
            of every global batch, see --host_reading.
    """

    def __init__(self, dataset: Dataset, config: PipelineConfig, host: Host = ALONE):
        """Reads nothing yet."""
        self.dataset, self.config, self.host = dataset, config, host
        self._chains: dict[tuple[Phase, str], Chains] = {}

    def chains(self, phase: Phase, epoch: int = 0) -> Chains:
        """The chains of a phase, compiled once for each size of the images.

        Args:
            phase: of training or of evaluation.
            epoch: of the training, whose images may grow (--train_sizes).

        Raises:
            UserError: they cannot be read, make no sense, or crop more than is stored.
        """
        key = phase, self.config.host_map(phase, epoch)
        if key not in self._chains:
            self._chains[key] = compile_chains(self.dataset, self.config, phase, epoch)
        return self._chains[key]

    @functools.cached_property
    def steps_per_epoch(self) -> int:
        """Whole global batches in an epoch.

        Where hosts read shards of their own it is what the host with the fewest images can give,
        whichever shards it gets.

        Raises:
            UserError: there are fewer images than a global batch, or fewer shards than hosts.
        """
        config, directory = self.config, self.dataset.directory
        hosts = self.host.count if config.host_reading == OWN_SHARDS else 1
        counts = sorted(shard.records for shard in self.dataset.split(schema.TRAIN))
        if len(counts) < hosts:
            raise UserError(
                f"{directory} has {len(counts)} training shards for {hosts} hosts: build it "
                f"with --train_shards={hosts} or more"
            )
        images = sum(counts[: len(counts) // hosts]) if hosts > 1 else sum(counts)
        steps = images // (config.train_batch_size // hosts)
        if not steps:
            shared = f" in {len(counts)} shards for {hosts} hosts" if hosts > 1 else ""
            raise UserError(
                f"{directory} has {sum(counts):,} training images{shared}, fewer than "
                f"--train_batch_size={config.train_batch_size} takes: make it smaller"
            )
        return min(steps, config.overfit_batches) if config.overfit_batches else steps

    @tf.autograph.experimental.do_not_convert
    def train(
        self, batch_size: int, *, start: int = 0, epochs: int | None = None
    ) -> tf.data.Dataset:
        """Training batches.

        Args:
            batch_size: images of each batch: one replica's part of the global batch.
            start: global batches that have been consumed: delivery goes on with the next one. The
                images have the size of its epoch, so `epochs` has to end where --train_sizes
                changes.
            epochs: where to end, counted from the beginning; None: never.

        Raises:
            UserError: fewer images than a global batch, fewer shards than hosts, wrong chains.
        """
        config, steps, host = self.config, self.steps_per_epoch, self.host
        host_batch, rest = divmod(config.train_batch_size, host.count)
        if rest or host_batch % batch_size:
            raise ValueError(f"{batch_size=} does not divide {config.train_batch_size} on {host}")
        chains = self.chains(Phase.TRAIN, epoch=start // steps)
        if batch_size % 2 and chains.pairs:
            raise UserError(
                f"--train_device_map mixes examples in pairs, which a batch of {batch_size} on "
                "each replica would tear apart: choose an even --train_batch_size for each replica"
            )
        chunks = self.training_records(chunk_size(batch_size), start=start, epochs=epochs)

        def locate(epoch: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
            """Where chunks of the order that this host reads stand in the global one."""
            within = index
            if config.host_reading == OWN_SHARDS:
                within = index // host_batch * config.train_batch_size + host.index * host_batch
                within += index % host_batch
            frozen = tf.zeros_like(epoch) if config.overfit_batches else epoch
            return {
                "seed": draws.example_seeds(config.seed, frozen, within),
                "position": epoch * (steps * config.train_batch_size) + within,
            }

        return BatchMaker(self.dataset, config, chains).batches(chunks, locate, batch_size)

    @tf.autograph.experimental.do_not_convert
    def training_records(
        self, chunk: int, *, start: int = 0, epochs: int | None = None
    ) -> tf.data.Dataset:
        """What `train` makes batches of, in order; for `start` and `epochs` see there.

        Args:
            chunk: records in a chunk; it divides the host's part of a global batch.
            start: global batches that have been consumed.
            epochs: where to end.

        Returns:
            Elements (serialized records string [chunk], epoch int64 [], index of the chunk's first
            record int64 []: in the epoch, or with --host_reading=own_shards in the host's part of
            it).
        """
        config, steps, host = self.config, self.steps_per_epoch, self.host
        own, repeats = config.host_reading == OWN_SHARDS, config.repeated_augmentation
        read_batch = config.train_batch_size // host.count if own else config.train_batch_size
        length = steps * read_batch
        if config.data == SYNTHETIC:
            stop = np.iinfo(np.int64).max if epochs is None else epochs * length
            numbers = tf.data.Dataset.range(start * read_batch, stop, chunk)
            nothing = tf.fill([chunk], "")
            chunks = numbers.map(lambda number: (nothing, number // length, number % length))
            return chunks if own else _dealt(chunks, config.train_batch_size, host)
        images = -(-read_batch // repeats)  # of a batch
        order = Order(
            counts=tuple(shard.records for shard in self.dataset.split(schema.TRAIN)),
            length=steps * images,
            seed=config.seed,
            buffer=int(config.shuffle_buffer_mb * 2**20 / self.dataset.record_bytes(schema.TRAIN)),
            host=host if own else ALONE,
            same_every_epoch=config.overfit_batches > 0,
            cores=config.threads,
        )
        chunks = order.records(
            self.dataset.shard_opener(schema.TRAIN),
            chunk=images if repeats > 1 else chunk,
            epochs=-1 if epochs is None else epochs,
            start_epoch=start // steps,
            start_index=start % steps * images,
        )
        if repeats > 1:
            chunks = _repeated(chunks, read_batch, chunk)
        return chunks if own else _dealt(chunks, config.train_batch_size, host)

    def file_names(self, step: int) -> list[str]:
        """The source's names of the images of this host's part of one global batch, in its order.

        Where the records hold no names, positions stand for them.

        Args:
            step: global batches before the one asked for.
        """
        chunks = self.training_records(self.config.train_batch_size // self.host.count, start=step)
        records, epoch, first = next(iter(chunks))
        names = []
        for index, record in enumerate(records.numpy(), int(first)):
            features = tf.train.Example.FromString(record).features.feature
            stored = features[schema.FILE_NAME].bytes_list.value
            position = f"image {index} of epoch {int(epoch)}"
            names.append(stored[0].decode() if stored else position)
        return names

    @tf.autograph.experimental.do_not_convert
    def evaluate(
        self, batch_size: int, *, replicas: int = 1, split: str = schema.VALIDATION
    ) -> tf.data.Dataset:
        """Evaluation batches: every image of the split once, in stored order.

        The last ones are padded with images of weight 0, so that every batch is full and each of
        the replicas gets as many. A host gets its replicas' consecutive batches.

        Args:
            batch_size: images of each batch, for one replica.
            replicas: the number of batches of all hosts is a multiple of it.
            split: which images.
        """
        config, dataset = self.config, self.dataset
        count = dataset.num_records(split)
        full = -(-count // (batch_size * replicas)) * batch_size * replicas
        if config.data == SYNTHETIC:
            records = tf.data.Dataset.from_tensors("").repeat(full)
        else:
            records = dataset.records(split)
            padding = records.take(1).repeat(full - count)
            records = records.concatenate(padding)
        chunk = chunk_size(batch_size)
        epochs = tf.data.Dataset.from_tensors(tf.constant(0, tf.int64)).repeat()
        indices = tf.data.Dataset.range(0, full, chunk)
        chunks = tf.data.Dataset.zip((records.batch(chunk, drop_remainder=True), epochs, indices))
        chunks = _dealt(chunks, batch_size * replicas, self.host)

        def locate(epoch: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
            return {
                "seed": draws.example_seeds(config.seed, epoch, index),
                "position": index,
                "weight": tf.cast(index < count, tf.float32),
            }

        maker = BatchMaker(dataset, config, self.chains(Phase.EVAL))
        return maker.batches(chunks, locate, batch_size)

    def evaluate_whole_images(self, batch_size: int, *, split: str) -> tf.data.Dataset:
        """Evaluation batches of one image size each; see `whole_images`."""
        host = self.chains(Phase.EVAL).host
        return whole_images.evaluate(self.dataset, self.config, host, batch_size, split)


def _repeated(batches: tf.data.Dataset, batch: int, chunk: int) -> tf.data.Dataset:
    """Chunks of batches of `batch` records, each of which goes through its images several times.

    Hoffer et al. 2020 (arXiv:1901.09335), Berman et al. 2019 (arXiv:1902.05509, section 3.1). The
    images of a batch come one after another, and then again, each time with draws of their own, up
    to the size of the batch: 2048 are 683 images three times, but the last one twice. So functions
    that mix pairs mix different images. As in timm's and torchvision's samplers an epoch has as
    many examples as ever, and so the first part of its order of the images only; there the copies
    are neighbours, dealt out to the GPUs in turns.

    Args:
        batches: elements (the records of a batch, epoch, index of the first one in the epoch's).
        batch: examples of a batch.
        chunk: records in a chunk; it divides `batch`.
    """

    def chunks(records: tf.Tensor, epoch: tf.Tensor, index: tf.Tensor) -> tf.data.Dataset:
        images = tf.size(records, tf.int64)
        before = index // images * batch

        def part(first: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            places = (first + tf.range(chunk, dtype=tf.int64)) % images
            return tf.gather(records, places), epoch, before + first

        return tf.data.Dataset.range(0, batch, chunk).map(part)

    return batches.flat_map(chunks)


def _dealt(chunks: tf.data.Dataset, batch: int, host: Host) -> tf.data.Dataset:
    """The chunks of a host's consecutive part of every global batch."""
    if host.count == 1:
        return chunks
    part = batch // host.count
    return chunks.filter(lambda records, epoch, index: index // part % host.count == host.index)
