"""Imported weights: the publisher's logits, every array used once, anything else refused."""

import json
import pathlib
import re

import h5py
import keras
import numpy as np
import pytest

import nets
from base.errors import UserError
from pipelines.config import Phase
from tests.conftest import run_command
from tests.making.datasets import write_dataset
from tests.making.pth_files import BFLOAT16, pth
from trainers import config
from trainers.config import TrainedConfig
from trainers.run_folder import continuing
from trainers.run_folder.finding import find_run
from trainers.serving.classifier import Classifier
from trainers.weights import importing
from trainers.weights.assigning import arrays_for
from trainers.weights.config import ImportConfig
from trainers.weights.files import WeightFile, read
from trainers.weights.names import ORIGINS
from trainers.weights.transformer_names import big_vision_vit

CLASSES = 20
RNG = np.random.default_rng(0)


def test_files_of_keras_1_name_variables_otherwise(tmp_path):
    """keras.applications' VGG files have block1_conv1/block1_conv1_W_1:0."""
    theirs = keras.applications.VGG16(weights=None, classes=3, input_shape=(32, 32, 3))
    with h5py.File(tmp_path / "vgg16.h5", "w") as file:
        file.attrs["layer_names"] = [layer.name for layer in theirs.layers]
        for layer in theirs.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}_{letter}_1:0" for letter in "Wb"][: len(layer.weights)]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, variable in zip(names, layer.weights, strict=True):
                group[name] = variable.numpy()
    ours = nets.build("vgg16", 3, 32)
    importing.assign(ours, read(tmp_path / "vgg16.h5"), nets.entry("vgg16"))
    for mine, given in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, given)


def keras_file(name, arrays):
    return WeightFile(pathlib.Path(f"{name}.h5"), "keras", arrays)


def test_keras_2_spelled_mobilenet_v3_with_slashes():
    ours = nets.build("mobilenet_v3_small", 3, 32)
    spelled = (
        *(("conv1", "Conv"), ("conv1_bn", "Conv/BatchNorm"), ("fc2", "Logits")),
        *(
            ("bneck1_se_up", "expanded_conv/squeeze_excite/Conv_1"),
            ("conv2_bn", "Conv_1/BatchNorm"),
        ),
        ("bneck2_project_bn", "expanded_conv_1/project/BatchNorm"),
    )
    arrays = {
        f"{theirs}/{variable.name}": variable.numpy()
        for layer, theirs in spelled
        for variable in ours.get_layer(layer).weights
    }
    entry = nets.entry("mobilenet_v3_small")
    found = arrays_for(ours, keras_file("mobilenet_v3", arrays), entry)
    assert {name.partition("/")[0] for name in found} == {layer for layer, _ in spelled}


def test_an_efficientnet_whose_images_were_normalised_otherwise_is_refused():
    ours = nets.build("efficientnet_b0", 3, 32)
    arrays = {"normalization/mean": np.float32([0, 0, 0])}
    with pytest.raises(UserError, match=r"subtracts \[0.0, 0.0, 0.0\].*--keep_device_map"):
        arrays_for(ours, keras_file("b0", arrays), nets.entry("efficientnet_b0"))


# What torchvision's state dicts hold: the numbers of arrays, without batch counters.
TORCHVISION_ARRAYS = {
    "resnet18": 102,
    "resnet50_v1_5": 267,
    "resnext50_32x4d": 267,
    "wide_resnet50_2": 267,
    "vgg11": 22,
    "vgg16": 32,
    "alexnet_owt": 16,
    "squeezenet1_0": 52,
    "squeezenet1_1": 52,
    "densenet121": 606,
    "densenet161": 806,
    "inception_v3_torchvision": 484,
}


