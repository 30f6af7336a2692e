"""Evaluation batches of whole images, one size a batch, for nets that take images of any size.

Records are grouped by their stored size while they are still encoded, so that what waits for its
batch to be full is small.
"""

import tensorflow as tf

from pipelines.chain import Chain
from pipelines.config import PipelineConfig
from pipelines.functions import draws
from pipelines.reading import dataset_options
from pipelines.reading.dataset import Dataset


@tf.autograph.experimental.do_not_convert
def evaluate(
    dataset: Dataset, config: PipelineConfig, host: Chain, batch_size: int, split: str
) -> tf.data.Dataset:
    """Every image of the split once, in no useful order.

    Args:
        dataset: the opened data set; not a synthetic one.
        config: the flags.
        host: the host chain; its images may have any size that follows from the stored.
        batch_size: images of a batch, at most; each size has one batch that is not full.
        split: which images.

    Returns:
        Dicts of `image` uint8 [k, height, width, 3], `label` int32 [k] and `position` int64 [k],
        the image's number within the split.
    """

    def size_of(position: tf.Tensor, record: tf.Tensor) -> tf.Tensor:
        example = dataset.parse(record[tf.newaxis])
        height, width = (tf.cast(example[name][0], tf.int64) for name in ("height", "width"))
        return height * 2**32 + width

    def made(position: tf.Tensor, record: tf.Tensor) -> dict[str, tf.Tensor]:
        examples = dataset.parse(record)
        drawn = host.draw(
            examples, draws.example_seeds(config.seed, tf.zeros_like(position), position)
        )
        images = host.images(examples, drawn, [None, None, 3])
        return {"image": images, "label": examples["label"], "position": position}

    grouped = (
        dataset.records(split)
        .enumerate()
        .group_by_window(
            size_of, lambda size, group: group.batch(batch_size), window_size=batch_size
        )
    )
    batches = grouped.map(made, num_parallel_calls=config.threads)
    return batches.prefetch(2).with_options(dataset_options.unattended())
