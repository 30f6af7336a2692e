"""Batches from records in order: parse, draw, host chain, then joined and prefetched."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pipelines.chain import Batch, Chains
from pipelines.config import SYNTHETIC, PipelineConfig
from pipelines.reading import dataset_options
from pipelines.reading.dataset import Dataset

# From the epoch, int64 [], and indices in it, int64 [k], to what a batch says about its examples.
Locate = Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]

# Examples that one call of the host chain makes, at most: enough that parsing, drawing and calling
# cost little for each, few enough that the calls in flight, one a core, stay small.
_MAX_CHUNK = 128


def chunk_size(batch_size: int) -> int:
    """The largest possible chunk that divides a batch."""
    return max(size for size in range(1, _MAX_CHUNK + 1) if batch_size % size == 0)


class BatchMaker:
    """Turns records in order into batches."""

    def __init__(self, dataset: Dataset, config: PipelineConfig, chains: Chains):
        """Makes batches by the chains of training or of evaluation."""
        self._dataset, self._config, self._chains = dataset, config, chains

    def batches(
        self,
        chunks: tf.data.Dataset,
        locate: Locate,
        batch_size: int,
    ) -> tf.data.Dataset:
        """Batches of `batch_size` from chunks (records, epoch, first index)."""
        chunk = chunk_size(batch_size)
        make = self._synthetic(chunk) if self._config.data == SYNTHETIC else self._decode

        def make_chunk(records: tf.Tensor, epoch: tf.Tensor, first: tf.Tensor) -> Batch:
            located = locate(epoch, first + tf.range(chunk, dtype=tf.int64))
            batch = make(records, located["seed"]) | located
            return batch | {"drawn": self._chains.device.draw(batch, batch["seed"])}

        def join(batch: Batch) -> Batch:
            return tf.nest.map_structure(
                lambda part: tf.reshape(part, [batch_size, *part.shape[2:]]), batch
            )

        made = chunks.map(
            make_chunk,
            num_parallel_calls=self._config.threads,
        )
        if chunk < batch_size:  # joining copies the images once more
            made = made.batch(batch_size // chunk, drop_remainder=True).map(join)
        return made.prefetch(2).with_options(dataset_options.unattended())

    def _decode(self, records: tf.Tensor, seed: tf.Tensor) -> Batch:
        """Parses, draws and runs the host chain for a whole chunk."""
        examples = self._dataset.parse(records)
        drawn = self._chains.host.draw(examples, seed)
        images = self._chains.host.images(examples, drawn, self._chains.shape)
        return {"image": images, "label": examples["label"]}

    def _synthetic(self, chunk: int) -> Callable[[tf.Tensor, tf.Tensor], Batch]:
        """Random pixels and labels, made once."""
        generator = np.random.default_rng(self._config.seed)
        pixels = generator.integers(0, 256, (chunk, *self._chains.shape), np.uint8)
        images = tf.constant(pixels)
        labels = tf.constant(generator.integers(0, self._dataset.num_classes, chunk), tf.int32)
        return lambda records, seed: {"image": images, "label": labels}