@pytest.mark.slow(reason="it builds large nets")
@pytest.mark.parametrize("name", TORCHVISION_ARRAYS)
def test_torchvisions_names_cover_every_variable_once(name):
    size = {"inception_v3_torchvision": 299, "alexnet_owt": 99}.get(name, 64)
    model = nets.build(name, 3, size)
    names = ORIGINS["torch", name].names(nets.entry(name))
    layers = [layer.name for layer in model.layers if layer.weights]
    assert set(names.values()) >= set(layers)
    # Of densenet's two spellings, one.
    spelled = [n for n in names if not re.search(r"\.(norm|conv)\.\d$", n)]
    used = [names[n] for n in spelled if names[n] in layers]
    assert sorted(used) == sorted(layers)
    assert len(model.weights) == TORCHVISION_ARRAYS[name]


def test_big_visions_arrays_are_joined_by_head():
    """A net's own weights, written as big_vision writes them, come back as they were."""
    ours = nets.build("vit_s16", 3, 32)
    for layer in ours.layers:
        layer.set_weights([RNG.normal(size=weight.shape) for weight in layer.get_weights()])
    names = {mine: theirs for theirs, mine in big_vision_vit(nets.entry("vit_s16")).items()}
    arrays = {}
    for layer in ours.layers:
        for variable in layer.weights:
            array, name = variable.numpy(), names[layer.name]
            part = {"gamma": "scale", "beta": "bias"}.get(variable.name, variable.name)
            if name.endswith("/qkv"):
                for each, of_each in zip(
                    ("query", "key", "value"), np.split(array, 3, -1), strict=True
                ):
                    key = f"params/{name.removesuffix('qkv')}{each}/{part}"
                    arrays[key] = of_each.reshape(*array.shape[:-1], 6, 64)
            elif name.endswith("/out") and part == "kernel":
                arrays[f"params/{name}/{part}"] = array.reshape(6, 64, -1)
            else:
                arrays[f"params/{name}/{part}"] = array
    expected = [weight.numpy() for weight in ours.weights]
    for layer in ours.layers:
        layer.set_weights([np.zeros(weight.shape) for weight in layer.get_weights()])
    importing.assign(ours, WeightFile("file", "numpy", arrays), nets.entry("vit_s16"))
    for weight, array in zip(ours.weights, expected, strict=True):
        np.testing.assert_array_equal(weight, array)


def test_positions_of_another_image_size_are_resampled():
    timms = {"blocks.0.norm1.weight": np.ones(192), "cls_token": np.ones((1, 1, 192))}
    timms["pos_embed"] = np.concatenate([np.full((1, 1, 192), 7), np.ones((1, 24**2, 192))], 1)
    model, entry = nets.build("deit_tiny", 3, 32), nets.entry("deit_tiny")
    arrays = arrays_for(model, WeightFile("file", "torch", timms), entry)
    assert arrays["block1_norm1/gamma"].shape == (192,)
    assert arrays["class_token/tokens"].shape == (1, 192)
    embedding = arrays["positions/embedding"]
    assert embedding.shape == (1 + 14**2, 192) and (embedding[0] == 7).all()
    np.testing.assert_allclose(embedding[1:], 1, atol=1e-5)


def torch_squeezenet(classes: int = 3) -> dict[str, np.ndarray]:
    """A state dict of torchvision's squeezenet1_1, from its own table of layers."""
    arrays = {}

    def conv(name, outputs, inputs, size):
        arrays[f"{name}.weight"] = RNG.normal(size=(outputs, inputs, size, size))
        arrays[f"{name}.bias"] = RNG.normal(size=outputs)

    conv("features.0", 64, 3, 3)
    inputs = 64
    for place, squeeze, expand in (
        *((3, 16, 64), (4, 16, 64), (6, 32, 128), (7, 32, 128)),
        *((9, 48, 192), (10, 48, 192), (11, 64, 256), (12, 64, 256)),
    ):
        conv(f"features.{place}.squeeze", squeeze, inputs, 1)
        conv(f"features.{place}.expand1x1", expand, squeeze, 1)
        conv(f"features.{place}.expand3x3", expand, squeeze, 3)
        inputs = 2 * expand
    conv("classifier.1", classes, inputs, 1)
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def test_torch_kernels_are_transposed(tmp_path):
    arrays = torch_squeezenet()
    (tmp_path / "net.pth").write_bytes(pth(arrays))
    model = nets.build("squeezenet1_1", 3, 67)
    importing.assign(model, read(tmp_path / "net.pth"), nets.entry("squeezenet1_1"))
    kernel = model.get_layer("fire5_expand3x3").kernel.numpy()
    assert kernel[2, 1, 7, 40] == arrays["features.7.expand3x3.weight"][40, 7, 2, 1]
    np.testing.assert_array_equal(model.get_layer("conv10").bias, arrays["classifier.1.bias"])


