"""The layers that Keras lacks, against NumPy and against Keras's own slower ways."""

import subprocess
import sys
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import nets
from nets import _layers, _linear_layers


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def normal(rng, *shape):
    return rng.normal(size=shape).astype("float32")


def lrn_reference(x, size, alpha, beta, k):
    out = np.empty_like(x)
    for channel in range(x.shape[-1]):
        near = x[..., max(0, channel - size // 2) : channel + size // 2 + 1]
        out[..., channel] = x[..., channel] / (k + alpha * (near**2).sum(-1)) ** beta
    return out


@pytest.mark.parametrize(
    "constants", [(5, 1e-4, 0.75, 2.0), (5, 1e-4 / 5, 0.75, 1.0), (3, 0.1, 0.5, 1.0)]
)
def test_lrn_equals_numpy(rng, constants):
    x = 50 * normal(rng, 2, 3, 3, 12)
    layer = _layers.LocalResponseNormalization(*constants)
    np.testing.assert_allclose(layer(x), lrn_reference(x, *constants), rtol=1e-5, atol=1e-5)


def test_lrn_has_tensorflows_gradient(rng):
    x = tf.constant(50 * normal(rng, 2, 3, 3, 12))
    weights = normal(rng, 2, 3, 3, 12)
    gradients = []
    for function in (
        _layers.LocalResponseNormalization(5, 1e-4, 0.75, 2.0),
        lambda x: tf.nn.lrn(x, depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75),
    ):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(weights * function(x))
        gradients.append(tape.gradient(loss, x))
    np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-5)


def test_lrn_survives_float16(rng):
    x = (1000 * normal(rng, 1, 2, 2, 8)).astype("float16")
    y = np.asarray(_layers.LocalResponseNormalization(5, 1e-4, 0.75, 2.0, dtype="float16")(x))
    assert y.dtype == np.float16
    expected = lrn_reference(x.astype("float32"), 5, 1e-4, 0.75, 2.0)
    np.testing.assert_allclose(y.astype("float32"), expected, rtol=5e-3)


def test_blur_pool_is_the_binomial_filter():
    impulse = np.zeros((1, 5, 5, 2), "float32")
    impulse[0, 2, 2] = 16, 32
    blurred = np.asarray(_layers.BlurPool()(impulse))
    np.testing.assert_array_equal(blurred[0, 1:4, 1:4, 0], [[1, 2, 1], [2, 4, 2], [1, 2, 1]])
    np.testing.assert_array_equal(blurred[..., 1], 2 * blurred[..., 0])
    assert blurred.sum() == 48
    corner = np.asarray(_layers.BlurPool()(np.ones((1, 4, 4, 1), "float32")))
    assert corner[0, 0, 0, 0] == 9 / 16  # zeros beyond the border


def test_blur_pool_precedes_every_strided_convolution_but_the_stems():
    model = nets.build("resnet50_v1_5", 5, 64, blur_pool=True)
    blurred = {layer.name for layer in model.layers if isinstance(layer, _layers.BlurPool)}
    assert blurred == {f"res{s}a_branch{b}_blur" for s in (3, 4, 5) for b in ("1", "2b")}


def test_zero_gamma_makes_units_identities(rng):
    model = nets.build("resnet10", 5, 64, width=16, zero_gamma=True)
    x = normal(rng, 2, 64, 64, 3)
    ends = keras.Model(
        model.input, [model.get_layer("pool1").output, model.get_layer("res2a_relu").output]
    )
    np.testing.assert_array_equal(*ends(x))


def test_option_a_pads_with_zero_maps_without_parameters(rng):
    x = normal(rng, 1, 4, 4, 3)
    y = np.asarray(_layers.PadChannels(5)(x))
    np.testing.assert_array_equal(y[..., :3], x)
    assert not y[..., 3:].any()


# Masks from example seeds


def seeds_of(count, start=0):
    return np.stack([np.arange(start, start + count), np.full(count, 17)], -1).astype("int32")


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.7])
def test_masks_drop_at_the_rate_for_every_example_and_position(rate):
    kept = np.asarray(_layers.keep_mask(seeds_of(512), "drop6", (512,), rate))
    sigma = np.sqrt(rate * (1 - rate))
    assert abs(kept.mean() - (1 - rate)) < 4 * sigma / 512
    for axis in (0, 1):  # 512 means of 512 values each: none strays beyond 5 sigma
        assert np.abs(kept.mean(axis) - (1 - rate)).max() < 5 * sigma / np.sqrt(512)


