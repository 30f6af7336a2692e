"""The fully convolutional form: the net at its own size, the mean of its windows beyond."""

import keras
import numpy as np
import pytest

import nets
from nets import _convolutional, _model

RNG = np.random.default_rng(0)


def images(height: int, width: int, count: int = 2) -> np.ndarray:
    return 50 * RNG.normal(size=(count, height, width, 3)).astype(np.float32)


def with_random_weights(name: str, size: int, **options) -> keras.Model:
    keras.utils.set_random_seed(0)
    built = nets.build(name, 10, size, **options)
    for variable in built.weights:
        if variable.name in ("bias", "beta", "moving_mean"):
            variable.assign(RNG.normal(0, 0.1, variable.shape))
    return built


def logits(built: keras.Model, pixels: np.ndarray) -> np.ndarray:
    outputs = built(pixels, training=False)
    return np.asarray(outputs["logits"] if isinstance(outputs, dict) else outputs)


# The smallest sizes at which the flattened maps have more than one position.
FLATTENING = {"alexnet": 99, "vgg11": 64, "overfeat_fast": 103, "overfeat_accurate": 113}


@pytest.mark.slow(reason="it builds large nets twice")
@pytest.mark.parametrize("name", FLATTENING)
def test_nets_that_flatten_give_the_same_logits_on_one_window(name):
    model = with_random_weights(name, FLATTENING[name])
    flattened = next(layer for layer in model.layers if isinstance(layer, keras.layers.Flatten))
    assert min(flattened.input.shape[1:3]) > 1
    converted = nets.fully_convolutional(name, model)
    pixels = images(FLATTENING[name], FLATTENING[name])
    expected = logits(model, pixels)
    np.testing.assert_allclose(logits(converted, pixels), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow(reason="it builds large nets twice")
@pytest.mark.parametrize(
    ("name", "options", "sides"),
    [
        ("squeezenet1_0", {}, [(75, 83), (96, 70)]),
        ("googlenet", {}, [(97, 112)]),
        ("resnet10", {"width": 8}, [(75, 83), (96, 70)]),
        ("mobilenet_v1_025", {}, [(75, 96)]),
    ],
)
def test_nets_that_average_are_themselves_at_another_size(name, options, sides):
    model = with_random_weights(name, 67 if name != "googlenet" else 96, **options)
    converted = nets.fully_convolutional(name, model, **options)
    if name == "googlenet":  # its heads need larger images, and are no part of this
        options = {"auxiliary": False}
    for side in sides:
        assert_same(name, options, side, model, converted)


def assert_same(name, options, sides, model, converted):
    other = nets.build(name, 10, sides, **options)
    for layer in other.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    pixels = images(*sides)
    expected = logits(other, pixels)
    np.testing.assert_allclose(logits(converted, pixels), expected, rtol=1e-4, atol=1e-5)


def test_the_logits_are_the_means_over_windows_without_padding():
    # Without padding, each position of the score map is the net on its window of the image.
    entry = nets.Net(
        name="toy",
        body=lambda nn, x, n: nn.fc(
            nn.fc_relu(nn.max_pool(nn.conv_relu(x, 4, 3, name="c"), 2, 2, name="p"), 8, name="f"),
            n,
            name="g",
        ),
        paper="",
        year=0,
        params=0,
        macs=0,
        image_size=20,
        feature_maps={},
    )
    built = _model.build_model(entry, 5, 20, {})
    converted = _convolutional.convert(entry, built, {})
    pixels = images(24, 22, 1)
    windows = [
        logits(built, pixels[:, top : top + 20, left : left + 20])
        for top in (0, 2, 4)
        for left in (0, 2)
    ]
    np.testing.assert_allclose(logits(converted, pixels), np.mean(windows, 0), rtol=1e-4, atol=1e-4)


def test_a_stem_of_one_size_is_named():
    model = nets.build("resnet10", 10, 64, width=4, space_to_depth_stem=True)
    with pytest.raises(ValueError, match="resnet10: a space-to-depth stem"):
        nets.fully_convolutional("resnet10", model, width=4, space_to_depth_stem=True)
