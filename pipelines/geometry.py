"""Map functions that move pixels: flips."""

import tensorflow as tf

from pipelines import draws
from pipelines.map_function import MAP_FUNCTIONS, Drawn, Example, MapFunction, Stage


@MAP_FUNCTIONS.register
def random_flip(probability: float = 0.5) -> MapFunction:
    """Mirrors left and right with a probability (Krizhevsky et al. 2012, section 4.1).

    The same examples are mirrored on the host and on the device.
    """

    def draw(example: Example, seed: tf.Tensor) -> Drawn:
        return {"flip": draws.uniform(seed, 1)[..., 0] < probability}

    def apply(example: Example, drawn: Drawn) -> Example:
        flip = _flip_batch if example["image"].shape.rank == 4 else _flip_image
        return example | {"image": flip(example["image"], drawn["flip"])}

    return MapFunction(apply, Stage.IMAGE | Stage.BATCH, draw)


def _flip_image(image: tf.Tensor, flip: tf.Tensor) -> tf.Tensor:
    # Reversing along no axis at all is a copy; `tf.cond` is slower than that.
    axes = tf.ones([tf.cast(flip, tf.int32)], tf.int32)
    return tf.ensure_shape(tf.reverse(image, axes), image.shape)


def _flip_batch(images: tf.Tensor, flip: tf.Tensor) -> tf.Tensor:
    # Gathering whole images is far quicker on a CPU than `tf.where`, which goes pixel by pixel.
    count = tf.shape(images)[0]
    both = tf.concat([images, tf.reverse(images, [2])], axis=0)
    return tf.gather(both, tf.range(count) + count * tf.cast(flip, tf.int32))