def test_masks_of_layers_examples_and_positions_are_independent():
    masks = {
        "one layer": _layers.keep_mask(seeds_of(256), "drop6", (1024,), 0.5),
        "another": _layers.keep_mask(seeds_of(256), "drop7", (1024,), 0.5),
        "next examples": _layers.keep_mask(seeds_of(256, start=1), "drop6", (1024,), 0.5),
    }
    signs = {name: 2.0 * np.asarray(mask) - 1 for name, mask in masks.items()}
    one = signs["one layer"]
    bound = 5 / np.sqrt(one.size)
    assert abs((one * signs["another"]).mean()) < bound
    np.testing.assert_array_equal(signs["next examples"][:-1], one[1:])
    assert abs((one[1:] * one[:-1]).mean()) < bound
    for shift in (1, 2, 32, 512):
        assert abs((one[:, shift:] * one[:, :-shift]).mean()) < 1.5 * bound


def test_both_halves_of_a_seed_count():
    first = np.asarray(_layers.keep_mask(np.array([[1, 2]], "int32"), "drop", (4096,), 0.5))
    for pair in ([2, 2], [1, 3], [2, 1], [-1, 2]):
        other = np.asarray(_layers.keep_mask(np.array([pair], "int32"), "drop", (4096,), 0.5))
        assert abs((first == other).mean() - 0.5) < 0.04


def training_logits(model, images, seeds, **context):
    with nets.example_seeds(seeds):
        return model(images, training=True)


def test_dropout_does_not_depend_on_how_a_batch_is_split(rng):
    keras.utils.set_random_seed(0)
    model = nets.build("alexnet", 10, 67)
    images, seeds = normal(rng, 6, 67, 67, 3), seeds_of(6)
    whole = training_logits(model, images, seeds)
    parts = [training_logits(model, images[i:j], seeds[i:j]) for i, j in ((0, 1), (1, 4), (4, 6))]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-4, atol=1e-7)
    other = training_logits(model, images, seeds_of(6, start=6))
    assert np.abs(np.asarray(other) - np.asarray(whole)).max() > 1e-3 * np.abs(whole).max()


REPLICAS = """
import numpy as np
import tensorflow as tf

import nets

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
rng = np.random.default_rng(0)
images = rng.normal(size=(6, 67, 67, 3)).astype("float32")
seeds = rng.integers(0, 2**31, (6, 2)).astype("int32")
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    model = nets.build("alexnet", 10, 67)


def forward(images, seeds):
    with nets.example_seeds(seeds):
        return model(images, training=True)


@tf.function
def on_replicas(images, seeds):
    return strategy.run(forward, (images, seeds))


def share(array):
    halves = np.split(array, 2)
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(halves[context.replica_id_in_sync_group])
    )


shared = strategy.gather(on_replicas(share(images), share(seeds)), axis=0)
whole = forward(images, seeds)
np.testing.assert_allclose(shared, whole, rtol=1e-4, atol=1e-6)
"""


