"""What a GPU computes by other operations is the same, on whatever computes here."""

import numpy as np
import pytest
import tensorflow as tf

import nets
from trainers.training import gpus


def normalized(fused, images: np.ndarray) -> list[np.ndarray]:
    """Output, gradients and moving statistics of a normalisation, composed or fused."""
    model = nets.build("resnet10", 3, 32, width=8)
    layer = model.get_layer("conv1_bn")
    random = np.random.default_rng(1)
    for variable in layer.trainable_variables:
        variable.assign(random.uniform(0.5, 1.5, variable.shape))
    x, upstream = tf.constant(images), tf.constant(random.normal(size=images.shape), tf.float32)
    with nets.fused_batch_norm(fused), tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    gradients = tape.gradient(y, [x, *layer.trainable_variables], upstream)
    return [y.numpy(), *(g.numpy() for g in gradients), *layer.get_weights()]


@pytest.mark.parametrize("shape", [(8, 7, 5, 8), (2, 3, 3, 8), (4, 16, 16, 8)])
@pytest.mark.parametrize("compiled", [False, True])
def test_the_fused_batch_norm_is_the_composed_one(shape, compiled):
    images = np.random.default_rng(0).normal(2, 3, size=shape).astype(np.float32)
    fused = gpus.fused_batch_norm
    if compiled:
        fused = tf.function(fused, jit_compile=True, autograph=False)
    for composed, other in zip(normalized(None, images), normalized(fused, images), strict=True):
        np.testing.assert_allclose(other, composed, rtol=2e-4, atol=2e-5)
