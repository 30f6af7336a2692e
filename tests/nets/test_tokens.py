"""Layers of nets that see tokens, against their formulas, Pillow, and themselves in parts."""

import itertools

import keras
import numpy as np
import pytest
from PIL import Image

import nets
from nets import _attention, _token_layers

RNG = np.random.default_rng(0)


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def attended(qkv, heads, bias=0.0):
    """[n, 3 * width] -> [n, width], head by head."""
    depth = qkv.shape[-1] // 3 // heads
    query, key, value = (part.reshape(len(qkv), heads, depth) for part in np.split(qkv, 3, -1))
    parts = []
    for head in range(heads):
        scores = query[:, head] @ key[:, head].T / depth**0.5
        bias_of_head = bias[head] if np.ndim(bias) else bias
        parts.append(softmax(scores + bias_of_head) @ value[:, head])
    return np.concatenate(parts, axis=-1)


def test_attention_is_its_formula():
    qkv = RNG.normal(size=(2, 5, 24)).astype("float32")
    layer = _attention.SelfAttention(heads=2)
    expected = [attended(image, 2) for image in qkv]
    np.testing.assert_allclose(layer(qkv), expected, atol=1e-5)


@pytest.mark.parametrize("shift", [0, 1])
def test_windows_see_themselves_alone_with_a_bias_for_each_offset(shift):
    side, heads, maps = 3, 2, RNG.normal(size=(1, 6, 6, 12)).astype("float32")
    layer = _attention.WindowAttention(heads, side, shift)
    layer.build(maps.shape)
    table = RNG.normal(size=layer.relative_position_bias.shape).astype("float32")
    layer.relative_position_bias.assign(table)
    found = np.asarray(layer(maps))[0]
    table = table.reshape(5, 5, heads)
    # Windows begin `shift` positions further on; what is cut off at a border stands alone.
    bounds = [0, 3, 6] if not shift else [0, 1, 4, 6]
    for top, bottom in itertools.pairwise(bounds):
        for left, right in itertools.pairwise(bounds):
            window = maps[0, top:bottom, left:right].reshape(-1, 12)
            places = [(y, x) for y in range(top, bottom) for x in range(left, right)]
            bias = np.array(
                [[table[a - c + 2, b - d + 2] for c, d in places] for a, b in places]
            ).transpose(2, 0, 1)
            expected = attended(window, heads, bias)
            part = found[top:bottom, left:right].reshape(-1, 4)
            np.testing.assert_allclose(part, expected, atol=1e-4)


def test_layer_normalization_is_float32_under_bfloat16():
    x = RNG.normal(3, 2, size=(2, 7, 16)).astype("float32")
    for dtype, tolerance in (("float32", 1e-5), ("mixed_bfloat16", 0.02)):
        layer = _token_layers.LayerNormalization(1e-6, dtype=dtype)
        given = keras.ops.cast(x, layer.compute_dtype)
        y = layer(given)
        assert y.dtype == given.dtype and layer.gamma.dtype == "float32"
        seen = np.asarray(keras.ops.cast(given, "float32"))
        expected = (seen - seen.mean(-1, keepdims=True)) / seen.std(-1, keepdims=True)
        np.testing.assert_allclose(keras.ops.cast(y, "float32"), expected, atol=tolerance)


def test_positions_are_sines_and_cosines_of_columns_and_rows():
    found = np.asarray(_token_layers.SincosPositions((2, 3))(np.zeros((1, 6, 8), "float32")))[0]
    row, column = 1, 2
    waves = [1.0, 10_000.0]
    expected = [f(p / wave) for p in (column, row) for f in (np.sin, np.cos) for wave in waves]
    np.testing.assert_allclose(found[row * 3 + column], expected, atol=1e-6)


@pytest.mark.parametrize(("old", "new"), [((7, 7), (10, 10)), ((10, 10), (4, 6))])
def test_positions_are_resampled_as_pillow_resamples(old, new):
    grid = RNG.normal(size=old).astype("float32")
    matrix = _token_layers._resampling(1, old, new)
    found = matrix @ np.concatenate([[5.0], grid.ravel()])
    picture = Image.fromarray(grid).resize(new[::-1], Image.Resampling.BICUBIC)
    assert found[0] == 5, "a class token's stays as it is"
    np.testing.assert_allclose(found[1:].reshape(new), np.asarray(picture), atol=1e-5)


def test_weights_fit_images_of_any_size_and_positions_follow():
    keras.utils.set_random_seed(0)
    small, own = (nets.build("deit_tiny", 3, 32, positions_at=size) for size in (None, 32))
    shapes = [model.get_layer("positions").embedding.shape for model in (small, own)]
    assert shapes == [(1 + 14 * 14, 192), (1 + 2 * 2, 192)]
    arrays = {f"{layer.name}/{v.name}": v.numpy() for layer in small.layers for v in layer.weights}
    fitted = nets.fit_positions(own, arrays)
    for variable in own.weights:
        variable.assign(fitted[variable.path])
    images = RNG.normal(size=(2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(own(images), small(images), atol=1e-5)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: nets.build("vit_b16", 3, 40), "vit_b16: image sides must be multiples of 16"),
        (
            lambda: nets.fully_convolutional("vit_64px", nets.build("vit_64px", 3)),
            "vit_64px: attention takes images of one size only",
        ),
    ],
)
def test_sizes_that_attention_cannot_take_are_refused(build, says):
    with pytest.raises(ValueError, match=says):
        build()


def test_two_heads_speak_apart_in_training_and_together_in_evaluation():
    model = nets.build("deit_tiny_distilled", 3, 32, stochastic_depth=0.0)
    images = RNG.normal(size=(2, 32, 32, 3)).astype("float32")
    heads, evaluated = model(images, training=True), model(images, training=False)
    assert set(heads) == {"logits", "distillation"}
    assert np.abs(heads["logits"] - heads["distillation"]).max() > 1e-3
    mean = (heads["logits"] + heads["distillation"]) / 2
    np.testing.assert_allclose(evaluated["logits"], mean, atol=1e-5)


@pytest.mark.parametrize("name", ["vit_64px", "convnext_64px"])
def test_stochastic_depth_and_gradients_repeat_on_parts_of_a_batch(name):
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    model = nets.build(name, 3, 32, stochastic_depth=0.5)
    for layer in model.layers:
        if layer.name == "head" or layer.name.endswith("_scale"):
            layer.set_weights([RNG.normal(size=w.shape) for w in layer.get_weights()])
    images = tf.constant(RNG.normal(size=(6, 32, 32, 3)), tf.float32)
    seeds = tf.constant(RNG.integers(2**31, size=(6, 2)), tf.int32)

    @tf.function
    def logits(images, seeds):
        with nets.example_seeds(seeds):
            return model(images, training=True)

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(logits(images, seeds)[:, 0])
        return tape.gradient(loss, model.trainable_variables)

    whole = np.asarray(logits(images, seeds))
    parts = [logits(images[i : i + 3], seeds[i : i + 3]) for i in (0, 3)]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-4, atol=1e-4)
    assert np.abs(whole - np.asarray(model(images))).max() > 1e-3, "branches were dropped"
    for first, second in zip(gradients(), gradients(), strict=True):
        np.testing.assert_array_equal(first, second)
