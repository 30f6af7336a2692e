"""The same numbers as implementations that aren't ours, from the same weights."""

import functools
import importlib.util
import os
import re
import subprocess
import sys
import types

import keras
import numpy as np
import pytest

import nets
from trainers.weights.names import ORIGINS, numbered_from_zero


def randomise(model, gamma):
    """Gives a net weights that exercise everything: biases and batch statistics too.

    Gammas lie around ``gamma``: what keeps the logits near 1, and the images' share in them.
    """
    rng = np.random.default_rng(3)
    for layer in model.layers:
        for variable in layer.weights:
            shape, name = variable.shape, variable.name
            if name == "gamma":
                variable.assign(rng.uniform(0.5 * gamma, 1.5 * gamma, shape))
            elif name == "moving_variance":
                variable.assign(rng.uniform(0.5, 1.5, shape))
            elif name in ("beta", "moving_mean", "bias"):
                variable.assign(rng.normal(0, 0.1, shape))
            else:
                depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
                depthwise |= name == "depthwise_kernel"
                fan_in = np.prod(shape[:2] if depthwise else shape[:-1])
                variable.assign(rng.normal(0, (1.5 / fan_in) ** 0.5, shape))


def parts(layer):
    """The layers with weights that one of keras.applications' layers is made of."""
    if isinstance(layer, keras.layers.SeparableConv2D):
        for variable in layer.weights:
            kernel = types.SimpleNamespace(name="kernel", numpy=variable.numpy)
            yield types.SimpleNamespace(name=layer.name, weights=[kernel])
    elif layer.weights:
        yield layer


def in_graph_order(theirs, ours):
    """Pairs the layers that have weights; both graphs have the same shape."""
    return zip(
        [part for layer in theirs.layers for part in parts(layer)],
        [layer for layer in ours.layers if layer.weights],
        strict=True,
    )


INCEPTION_V3_MODULES = {
    "35": "1x1 5x5_reduce 5x5 double3x3_reduce double3x3_1 double3x3_2 pool_proj",
    "17 reduction": "3x3 double3x3_reduce double3x3_1 double3x3_2",
    "17": "1x1 7x7_reduce 7x7_1_1x7 7x7_2_7x1 double7x7_reduce double7x7_1_7x1 double7x7_2_1x7"
    " double7x7_3_7x1 double7x7_4_1x7 pool_proj",
    "8 reduction": "3x3_reduce 3x3 7x7_reduce 7x7_1_1x7 7x7_2_7x1 7x7_3x3",
    "8": "1x1 3x3_reduce 1x3 3x1 double3x3_reduce double3x3 double_1x3 double_3x1 pool_proj",
}
INCEPTION_V3 = (
    ("mixed_5b", "35"),
    ("mixed_5c", "35"),
    ("mixed_5d", "35"),
    ("mixed_6a", "17 reduction"),
    ("mixed_6b", "17"),
    ("mixed_6c", "17"),
    ("mixed_6d", "17"),
    ("mixed_6e", "17"),
    ("mixed_7a", "8 reduction"),
    ("mixed_7b", "8"),
    ("mixed_7c", "8"),
)


def in_order_of_creation(theirs, ours):
    """Inception-v3's layers have no names in Keras but conv2d_7 and batch_normalization_7."""

    def numbered(prefix):
        layers = [layer for layer in theirs.layers if re.fullmatch(rf"{prefix}(_\d+)?", layer.name)]
        return sorted(layers, key=lambda layer: int("0" + layer.name.removeprefix(prefix)[1:]))

    names = ["conv1a", "conv2a", "conv2b", "conv3b", "conv4a"]
    for module, kind in INCEPTION_V3:
        names += [f"{module}_{part}" for part in INCEPTION_V3_MODULES[kind].split()]
    for name, conv, norm in zip(
        names, numbered("conv2d"), numbered("batch_normalization"), strict=True
    ):
        yield conv, ours.get_layer(name)
        yield norm, ours.get_layer(f"{name}_bn")
    yield theirs.get_layer("predictions"), ours.get_layer("classifier")


def by_the_importer(theirs, ours):
    """The layers as import_weights.py pairs them, numbered ones from the first one on."""
    names = ORIGINS["keras", ours.name].names(nets.entry(ours.name))
    arrays = {f"{layer.name}/": layer for layer in theirs.layers if layer.weights}
    for name, layer in numbered_from_zero(arrays).items():
        yield layer, ours.get_layer(names[name.removesuffix("/")])


def transfer(pairs):
    """Copies weights. A bias before a normalisation, which we leave out, moves into its mean."""
    biases = {}
    for source, target in pairs:
        weights = {variable.name: variable.numpy() for variable in source.weights}
        if "bias" in weights and target.weights[-1].name != "bias":
            biases[f"{source.name.removesuffix('_conv')}_bn"] = weights["bias"]
        if source.name in biases:
            weights["moving_mean"] -= biases.pop(source.name)
        for variable in target.weights:
            variable.assign(weights[variable.name].reshape(variable.shape))
    assert not biases


