"""Map functions that change colours."""

import numpy as np
import tensorflow as tf

from data_prep.schema import Statistics
from pipelines.functions import draws
from pipelines.functions.map_function import MAP_FUNCTIONS, Drawn, Example, MapFunction, Place

# The published principal components of ILSVRC's colours (fb.resnet.torch): eigenvalues of the
# covariance of pixels in [0, 1], and eigenvectors as columns, rows R, G, B.
PUBLISHED_VALUES = np.array([0.2175, 0.0188, 0.0045])
PUBLISHED_VECTORS = np.array(
    [
        [-0.5675, 0.7192, 0.4009],
        [-0.5808, -0.0045, -0.8140],
        [-0.5836, -0.6948, 0.4203],
    ]
)

# Weights of R, G and B in a gray (ITU-R BT.601).
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@MAP_FUNCTIONS.register
def pca_lighting(
    sigma: float = 0.1, components: str = "data", *, statistics: Statistics | None
) -> MapFunction:
    """Adds random multiples of the principal components of the colours to every pixel.

    To each image: sum over i of a_i * eigenvalue_i * eigenvector_i, a_i normal with deviation
    `sigma` (Krizhevsky et al. 2012, section 4.1, where it is 0.1). The eigenvalue is of another
    unit than the pixels are, so their scale matters: as in fb.resnet.torch it is [0, 1], and the
    sum is then multiplied by 255.

    On the host the result is rounded and clipped to 0..255; on the device it is float32.

    Args:
        sigma: deviation of the multiples.
        components: `data`: the data set's own; `published`: fb.resnet.torch's.
        statistics: the data set's.
    """
    if components == "published":
        basis = PUBLISHED_VECTORS * PUBLISHED_VALUES * 255
    elif components != "data":
        raise ValueError("components are 'data' or 'published'")
    elif statistics is None:
        raise ValueError(
            "the data set has no statistics: pca_lighting(0.1, 'published') needs none"
        )
    else:
        basis = statistics.eigenvectors * (statistics.eigenvalues / 255)

    def draw(example: Example, seed: tf.Tensor) -> Drawn:
        multiples = draws.normal(seed, 3) * sigma
        # Summed by hand: a matrix product may add in another order for another batch size.
        columns = [
            multiples[..., i, tf.newaxis] * tf.constant(basis[:, i], tf.float32) for i in range(3)
        ]
        return {"shift": columns[0] + columns[1] + columns[2]}

    def apply(example: Example, drawn: Drawn) -> Example:
        shifted = tf.cast(example["image"], tf.float32) + drawn["shift"][..., None, None, :]
        if example["image"].shape.rank == 3:
            shifted = tf.saturate_cast(tf.round(shifted), tf.uint8)
        return example | {"image": shifted}

    return MapFunction(apply, Place.IMAGE | Place.BATCH, draw)


@MAP_FUNCTIONS.register
def color_jitter(
    brightness: float = 0.4, contrast: float = 0.4, saturation: float = 0.4
) -> MapFunction:
    """Scales brightness, contrast and saturation by random factors, uniform in 1 +- strength.

    As in fb.resnet.torch: brightness is the distance to black, contrast to the mean gray of the
    image, saturation to each pixel's gray. There the three come in random order; in all of them the
    result is the same, because each is linear, keeps or scales the grays, and nothing is clipped in
    between. The result is rounded and clipped to 0..255.

    Source: fb.resnet.torch.
    """
    for strength in (brightness, contrast, saturation):
        if not 0 <= strength <= 1:
            raise ValueError(f"a strength lies from 0 to 1, not at {strength!r}")

    def draw(example: Example, seed: tf.Tensor) -> Drawn:
        factors = 1 + (2 * draws.uniform(seed, 3) - 1) * [brightness, contrast, saturation]
        return dict(
            zip(("brightness", "contrast", "saturation"), tf.unstack(factors, axis=-1), strict=True)
        )

    def apply(example: Example, drawn: Drawn) -> Example:
        light, contrast, saturation = (
            drawn[name] for name in ("brightness", "contrast", "saturation")
        )
        image = tf.cast(example["image"], tf.float32)
        gray = tf.reduce_sum(image * LUMA, axis=-1, keepdims=True)
        jittered = light * (
            contrast * (saturation * image + (1 - saturation) * gray)
            + (1 - contrast) * tf.reduce_mean(gray)
        )
        return example | {"image": tf.saturate_cast(tf.round(jittered), tf.uint8)}

    return MapFunction(apply, Place.IMAGE, draw)


@MAP_FUNCTIONS.register
def grayscale(probability: float = 1.0) -> MapFunction:
    """Replaces the colours by their luma, in all three channels, with a probability.

    Source: plain.
    """

    def draw(example: Example, seed: tf.Tensor) -> Drawn:
        return {"gray": draws.uniform(seed, 1)[..., 0] < probability}

    def apply(example: Example, drawn: Drawn) -> Example:
        image = example["image"]
        gray = tf.broadcast_to(luma(image), tf.shape(image))
        return example | {"image": tf.where(drawn["gray"], gray, image)}

    return MapFunction(apply, Place.IMAGE, draw)


def luma(image: tf.Tensor) -> tf.Tensor:
    """The gray of each pixel (ITU-R BT.601) as Pillow rounds it: uint8 [H, W, 3] to [H, W, 1]."""
    weighted = tf.cast(image, tf.int32) * [19595, 38470, 7471]
    total = tf.reduce_sum(weighted, axis=-1, keepdims=True) + 32768
    return tf.cast(tf.bitwise.right_shift(total, 16), tf.uint8)
