"""Class probabilities of every image of a split, by one net and one way of showing it images."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines import input_pipeline, whole_images
from pipelines.config import PipelineConfig
from pipelines.reading.dataset import Dataset
from trainers.scoring.protocols import Views

DeviceMap = Callable[[input_pipeline.Batch], input_pipeline.Batch]


def class_probabilities(
    model: keras.Model,
    dataset: Dataset,
    config: PipelineConfig,
    views: Views,
    strategy: tf.distribute.Strategy,
    split: str,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Every image of the split once, some images at a time.

    Args:
        model: from float32 images to logits; with `views.whole`, to the mean logits of images of
            any size.
        dataset: the opened data set.
        config: the flags; `eval_map` is the views'.
        views: what is shown of an image.
        strategy: the replicas, which take consecutive parts of what is scored at a time.
        split: which images.

    Yields:
        (position int64 [k], label int32 [k], probability float64 [k, N]), the mean over views.
    """
    replicas = strategy.num_replicas_in_sync
    # The views of as many images as make a batch of the run's size.
    images = max(1, config.eval_batch_size // views.count)
    images = -(-images // replicas) * replicas
    if views.whole:
        batches = whole_images.evaluate(dataset, config, batch_size=images, split=split)
    else:
        batches = input_pipeline.evaluate(dataset, config, batch_size=images, split=split)
    device_map = input_pipeline.device_map(dataset, config, training=False)
    step = _step(model, device_map, strategy, views, batches.element_spec["image"].shape[1:])
    for batch in batches:
        arrays = {name: batch[name].numpy() for name in ("position", "label")}
        real = batch["weight"].numpy() > 0 if "weight" in batch else slice(None)
        found = _over_replicas(step, batch["image"], strategy)
        yield arrays["position"][real], arrays["label"][real], found[real]


def _step(
    model: keras.Model,
    device_map: DeviceMap,
    strategy: tf.distribute.Strategy,
    views: Views,
    shape: tf.TensorShape,
) -> Callable[[tf.Tensor], Any]:
    """The compiled step: uint8 [replicas, k, *shape] -> float64 [k, N] of each replica.

    Traced once: every image size and number of images is its own otherwise.
    """
    if isinstance(model.output, Mapping):  # auxiliary heads are for training
        model = keras.Model(model.input, model.output["logits"])

    def of_part(images: tf.Tensor) -> tf.Tensor:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        image = tf.ensure_shape(images[replica], [None, *shape])
        shown = image if image.shape.rank == 5 else image[:, tf.newaxis]
        if views.whole:
            shown = tf.concat([shown, tf.reverse(shown, [3])], axis=1)
        count, sides = tf.shape(shown)[1], tf.shape(shown)[2:]
        flat = tf.reshape(shown, tf.concat([[-1], sides], axis=0))
        flat = tf.ensure_shape(flat, [None, *shown.shape[2:]])
        logits = model(device_map({"image": flat})["image"], training=False)
        # In float64, so that no two different logits become one probability.
        each = tf.nn.softmax(tf.cast(logits, tf.float64))
        return tf.reduce_mean(tf.reshape(each, [-1, count, each.shape[-1]]), axis=1)

    spec = tf.TensorSpec([strategy.num_replicas_in_sync, None, *shape], tf.uint8)

    @tf.function(input_signature=[spec], autograph=False)
    def of_all(images: tf.Tensor) -> Any:
        return strategy.run(of_part, args=(images,))

    return of_all


def _over_replicas(
    step: Callable[[tf.Tensor], Any], images: tf.Tensor, strategy: tf.distribute.Strategy
) -> np.ndarray:
    """Runs the step on images [k, ...], whose number it makes one that can be shared out."""
    replicas, count = strategy.num_replicas_in_sync, len(images)
    each = -(-count // replicas)
    indices = np.minimum(np.arange(each * replicas), count - 1)
    parts = tf.reshape(tf.gather(images, indices), [replicas, each, *images.shape[1:]])
    results = strategy.experimental_local_results(step(parts))
    return np.concatenate([result.numpy() for result in results])[:count]
