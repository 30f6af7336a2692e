"""Map functions of the device that mix the examples of a batch in pairs, and their labels.

Pairs are neighbours: examples 2k and 2k+1 of the batch. So the partners don't depend on how a
global batch is split over replicas, as long as each part has an even number of examples. What is
drawn for a pair is what its first example has drawn.
"""

import tensorflow as tf

from pipelines.functions import draws
from pipelines.functions.map_function import MAP_FUNCTIONS, Drawn, Example, MapFunction, Place


@MAP_FUNCTIONS.register
def mixup(alpha: float, *, num_classes: int) -> MapFunction:
    """Blends the two images of a pair, and their labels, by a share drawn from Beta(alpha, alpha).

    Zhang et al. 2018 (mixup), section 2; there the partners are a random permutation.

    Args:
        alpha: above 0; 0.2 in the paper's ImageNet runs.
        num_classes: the data set's.
    """
    _check_alpha(alpha)

    def draw(example: Example, seed: tf.Tensor) -> Drawn:
        return {"share": draws.beta(seed, 1, alpha)[..., 0]}

    def apply(example: Example, drawn: Drawn) -> Example:
        return _blend(example, _of_first(drawn["share"]), num_classes)

    return MapFunction(apply, Place.BATCH, draw, pairs=True)


@MAP_FUNCTIONS.register
def cutmix(alpha: float, *, num_classes: int) -> MapFunction:
    """Puts a rectangle of each image of a pair into the other, and mixes the labels by area.

    Yun et al. 2019 (CutMix), section 3.1: the rectangle has the image's shape, its share of the
    area is 1 - Beta(alpha, alpha), its centre is uniform, and it is cut off at the border.

    Args:
        alpha: above 0; 1 in the paper.
        num_classes: the data set's.
    """
    _check_alpha(alpha)

    def draw(example: Example, seed: tf.Tensor) -> Drawn:
        return {
            "share": draws.beta(seed, 1, alpha, 0)[..., 0],
            "center": draws.uniform(seed, 2, 1),
        }

    def apply(example: Example, drawn: Drawn) -> Example:
        return _paste(example, _of_first(drawn["share"]), _of_first(drawn["center"]), num_classes)

    return MapFunction(apply, Place.BATCH, draw, pairs=True)


@MAP_FUNCTIONS.register
def mixup_or_cutmix(
    mixup_alpha: float = 0.2, cutmix_alpha: float = 1.0, *, num_classes: int
) -> MapFunction:
    """One of the two for each pair, with equal chances (torchvision's recipes: for each batch).

    Source: torchvision's recipes.
    """
    _check_alpha(mixup_alpha)
    _check_alpha(cutmix_alpha)

    def draw(example: Example, seed: tf.Tensor) -> Drawn:
        cut = draws.uniform(seed, 1, 0)[..., 0] < 0.5
        share = tf.where(
            cut, *(draws.beta(seed, 1, a, 1)[..., 0] for a in (cutmix_alpha, mixup_alpha))
        )
        return {"cut": cut, "share": share, "center": draws.uniform(seed, 2, 2)}

    def apply(example: Example, drawn: Drawn) -> Example:
        share, cut = _of_first(drawn["share"]), _of_first(drawn["cut"])
        blended = _blend(example, share, num_classes)
        pasted = _paste(example, share, _of_first(drawn["center"]), num_classes)
        image = tf.where(cut[:, None, None, None], pasted["image"], blended["image"])
        label = tf.where(cut[:, None], pasted["label"], blended["label"])
        return example | {"image": image, "label": label}

    return MapFunction(apply, Place.BATCH, draw, pairs=True)


def _blend(example: Example, share: tf.Tensor, num_classes: int) -> Example:
    images = tf.cast(example["image"], tf.float32)
    weight = share[:, None, None, None]
    mixed = weight * images + (1 - weight) * _partners(images)
    return example | {"image": mixed, "label": _mixed_labels(example, share, num_classes)}


def _paste(example: Example, share: tf.Tensor, center: tf.Tensor, num_classes: int) -> Example:
    images = tf.cast(example["image"], tf.float32)
    height, width = images.shape[1:3]
    side = tf.sqrt(1 - share)

    def span(length: int, middle: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        half = tf.floor(side * length) / 2
        center = tf.floor(middle * length)
        low = tf.clip_by_value(tf.floor(center - half), 0, length)
        high = tf.clip_by_value(tf.floor(center + half), 0, length)
        places = tf.range(length, dtype=tf.float32)
        return (places >= low[:, None]) & (places < high[:, None]), high - low

    rows, tall = span(height, center[:, 0])
    columns, wide = span(width, center[:, 1])
    inside = rows[:, :, None, None] & columns[:, None, :, None]
    kept = 1 - tall * wide / (height * width)
    return example | {
        "image": tf.where(inside, _partners(images), images),
        "label": _mixed_labels(example, kept, num_classes),
    }


def _mixed_labels(example: Example, share: tf.Tensor, num_classes: int) -> tf.Tensor:
    labels = example["label"]
    if labels.shape.rank == 1:
        labels = tf.one_hot(labels, num_classes)
    return share[:, None] * labels + (1 - share[:, None]) * _partners(labels)


def _partners(values: tf.Tensor) -> tf.Tensor:
    """Each pair's values swapped: [b, ...]."""
    pairs = tf.reshape(values, [-1, 2, *values.shape[1:]])
    return tf.reshape(tf.reverse(pairs, [1]), tf.shape(values))


def _of_first(drawn: tf.Tensor) -> tf.Tensor:
    """What each pair's first example has drawn, for both: [b, ...]."""
    return tf.repeat(drawn[::2], 2, axis=0)


def _check_alpha(alpha: float) -> None:
    if not alpha > 0:
        raise ValueError(f"alpha is above 0, not {alpha!r}")
