"""Batches as Keras takes them, `(images, labels)`: the pipeline's own, with the device chain."""

import tensorflow as tf

from base.errors import UserError
from data_prep import schema
from pipelines.chain import Batch, Chains
from pipelines.config import Phase, PipelineConfig
from pipelines.input_pipeline import InputPipeline
from pipelines.reading import dataset_options
from pipelines.reading.dataset import open_dataset


def load(config: PipelineConfig, split: str, epochs: int) -> tf.data.Dataset:
    """See `pipelines.load_batches`."""
    if split not in schema.SPLITS:
        raise UserError(f"there is no split {split!r}: there are {', '.join(schema.SPLITS)}")
    if epochs < 1:
        raise UserError(f"epochs={epochs} must be at least 1")
    pipeline = InputPipeline(open_dataset(config), config)
    if split == schema.TRAIN:
        if len(config.sizes_by_epoch()) > 1:
            raise UserError(
                f"--train_sizes={','.join(config.train_sizes)}: these batches have one image size: "
                "name one, train_sizes='0:SIZE'"
            )
        batches = pipeline.train(config.train_batch_size, epochs=epochs)
        length = epochs * pipeline.steps_per_epoch
        made = _labelled(batches, pipeline.chains(Phase.TRAIN), config)
    else:
        chains = pipeline.chains(Phase.EVAL)
        if len(chains.shape) > 3:
            raise UserError(
                f"--eval_map={config.eval_map} makes several views of each image: these batches "
                "have one, as of decode_center_crop"
            )
        length = -(-pipeline.dataset.num_records(split) // config.eval_batch_size)
        made = _labelled(pipeline.evaluate(config.eval_batch_size), chains, config)
    made = made.apply(tf.data.experimental.assert_cardinality(length))
    return made.prefetch(2).with_options(dataset_options.unattended())


def _labelled(batches: tf.data.Dataset, chains: Chains, config: PipelineConfig) -> tf.data.Dataset:
    @tf.autograph.experimental.do_not_convert
    def pair(batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        mapped = chains.on_device(batch)
        images, labels = mapped["image"], mapped["label"]
        if "weight" in batch:  # padding has none
            real = batch["weight"] > 0
            images, labels = tf.boolean_mask(images, real), tf.boolean_mask(labels, real)
        return images, labels

    return batches.map(pair, num_parallel_calls=config.threads)