@pytest.mark.slow(reason="it compiles for two replicas")
def test_dropout_is_the_same_on_two_replicas():
    done = subprocess.run(
        [sys.executable, "-c", REPLICAS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("jit_compile", [False, True])
def test_seeded_dropout_is_the_same_in_a_graph(jit_compile):
    layer = _layers.Dropout(0.5, name="drop6")
    x, seeds = np.ones((4, 64), "float32"), seeds_of(4)

    @tf.function(jit_compile=jit_compile)
    def dropped(x, seeds):
        with nets.example_seeds(seeds):
            return layer(x, training=True)

    with nets.example_seeds(seeds):
        expected = layer(x, training=True)
    np.testing.assert_array_equal(dropped(x, seeds), expected)
    assert set(np.unique(expected)) == {0, 2}


def test_seeds_reach_neither_other_threads_nor_what_follows():
    layer = _layers.Dropout(0.5, name="drop6")
    x, results = np.ones((1, 4096), "float32"), {}
    with nets.example_seeds(seeds_of(1)):
        seeded = np.asarray(layer(x, training=True))

        def elsewhere():
            results["thread"] = np.asarray(layer(x, training=True))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        with nets.example_seeds(seeds_of(1, start=5)):
            results["inner"] = np.asarray(layer(x, training=True))
        np.testing.assert_array_equal(layer(x, training=True), seeded)
    results["after"] = np.asarray(layer(x, training=True))
    for result in results.values():
        assert 0.4 < (result == seeded).mean() < 0.6


def test_without_seeds_keras_draws_reproducibly():
    keras.utils.set_random_seed(1)
    first = np.asarray(_layers.Dropout(0.5)(np.ones((2, 64), "float32"), training=True))
    keras.utils.set_random_seed(1)
    np.testing.assert_array_equal(
        _layers.Dropout(0.5)(np.ones((2, 64), "float32"), training=True), first
    )


def test_evaluation_drops_nothing(rng):
    x = normal(rng, 2, 8)
    with nets.example_seeds(seeds_of(2)):
        np.testing.assert_array_equal(_layers.Dropout(0.5)(x, training=False), x)


def test_stochastic_depth_drops_whole_branches_of_examples():
    layer = _layers.StochasticDepth(0.25, name="res2a_drop")
    x = np.ones((4096, 2, 2, 3), "float32")
    with nets.example_seeds(seeds_of(4096)):
        y = np.asarray(layer(x, training=True))
    per_example = y.reshape(4096, -1)
    assert (per_example == per_example[:, :1]).all()
    np.testing.assert_allclose(np.unique(per_example), [0, 4 / 3], rtol=1e-6)
    assert abs((per_example[:, 0] == 0).mean() - 0.25) < 0.03
    unseeded = np.asarray(layer(x, training=True)).reshape(4096, -1)
    assert (unseeded == unseeded[:, :1]).all() and 0 < (unseeded[:, 0] == 0).mean() < 0.5


def test_stochastic_depth_grows_linearly():
    model = nets.build("resnet18", 5, 32, stochastic_depth=0.4)
    rates = [layer.rate for layer in model.layers if isinstance(layer, _layers.StochasticDepth)]
    np.testing.assert_allclose(rates, 0.4 * np.arange(1, 9) / 8)


def test_layers_come_back_from_a_saved_model(tmp_path, rng):
    inputs = keras.Input((8, 8, 4))
    x = _linear_layers.GroupedConv2D(8, 3, groups=2, padding="same")(inputs)
    x = _layers.LocalResponseNormalization(5, 0.1, 0.75, 2.0)(x)
    x = _layers.StochasticDepth(0.5)(_layers.BlurPool()(x))
    model = keras.Model(inputs, _layers.Dropout(0.5)(_layers.PadChannels(12)(x)))
    model.save(tmp_path / "model.keras")
    images = ops.convert_to_tensor(normal(rng, 2, 8, 8, 4))
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), model(images))


@pytest.mark.parametrize("scale", [True, False])
def test_batch_norm_equals_keras_in_training_with_its_gradients_and_statistics(rng, scale):
    x = tf.constant(3 * normal(rng, 4, 5, 5, 6) + 20)
    weights = normal(rng, 4, 5, 5, 6)
    results = []
    for kind in (_layers.BatchNormalization, keras.layers.BatchNormalization):
        layer = kind(momentum=0.9, epsilon=1e-3, scale=scale)
        layer.build(x.shape)
        for variable in layer.trainable_variables:
            variable.assign(np.random.default_rng(1).uniform(0.5, 1.5, 6))
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(weights * y)
        gradients = tape.gradient(loss, [x, *layer.trainable_variables])
        statistics = [variable.numpy() for variable in layer.non_trainable_variables]
        results.append([y, *gradients, *statistics, layer(x, training=False)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5)


def test_batch_norm_keeps_the_policys_dtype_and_its_own_frozen_statistics(rng):
    x = normal(rng, 2, 3, 3, 4)
    assert _layers.BatchNormalization(dtype="mixed_bfloat16")(x, training=True).dtype == tf.bfloat16
    frozen = _layers.BatchNormalization(trainable=False)
    frozen(x, training=True)
    np.testing.assert_array_equal(frozen.moving_mean, np.zeros(4))


@pytest.mark.slow(reason="it repeats many large gradients")
def test_gradients_repeat_to_the_bit(rng):
    # The first stage of ResNet-50, at a size at which those of Keras's layer do not.
    net = nets.build("resnet50", image_size=112)
    model = keras.Model(net.input, net.get_layer("res2c_relu").output)
    images = tf.constant(normal(rng, 32, 112, 112, 3))

    @tf.function
    def gradients(images):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(model(images, training=True)))
        return tape.gradient(loss, model.trainable_variables)

    first, *others = [[gradient.numpy() for gradient in gradients(images)] for _ in range(6)]
    for other in others:
        for gradient, expected in zip(other, first, strict=True):
            np.testing.assert_array_equal(gradient, expected)