def efficientnet(**arguments):
    """Keras's net but for its first layers, which normalise the images."""
    model = keras.applications.EfficientNetB0(**arguments)
    return keras.Model(model.get_layer("stem_conv_pad").input, model.output)


CASES = {
    "resnet50": (keras.applications.ResNet50, in_graph_order, 96, 0.5),
    "resnet50_v2_keras": (keras.applications.ResNet50V2, in_graph_order, 96, 0.5),
    "vgg16": (keras.applications.VGG16, in_graph_order, 64, 1.0),
    "vgg19": (keras.applications.VGG19, in_graph_order, 64, 1.0),
    "densenet121": (keras.applications.DenseNet121, in_graph_order, 96, 1.0),
    "mobilenet_v1": (keras.applications.MobileNet, in_graph_order, 96, 1.0),
    "mobilenet_v2": (keras.applications.MobileNetV2, by_the_importer, 96, 1.0),
    "mobilenet_v3_large": (
        functools.partial(keras.applications.MobileNetV3Large, include_preprocessing=False),
        *(in_graph_order, 96, 0.9),
    ),
    "mobilenet_v3_small": (
        functools.partial(keras.applications.MobileNetV3Small, include_preprocessing=False),
        *(in_graph_order, 96, 0.9),
    ),
    "efficientnet_b0": (efficientnet, in_graph_order, 96, 1.0),
    "xception": (keras.applications.Xception, in_graph_order, 96, 1.0),
    "inception_v3": (keras.applications.InceptionV3, in_order_of_creation, 139, 1.0),
    "inception_resnet_v2": (keras.applications.InceptionResNetV2, by_the_importer, 75, 1.0),
}


@pytest.mark.slow(reason="it builds large nets twice")
@pytest.mark.parametrize("name", CASES)
def test_logits_equal_keras_applications(name):
    application, order, size, gamma = CASES[name]
    theirs = application(
        weights=None, classes=20, input_shape=(size, size, 3), classifier_activation=None
    )
    randomise(theirs, gamma)
    options = {"auxiliary": False} if "auxiliary" in nets.entry(name).options else {}
    ours = nets.build(name, 20, size, **options)
    transfer(order(theirs, ours))
    images = 10 * np.random.default_rng(5).normal(size=(2, size, size, 3)).astype("float32")
    expected = np.asarray(theirs(images, training=False))
    assert np.abs(expected[0] - expected[1]).max() > 0.01  # the images do matter
    np.testing.assert_allclose(ours(images, training=False), expected, atol=1e-4)


SQUEEZENET_NAMES = {"conv1x1_1": "squeeze1x1", "conv1x1_2": "expand1x1", "conv3x3_2": "expand3x3"}


def test_squeezenet_predicts_with_its_authors_weights(sample_dir):
    weights = np.load(sample_dir / "squeezenet1_0.npz")
    reference = np.load(sample_dir / "squeezenet1_0_reference.npz")
    model = nets.build("squeezenet1_0")
    for key in weights.files:
        *path, variable = key.replace("conv_final", "conv10").split(".")
        layer = model.get_layer("_".join(SQUEEZENET_NAMES.get(part, part) for part in path))
        getattr(layer, variable).assign(weights[key])
    assert len(weights.files) == len(model.weights)
    images = reference["images_rgb_uint8"][..., ::-1] - np.float32([104, 117, 123])
    logits = np.asarray(model(images, training=False))
    np.testing.assert_allclose(logits, reference["logits"], atol=1e-3)
    assert (logits.argmax(-1) == reference["labels"]).mean() > 0.5


BACKENDS = [name for name in ("jax", "torch") if importlib.util.find_spec(name)]
FORWARD = """
import sys
import numpy as np
import keras
import nets

assert keras.backend.backend() == sys.argv[1]
given, results = np.load(sys.argv[2]), {}
for name in ("alexnet", "squeezenet1_0", "resnet10"):
    model = nets.build(name, 5, 67)
    model.set_weights([given[f"{name}/{i}"] for i in range(len(model.weights))])
    results[name] = keras.ops.convert_to_numpy(model(given["images"], training=False))
np.savez(sys.argv[3], **results)
"""


@pytest.mark.skipif(not BACKENDS, reason="neither jax nor torch is installed beside TensorFlow")
def test_other_backends_give_the_same_logits(tmp_path):
    images = np.random.default_rng(5).normal(size=(2, 67, 67, 3)).astype("float32")
    given, expected = {"images": images}, {}
    for name in ("alexnet", "squeezenet1_0", "resnet10"):
        model = nets.build(name, 5, 67)
        given |= {f"{name}/{i}": weight for i, weight in enumerate(model.get_weights())}
        expected[name] = np.asarray(model(images, training=False))
    np.savez(tmp_path / "given.npz", **given)
    for backend in BACKENDS:
        done = subprocess.run(
            [sys.executable, "-c", FORWARD, backend, "given.npz", "results.npz"],
            cwd=tmp_path,
            env=os.environ | {"KERAS_BACKEND": backend},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        results = np.load(tmp_path / "results.npz")
        assert set(results.files) == set(expected)
        for key, logits in expected.items():
            np.testing.assert_allclose(results[key], logits, rtol=1e-3, atol=1e-4)
