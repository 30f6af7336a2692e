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

Graphs are traced without AutoGraph, which has nothing to convert here and makes that many times
slower.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from base.commandline import UserError
from data_prep import schema
from pipelines.batches import Batch, BatchMaker, chunk_size, device_chain_of, host_map_of
from pipelines.chain import host_chain, output_shape
from pipelines.config import OWN_SHARDS, SYNTHETIC, PipelineConfig
from pipelines.functions import draws
from pipelines.functions.decoders import JpegDecoder
from pipelines.reading.dataset import Dataset
from pipelines.reading.order import Order


@tf.autograph.experimental.do_not_convert
def train(
    dataset: Dataset,
    config: PipelineConfig,
    *,
    batch_size: int,
    start: int = 0,
    epochs: int | None = None,
    host: int = 0,
    hosts: int = 1,
) -> tf.data.Dataset:
    """Training batches for one host.

    Args:
        dataset: the opened data set.
        config: the flags.
        batch_size: images of each batch: one replica's part of the global batch.
        start: global batches that have been consumed: delivery goes on with the next one. The
            images have the size of its epoch, so `epochs` has to end where --train_sizes changes.
        epochs: where to end, counted from the beginning; None: never.
        host: which of `hosts` this process is; each gets its consecutive part of every global
            batch, see --host_reading.
        hosts: processes that train together.

    Raises:
        UserError: fewer images than a global batch, fewer shards than hosts, wrong chains.
    """
    steps = steps_per_epoch(dataset, config, hosts=hosts)
    host_batch, rest = divmod(config.train_batch_size, hosts)
    if rest or host_batch % batch_size:
        raise ValueError(f"{batch_size=} does not divide {config.train_batch_size} on {hosts=}")
    maker = BatchMaker(dataset, config, host_map_of(config, training=True, epoch=start // steps))
    if batch_size % 2 and maker.pairs:
        raise UserError(
            f"--train_device_map mixes examples in pairs, which a batch of {batch_size} on each "
            "replica would tear apart: choose an even --train_batch_size for each replica"
        )
    chunks = training_records(
        dataset,
        config,
        chunk=chunk_size(batch_size),
        start=start,
        epochs=epochs,
        host=host,
        hosts=hosts,
    )

    def locate(epoch: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """Where chunks of the order that this host reads stand in the global one."""
        within = index
        if config.host_reading == OWN_SHARDS:
            within = index // host_batch * config.train_batch_size + host * host_batch
            within += index % host_batch
        frozen = tf.zeros_like(epoch) if config.overfit_batches else epoch
        return {
            "seed": draws.example_seeds(config.seed, frozen, within),
            "position": epoch * (steps * config.train_batch_size) + within,
        }

    return maker.batches(chunks, locate, batch_size)


@tf.autograph.experimental.do_not_convert
def training_records(
    dataset: Dataset,
    config: PipelineConfig,
    *,
    chunk: int,
    start: int = 0,
    epochs: int | None = None,
    host: int = 0,
    hosts: int = 1,
) -> tf.data.Dataset:
    """What `train` makes batches of, in order; for most arguments see there.

    Args:
        chunk: records in a chunk; it divides the host's part of a global batch.

    Returns:
        Elements (serialized records string [chunk], epoch int64 [], index of the chunk's first
        record int64 []: in the epoch, or with --host_reading=own_shards in the host's part of it).
    """
    steps = steps_per_epoch(dataset, config, hosts=hosts)
    own = config.host_reading == OWN_SHARDS
    read_batch = config.train_batch_size // hosts if own else config.train_batch_size
    length = steps * read_batch
    if config.data == SYNTHETIC:
        stop = np.iinfo(np.int64).max if epochs is None else epochs * length
        numbers = tf.data.Dataset.range(start * read_batch, stop, chunk)
        nothing = tf.fill([chunk], "")
        chunks = numbers.map(lambda number: (nothing, number // length, number % length))
        return chunks if own else _dealt(chunks, config.train_batch_size, host, hosts)
    order = Order(
        counts=tuple(shard.records for shard in dataset.split(schema.TRAIN)),
        length=length,
        seed=config.seed,
        buffer=int(config.shuffle_buffer_mb * 2**20 / dataset.record_bytes(schema.TRAIN)),
        host=host if own else 0,
        hosts=hosts if own else 1,
        same_every_epoch=config.overfit_batches > 0,
    )
    chunks = order.records(
        dataset.shard_opener(schema.TRAIN),
        chunk=chunk,
        epochs=-1 if epochs is None else epochs,
        start_epoch=start // steps,
        start_index=start % steps * read_batch,
    )
    return chunks if own else _dealt(chunks, config.train_batch_size, host, hosts)


def _dealt(chunks: tf.data.Dataset, batch: int, host: int, hosts: int) -> tf.data.Dataset:
    """The chunks of a host's consecutive part of every global batch."""
    if hosts == 1:
        return chunks
    part = batch // hosts
    return chunks.filter(lambda records, epoch, index: index // part % hosts == host)


def file_names(
    dataset: Dataset, config: PipelineConfig, step: int, host: int = 0, hosts: int = 1
) -> list[str]:
    """The source's names of the images of a host's part of one global batch, in its order.

    Args:
        dataset: the opened data set; where its records hold no names, positions stand for them.
        config: the flags.
        step: global batches before the one asked for.
        host: which of `hosts` this process is.
        hosts: processes that train together.
    """
    chunks = training_records(
        dataset,
        config,
        chunk=config.train_batch_size // hosts,
        start=step,
        host=host,
        hosts=hosts,
    )
    records, epoch, first = next(iter(chunks))
    names = []
    for index, record in enumerate(records.numpy(), int(first)):
        stored = (
            tf.train.Example.FromString(record).features.feature[schema.FILE_NAME].bytes_list.value
        )
        position = f"image {index} of epoch {int(epoch)}"
        names.append(stored[0].decode() if stored else position)
    return names


@tf.autograph.experimental.do_not_convert
def evaluate(
    dataset: Dataset,
    config: PipelineConfig,
    *,
    batch_size: int,
    replicas: int = 1,
    split: str = schema.VALIDATION,
    host: int = 0,
    hosts: int = 1,
) -> tf.data.Dataset:
    """Evaluation batches for one host: every image of the split once, in stored order.

    The last ones are padded with images of weight 0, so that every batch is full and each of the
    replicas gets as many.

    Args:
        dataset: the opened data set.
        config: the flags.
        batch_size: images of each batch, for one replica.
        replicas: the number of batches of all hosts is a multiple of it.
        split: which images.
        host: which of `hosts` this process is; each gets its replicas' consecutive batches.
        hosts: processes that evaluate together.
    """
    count = dataset.num_records(split)
    full = -(-count // (batch_size * replicas)) * batch_size * replicas
    maker = BatchMaker(dataset, config, host_map_of(config, training=False))
    if config.data == SYNTHETIC:
        records = tf.data.Dataset.from_tensors("").repeat(full)
    else:
        opener = dataset.shard_opener(split)
        records = tf.data.Dataset.range(len(dataset.split(split))).flat_map(opener)
        records = records.apply(tf.data.experimental.assert_cardinality(count))
        padding = records.take(1).repeat(full - count)
        records = records.concatenate(padding)
    chunk = chunk_size(batch_size)
    epochs = tf.data.Dataset.from_tensors(tf.constant(0, tf.int64)).repeat()
    indices = tf.data.Dataset.range(0, full, chunk)
    chunks = tf.data.Dataset.zip((records.batch(chunk, drop_remainder=True), epochs, indices))
    chunks = _dealt(chunks, batch_size * replicas, host, hosts)

    def locate(epoch: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            "seed": draws.example_seeds(config.seed, epoch, index),
            "position": index,
            "weight": tf.cast(index < count, tf.float32),
        }

    return maker.batches(chunks, locate, batch_size)


def device_map(
    dataset: Dataset, config: PipelineConfig, training: bool
) -> Callable[[Batch], Batch]:
    """The device chain, for the inside of a replica's step.

    Returns:
        A function from a batch to a batch without `drawn`, whose images are float32. A batch that
        has no `drawn` is drawn for on the spot, from its `seed`.
    """
    chain = device_chain_of(dataset, config, training)

    def apply(batch: Batch) -> Batch:
        example = {name: value for name, value in batch.items() if name != "drawn"}
        drawn = batch["drawn"] if "drawn" in batch else chain.draw(batch, batch.get("seed"))
        example = chain.apply(example, drawn)
        return example | {"image": tf.cast(example["image"], tf.float32)}

    return apply


def steps_per_epoch(dataset: Dataset, config: PipelineConfig, *, hosts: int = 1) -> int:
    """Whole global batches in an epoch.

    Where hosts read shards of their own it is what the host with the fewest images can give,
    whichever shards it gets.

    Raises:
        UserError: there are fewer images than a global batch, or fewer shards than hosts.
    """
    if config.host_reading != OWN_SHARDS:
        hosts = 1
    counts = sorted(shard.records for shard in dataset.split(schema.TRAIN))
    if len(counts) < hosts:
        raise UserError(
            f"{dataset.directory} has {len(counts)} training shards for {hosts} hosts: build it "
            f"with --train_shards={hosts} or more"
        )
    images = sum(counts[: len(counts) // hosts]) if hosts > 1 else sum(counts)
    steps = images // (config.train_batch_size // hosts)
    if not steps:
        shared = f" in {len(counts)} shards for {hosts} hosts" if hosts > 1 else ""
        raise UserError(
            f"{dataset.directory} has {sum(counts):,} training images{shared}, fewer than "
            f"--train_batch_size={config.train_batch_size} takes: make it smaller"
        )
    return min(steps, config.overfit_batches) if config.overfit_batches else steps


def image_size(config: PipelineConfig, *, training: bool = True, epoch: int = 0) -> tuple[int, int]:
    """Height and width, in pixels, of the images of training in an epoch, or of evaluation."""
    zeros = np.zeros(3)
    blank = schema.Statistics(zeros, zeros, zeros, np.zeros([3, 3]), None)
    given = {"decoder": JpegDecoder(), "statistics": blank, "num_classes": 1}
    flag, chain = host_map_of(config, training=training, epoch=epoch)
    height, width, _ = output_shape(host_chain(chain, flag, **given), flag)
    return height, width
