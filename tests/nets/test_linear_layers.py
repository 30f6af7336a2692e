"""Convolutions and fully connected layers compute, forward and backward, what Keras's compute."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import nets
from nets import _linear_layers


@pytest.fixture(params=["cpu", "gpu"], autouse=True)
def computed_as_on(request, monkeypatch):
    """Takes the way that each kind of device takes, on the CPU, with the same weights each time."""
    keras.utils.set_random_seed(7)
    if request.param == "gpu":
        monkeypatch.setattr(_linear_layers, "_on_cpu", lambda: False)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def normal(rng, *shape):
    return rng.normal(size=shape).astype("float32")


def outputs_and_gradients(layer, x) -> list[tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        loss = tf.reduce_sum(tf.cast(y, tf.float32) ** 2)
    return [y, *tape.gradient(loss, [x, *layer.trainable_variables])]


def assert_as_keras(ours, keras_own, x, **tolerance) -> None:
    for layer in (ours, keras_own):
        layer.build(x.shape)
    keras_own.set_weights(ours.get_weights())
    pairs = zip(outputs_and_gradients(ours, x), outputs_and_gradients(keras_own, x), strict=True)
    for ours_part, keras_part in pairs:
        assert ours_part.dtype == keras_part.dtype
        np.testing.assert_allclose(
            tf.cast(ours_part, tf.float32), tf.cast(keras_part, tf.float32), **tolerance
        )


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("size", [1, 3, (1, 3), 2, 5, 7])
@pytest.mark.parametrize("strides", [1, 2])
def test_convolution_equals_keras(rng, size, strides, padding):
    x = tf.constant(normal(rng, 2, 9, 8, 6))
    arguments = (8, size, strides, padding)
    kinds = (_linear_layers.Conv2D, keras.layers.Conv2D)
    layers = [kind(*arguments, bias_initializer="ones", activation="relu") for kind in kinds]
    assert_as_keras(*layers, x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("activation", [None, "relu"])
def test_fully_connected_equals_keras(rng, activation):
    x = tf.constant(normal(rng, 5, 12))
    kinds = (_linear_layers.Dense, keras.layers.Dense)
    layers = [kind(7, activation=activation, bias_initializer="ones") for kind in kinds]
    assert_as_keras(*layers, x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["Conv2D", "Dense"])
def test_mixed_precision_is_keras(rng, kind):
    x = tf.constant(normal(rng, *((2, 5, 5, 4) if kind == "Conv2D" else (2, 4))))
    arguments = (6, 3) if kind == "Conv2D" else (6,)
    layers = [
        getattr(room, kind)(*arguments, dtype="mixed_bfloat16")
        for room in (_linear_layers, keras.layers)
    ]
    assert_as_keras(*layers, x, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(("groups", "strides"), [(2, 1), (8, 2), (16, 1)])
def test_grouped_convolution_equals_keras(rng, groups, strides):
    x = tf.constant(normal(rng, 2, 9, 9, 16))
    arguments = {"filters": 32, "kernel_size": 3, "strides": strides, "groups": groups}
    kinds = (_linear_layers.GroupedConv2D, keras.layers.Conv2D)
    layers = [kind(**arguments, padding="same", bias_initializer="ones") for kind in kinds]
    assert_as_keras(*layers, x, rtol=1e-4, atol=1e-4)
    assert layers[0].kernel.shape == (3, 3, 16 // groups, 32)


def test_alexnets_groups_equal_split_and_concatenate(rng):
    model = nets.build("alexnet", 10, 67)
    x = normal(rng, 2, 13, 13, 96)
    conv2 = model.get_layer("conv2")
    kernel, bias = (tf.convert_to_tensor(weight) for weight in conv2.get_weights())
    halves = [
        tf.nn.conv2d(x[..., :48], kernel[..., :128], 1, "SAME"),
        tf.nn.conv2d(x[..., 48:], kernel[..., 128:], 1, "SAME"),
    ]
    expected = tf.nn.relu(tf.concat(halves, -1) + bias)
    np.testing.assert_allclose(conv2(x), expected, atol=1e-6)


def test_grouped_convolution_runs_under_xla(rng):
    layer = _linear_layers.GroupedConv2D(8, 3, groups=2)
    x = tf.constant(normal(rng, 1, 5, 5, 4))
    expected = layer(x)

    @tf.function(jit_compile=True)
    def gradient(x):
        with tf.GradientTape() as tape:
            y = layer(x)
            loss = tf.reduce_sum(y)
        return y, tape.gradient(loss, layer.kernel)

    y, kernel_gradient = gradient(x)
    np.testing.assert_allclose(y, expected, atol=1e-6)
    assert kernel_gradient.shape == (3, 3, 2, 8)


def test_space_to_depth_stem_equals_the_plain_one(rng):
    plain = nets.build("resnet18", 5, (64, 48))
    packed = nets.build("resnet18", 5, (64, 48), space_to_depth_stem=True)
    assert [w.shape for w in packed.weights] == [w.shape for w in plain.weights]
    packed.set_weights(plain.get_weights())
    x = normal(rng, 2, 64, 48, 3)
    stem = [keras.Model(m.input, m.get_layer("conv1").output)(x) for m in (plain, packed)]
    np.testing.assert_allclose(*stem, atol=1e-5)
    np.testing.assert_allclose(plain(x), packed(x), atol=1e-4)
