"""What one net says of every image of a split, by one way of showing it images."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.chain import Batch
from pipelines.config import Phase
from pipelines.input_pipeline import InputPipeline
from trainers.scoring.protocols import Views
from trainers.training.models import logits_only

OnDevice = Callable[[Batch], Batch]


# Positions int64 [k], labels int32 [k], and for each class scores or probabilities, [k, N].
Scored = tuple[np.ndarray, np.ndarray, np.ndarray]


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Log probabilities float64 [k, N] of logits, or of what they are but for a constant, [k, N].

    A row with a value that is not finite may become NaN.
    """
    with np.errstate(invalid="ignore"):
        shifted = scores.astype(np.float64) - scores.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def class_scores(
    model: keras.Model,
    pipeline: InputPipeline,
    views: Views,
    strategy: tf.distribute.Strategy,
    split: str,
) -> Iterator[Scored]:
    """Every image of the split once, some images at a time.

    Args:
        model: from float32 images to logits; with `views.whole`, to the mean logits of images of
            any size.
        pipeline: the run's, whose --eval_map is the views'.
        views: what is shown of an image.
        strategy: the replicas, which take consecutive parts of what is scored at a time.
        split: which images.

    Yields:
        The positions, the labels, and scores: the logits, float32, where there is one view, which
        rank classes as the training's validation does; else the logarithm of the mean probability
        over the views, float64. The `log_softmax` of both are log probabilities.
    """
    replicas = strategy.num_replicas_in_sync
    # The views of as many images as make a batch of the run's size.
    images = max(1, pipeline.config.eval_batch_size // views.count)
    images = -(-images // replicas) * replicas
    if views.whole:
        batches = pipeline.evaluate_whole_images(images, split=split)
    else:
        batches = pipeline.evaluate(images, split=split)
    on_device = pipeline.chains(Phase.EVAL).on_device
    step = _step(model, on_device, strategy, views, batches.element_spec["image"].shape[1:])
    for batch in batches:
        arrays = {name: batch[name].numpy() for name in ("position", "label")}
        real = batch["weight"].numpy() > 0 if "weight" in batch else slice(None)
        found = _over_replicas(step, batch["image"], strategy)
        yield arrays["position"][real], arrays["label"][real], found[real]


def _step(
    model: keras.Model,
    on_device: OnDevice,
    strategy: tf.distribute.Strategy,
    views: Views,
    shape: tf.TensorShape,
) -> Callable[[tf.Tensor], Any]:
    """The compiled step: uint8 [replicas, k, *shape] -> scores [k, N] of each replica.

    Traced once: every image size and number of images is its own otherwise.
    """
    model = logits_only(model)

    def of_part(images: tf.Tensor) -> tf.Tensor:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        image = tf.ensure_shape(images[replica], [None, *shape])
        shown = image if image.shape.rank == 5 else image[:, tf.newaxis]
        if views.whole:
            shown = tf.concat([shown, tf.reverse(shown, [3])], axis=1)
        count, sides = tf.shape(shown)[1], tf.shape(shown)[2:]
        flat = tf.reshape(shown, tf.concat([[-1], sides], axis=0))
        flat = tf.ensure_shape(flat, [None, *shown.shape[2:]])
        logits = model(on_device({"image": flat})["image"], training=False)
        if views.count == 1:
            return logits
        # In float64 and as logarithms: no two different probabilities become one, as 0 would be.
        each = tf.nn.log_softmax(tf.cast(logits, tf.float64))
        total = tf.reduce_logsumexp(tf.reshape(each, [-1, count, each.shape[-1]]), axis=1)
        return total - tf.math.log(tf.cast(count, tf.float64))

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
