"""The same numbers as implementations that aren't ours, from the same weights."""

import functools
import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import nets
from trainers.weights.assigning import assign
from trainers.weights.files import read


def randomise(model, gamma):
    """Gives a net weights that exercise everything: biases and batch statistics too.

    Gammas lie around ``gamma``: what keeps the logits near 1, and the images' share in them.
    """
    rng = np.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            continue
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


def efficientnet(**arguments):
    """Keras's net; a file of published weights also has what its first layers subtract."""
    model = keras.applications.EfficientNetB0(**arguments)
    model.get_layer("normalization").weights[0].assign([0.485, 0.456, 0.406])
    return model


def without_preprocessing(application):
    return functools.partial(application, include_preprocessing=False)


# The net, its images' size, gammas, and the file in which its weights are carried over.
CASES = {
    "resnet50": (keras.applications.ResNet50, 96, 0.5, ".h5"),
    "resnet50_v2_keras": (keras.applications.ResNet50V2, 96, 0.5, ".h5"),
    "vgg16": (keras.applications.VGG16, 64, 1.0, ".keras"),
    "vgg19": (keras.applications.VGG19, 64, 1.0, ".h5"),
    "densenet121": (keras.applications.DenseNet121, 96, 1.0, ".weights.h5"),
    "mobilenet_v1": (keras.applications.MobileNet, 96, 1.0, ".weights.h5"),
    "mobilenet_v2": (keras.applications.MobileNetV2, 96, 1.0, ".h5"),
    "mobilenet_v3_large": (
        *(without_preprocessing(keras.applications.MobileNetV3Large), 96, 0.9, ".h5"),
    ),
    "mobilenet_v3_small": (
        *(without_preprocessing(keras.applications.MobileNetV3Small), 96, 0.9, ".weights.h5"),
    ),
    "efficientnet_b0": (efficientnet, 96, 1.0, ".weights.h5"),
    "xception": (keras.applications.Xception, 96, 1.0, ".h5"),
    "inception_v3": (keras.applications.InceptionV3, 139, 1.0, ".weights.h5"),
    "inception_resnet_v2": (keras.applications.InceptionResNetV2, 75, 1.0, ".h5"),
    "convnext_tiny": (*(without_preprocessing(keras.applications.ConvNeXtTiny), 32, 1.0, ".h5"),),
}


@pytest.mark.slow(reason="it builds large nets twice")
@pytest.mark.parametrize("name", CASES)
def test_logits_equal_keras_applications(name, tmp_path):
    application, size, gamma, suffix = CASES[name]
    theirs = application(
        weights=None, classes=20, input_shape=(size, size, 3), classifier_activation=None
    )
    randomise(theirs, gamma)
    path = tmp_path / f"net{suffix}"
    (theirs.save_weights if suffix == ".weights.h5" else theirs.save)(path)
    options = {"auxiliary": False} if "auxiliary" in nets.entry(name).options else {}
    ours = nets.build(name, 20, size, **options)
    assign(ours, read(path), nets.entry(name))
    images = 10 * np.random.default_rng(5).normal(size=(2, size, size, 3)).astype("float32")
    if name.startswith("efficientnet"):  # behind what normalises their images
        theirs = keras.Model(theirs.get_layer("stem_conv_pad").input, theirs.output)
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