@pytest.mark.slow(reason="it builds AlexNet")
def test_the_first_matrix_after_the_maps_is_reordered():
    model = nets.build("vgg11", 3, 64)  # 2x2 positions of 512 maps
    flat = RNG.normal(size=(4096, 512 * 4)).astype(np.float32)
    arrays = {}
    for theirs, ours in ORIGINS["torch", "vgg11"].names(nets.entry("vgg11")).items():
        kernel, bias = (v.numpy() for v in model.get_layer(ours).weights)
        axes = (3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)
        arrays |= {f"{theirs}.weight": kernel.transpose(axes), f"{theirs}.bias": bias}
    arrays["classifier.0.weight"] = flat
    importing.assign(model, WeightFile("file", "torch", arrays), nets.entry("vgg11"))
    maps = RNG.normal(size=(2, 2, 512)).astype(np.float32)
    by_torch = flat @ maps.transpose(2, 0, 1).ravel()
    by_us = maps.ravel() @ model.get_layer("fc6").kernel.numpy()
    np.testing.assert_allclose(by_us, by_torch, rtol=1e-3, atol=1e-3)


def test_our_own_names_are_taken_for_any_net(tmp_path):
    model, other = (nets.build("resnet10", 3, 32, width=4) for _ in range(2))
    arrays = {f"{layer.name}.{v.name}": v for layer in model.layers for v in layer.weights}
    np.savez(tmp_path / "net.npz", **arrays)
    importing.assign(other, read(tmp_path / "net.npz"), nets.entry("resnet10"))
    for ours, theirs in zip(other.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: a.pop("features.4.squeeze.bias"), "the net has fire3_squeeze1x1/bias, the file"),
        (lambda a: a.update({"features.99.weight": a["features.0.weight"]}), "features.99.weight"),
        (lambda a: a.update({"classifier.1.gain": np.zeros(3)}), "it has conv10/gain"),
        (lambda a: a.update({"features.0.bias": np.zeros(9)}), r"conv1/bias has shape \(9,\)"),
        (lambda a: a.update({"features.0.bias": np.full(64, np.nan)}), "not finite"),
        (lambda a: a.update(torch_squeezenet(1000)), r"1000\) in the file, .* 3\) in the net"),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(change, says):
    model = nets.build("squeezenet1_1", 3, 67)
    before = [weight.numpy() for weight in model.weights]
    arrays = torch_squeezenet()
    change(arrays)
    with pytest.raises(UserError, match=says) as error:
        importing.assign(model, WeightFile("file", "torch", arrays), nets.entry("squeezenet1_1"))
    assert "\n" not in str(error.value)
    for old, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, weight.numpy())


@pytest.mark.parametrize(
    ("form", "name", "says"),
    [
        ("torch", "resnet50", "resnet50_v1_5"),
        ("keras", "resnet50_v1_5", "--net=resnet50$"),
        ("torch", "googlenet", "3x3 convolutions where the paper has 5x5"),
        ("torch", "zfnet", "no torch weights are known for --net=zfnet, but for: alexnet_owt"),
    ],
)
def test_nets_that_compute_something_else_are_refused(form, name, says):
    with pytest.raises(UserError, match=says):
        importing.assign(None, WeightFile("file", form, {}), nets.entry(name))


