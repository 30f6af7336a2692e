"""Map functions that change colours."""

import numpy as np
import tensorflow as tf

from data_prep.schema import Statistics
from pipelines import draws
from pipelines.map_function import MAP_FUNCTIONS, Drawn, Example, MapFunction, Stage

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

    return MapFunction(apply, Stage.IMAGE | Stage.BATCH, draw)