def test_an_imported_run_is_a_finished_one(tmp_path):
    data = write_dataset(tmp_path / "data", num_classes=3, size=72)
    (tmp_path / "net.pth").write_bytes(pth(torch_squeezenet()))
    train = config.parse(
        [
            "--net=squeezenet1_1",
            f"--data_dir={data}",
            "--train_map=decode_random_crop(67)",
            "--eval_map=decode_center_crop(67)",
        ]
    )
    made = ImportConfig(train=train, run=str(tmp_path / "runs" / "mine"))
    run, said = importing.import_weights(made, str(tmp_path / "net.pth"))
    assert "52 arrays of net.pth, all 52 variables of squeezenet1_1" in said[0]
    assert "67x67 pixels, by the flags" in said[1] and "the publisher's: mean_std" in said[2]
    assert run.directory == tmp_path / "runs" / "mine" / "1"
    assert run.finished
    assert find_run(str(tmp_path / "runs" / "mine")) == run
    assert run.config().pipeline.eval_device_map.startswith("mean_std((123.675, 116.28, 103.53)")
    result = json.loads((run.directory / "result.json").read_text())
    assert result["imported"]["file"] == "net.pth" and result["imported"]["arrays"] == 52
    assert continuing.find_interrupted(run.config()) is None


@pytest.mark.end_to_end
@pytest.mark.slow(reason="it runs the command")
def test_without_a_flag_file_the_authors_squeezenet_gives_their_results(sample_dir, tmp_path):
    data = write_dataset(tmp_path / "data", num_classes=1000, train=4, validation=1, size=230)
    done = run_command(
        "trainers/import_weights.py",
        "--net=squeezenet1_0",
        f"--from={sample_dir / 'squeezenet1_0.npz'}",
        f"--run={tmp_path / 'runs' / 'authors'}",
        f"--data_dir={data}",
    )
    assert "weights: 52 arrays of squeezenet1_0.npz, all 52 variables of squeezenet1_0" in (
        done.stdout
    )
    assert "227x227 pixels, the net's own: decode_center_crop(227)" in done.stdout
    assert "normalisation: the publisher's: to_bgr|subtract_mean((104.0, 117" in done.stdout
    run = find_run(str(tmp_path / "runs" / "authors"))
    reference = np.load(sample_dir / "squeezenet1_0_reference.npz")
    logits = Classifier(run, TrainedConfig()).logits(reference["images_rgb_uint8"])
    np.testing.assert_allclose(logits, reference["logits"], atol=1e-3)
    assert run.config().pipeline.train_map == "decode_random_crop(227)|random_flip"


def test_a_script_s_checkpoint_becomes_a_run_and_what_was_taken_is_said(tmp_path):
    data = write_dataset(tmp_path / "data", num_classes=3, size=230)
    averaged = {f"module.{name}": array + 1 for name, array in torch_squeezenet().items()}
    arrays = {name: array.astype(BFLOAT16) for name, array in torch_squeezenet().items()}
    saved = {"model": arrays, "model_ema": averaged | {"n_averaged": np.array(3)}, "epoch": 9}
    (tmp_path / "net.pth").write_bytes(pth(saved))
    train = config.parse(["--net=squeezenet1_1", f"--data_dir={data}"])
    for key, said in (
        ("", "its model (not model_ema:"),
        ("model_ema", "its model_ema (not model:"),
    ):
        made = ImportConfig(train=train, run=str(tmp_path / "runs" / "mine"), from_key=key)
        run, lines = importing.import_weights(made, str(tmp_path / "net.pth"), list(Phase))
        result = json.loads((run.directory / "result.json").read_text())
        assert result["imported"]["key"] == (key or "model")
        assert said in lines[0], lines
        assert "227x227 pixels, the net's own" in lines[1]
