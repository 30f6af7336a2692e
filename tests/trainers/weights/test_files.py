"""Files of weights: what each format holds is read, and nothing in them is run."""

import argparse
import collections
import pathlib
import pickle
import zipfile

import keras
import numpy as np
import pytest

from base.errors import UserError
from tests.making.pth_files import BFLOAT16, pth, safetensors
from trainers.weights import files

RNG = np.random.default_rng(0)
ARRAYS = {
    "features.0.weight": RNG.normal(size=(4, 3, 2, 2)).astype(np.float32),
    "bn.running_var": RNG.uniform(size=4).astype(np.float64),
    "bn.num_batches_tracked": np.array(7, np.int64),
    "half": RNG.normal(size=(3, 2)).astype(np.float16),
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("inside", ["", "state_dict"])
def test_pth_files_are_read_without_torch(tmp_path, legacy, inside):
    path = tmp_path / "weights.pth"
    path.write_bytes(pth(ARRAYS, legacy=legacy, inside=inside))
    found = files.read(path)
    assert found.form == "torch"
    assert found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


def test_safetensors_are_read(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors(ARRAYS))
    found = files.read(path)
    assert found.form == "torch" and found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


@pytest.mark.parametrize("made", [pth, safetensors, lambda arrays: pth(arrays, legacy=True)])
def test_bfloat16_is_read_as_float32(made, tmp_path):
    path, array = tmp_path / "weights", RNG.normal(size=(4, 3)).astype(BFLOAT16)
    path.write_bytes(made({"fc.weight": array, "half": array.astype(np.float16)}))
    found = files.read(path).arrays
    assert found["fc.weight"].dtype == np.float32 and found["half"].dtype == np.float16
    np.testing.assert_array_equal(found["fc.weight"], array.astype(np.float32))


def change(arrays, begin=""):
    return {begin + name: np.asarray(array + 1, array.dtype) for name, array in arrays.items()}


def under(begin, arrays=ARRAYS):
    return {begin + name: array for name, array in arrays.items()}


SAVED = {
    "torchvision's references": {
        "model": ARRAYS,
        "optimizer": {"state": {0: {"momentum_buffer": np.ones((4, 3), np.float32)}}, "param": []},
        "lr_scheduler": {"base_lrs": [0.5], "last_epoch": 90},
        "model_ema": change(ARRAYS, "module.") | {"n_averaged": np.array(7, np.int64)},
        "args": argparse.Namespace(data_path="/data", lr=0.5, device=pathlib.PurePosixPath("x")),
    },
    "timm": {
        "epoch": 3,
        "arch": "resnet50",
        "state_dict": ARRAYS,
        "args": argparse.Namespace(model="resnet50", mean=(0.5, 0.5)),
        "state_dict_ema": change(ARRAYS),
        "metric": np.float64(70.1),
    },
    "PyTorch's example": {
        "epoch": 90,
        "state_dict": under("module."),
        "best_acc1": np.array(76.1, np.float32),
    },
    "Lightning": {
        "state_dict": under("model._orig_mod."),
        "hyper_parameters": collections.Counter(lr=1),
        "callbacks": {"ModelCheckpoint": {"best_model_score": np.array(0.5, np.float32)}},
        "optimizer_states": [{"state": {}}],
    },
    "torch.compile": under("_orig_mod."),
    "of parts": {name.replace(".", "._orig_mod.", 1): array for name, array in ARRAYS.items()},
    "both": under("module._orig_mod."),
    "averaged alone": {"ema_state": under("module."), "step": 3},
}


@pytest.mark.parametrize("script", SAVED)
def test_checkpoints_of_training_scripts_give_the_trained_weights(script, tmp_path):
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(pth(SAVED[script]))
    found = files.read(path)
    assert found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found.arrays[name], array)


@pytest.mark.parametrize(
    ("script", "key", "averaged"),
    [("torchvision's references", "model", "model_ema"), ("timm", "state_dict", "state_dict_ema")],
)
def test_averaged_weights_are_named_and_chosen_by_a_flag(script, key, averaged, tmp_path):
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(pth(SAVED[script]))
    plain = files.read(path)
    assert (plain.key, plain.others) == (key, (averaged,))
    found = files.read(path, averaged)
    assert (found.key, found.others) == (averaged, (key,))
    for name, array in change(ARRAYS).items():
        np.testing.assert_array_equal(found.arrays[name], array)
    with pytest.raises(UserError, match=f"--from_key=other .* {key}, {averaged}"):
        files.read(path, "other")


def test_a_part_of_what_a_script_trained_is_chosen_by_its_name(tmp_path):
    path = tmp_path / "last.ckpt"
    more = {"criterion.weight": np.ones(3, np.float32), **under("ema.")}
    path.write_bytes(pth({"state_dict": under("model.") | more}))
    assert len(files.read(path).arrays) == 2 * len(ARRAYS) + 1, "nothing is left out unasked"
    assert files.read(path, "state_dict.model").arrays.keys() == ARRAYS.keys()
    path.write_bytes(pth(under("model.") | more))
    assert files.read(path, "model").arrays.keys() == ARRAYS.keys()


def test_of_several_nets_one_has_to_be_named(tmp_path):
    path = tmp_path / "gan.pth"
    path.write_bytes(pth({"generator": ARRAYS, "critic": ARRAYS}))
    with pytest.raises(UserError, match="--from_key says which, generator, critic"):
        files.read(path)
    assert files.read(path, "critic").arrays.keys() == ARRAYS.keys()


def test_what_is_no_tensor_among_weights_is_named(tmp_path):
    path = tmp_path / "net.pth"
    path.write_bytes(pth({"model": ARRAYS | {"args": argparse.Namespace()}}))
    with pytest.raises(UserError, match=r"holds a argparse.Namespace as 'args': only tensors"):
        files.read(path)
    path.write_bytes(pth({"model": ARRAYS | {"epoch": 3}}))
    with pytest.raises(UserError, match="its entry 'epoch' is no tensor"):
        files.read(path)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_runs_something_is_refused_and_not_run(tmp_path, zipped):
    path, trace = tmp_path / "weights.pth", tmp_path / "trace"
    pickled = pickle.dumps({"weight": Malicious(trace)}, 2)
    pickle.loads(pickled)
    assert trace.exists(), "it does run something"
    trace.unlink()
    path.write_bytes(pickled)
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickled)
    with pytest.raises(UserError, match=r"holds a [\w.]+: only tensors"):
        files.read(path)
    assert not trace.exists()


@pytest.mark.parametrize("legacy", [True, False])
def test_what_would_run_something_beside_the_weights_is_passed_over(tmp_path, legacy):
    path, trace = tmp_path / "weights.pth", tmp_path / "trace"
    objects = {"args": Malicious(trace), "list": [Malicious(trace), argparse.Namespace(a={1: 2})]}
    path.write_bytes(pth({"model": ARRAYS, **objects}, legacy=legacy))
    assert files.read(path).arrays.keys() == ARRAYS.keys()
    assert not trace.exists()


def test_a_whole_net_is_named_with_the_remedy(tmp_path):
    path = tmp_path / "net.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(argparse.Namespace(layers=[1]), 2))
    with pytest.raises(UserError, match=r"holds a argparse.Namespace: .* save its state_dict\(\)"):
        files.read(path)


def test_a_key_is_for_files_that_have_keys(tmp_path):
    np.savez(tmp_path / "net.npz", **ARRAYS)
    with pytest.raises(UserError, match="--from_key=model: only PyTorch's files have keys"):
        files.read(tmp_path / "net.npz", "model")


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(pth({"weight": np.zeros((4, 4), np.float32)}))
    content = tmp_path / "cut.pth"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(content, "w") as new:
        new.writestr("archive/data.pkl", old.read("archive/data.pkl"))
        new.writestr("archive/data/0", b"\0" * 16)
    with pytest.raises(UserError, match="cannot be read"):
        files.read(content)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_take_all_memory_is_refused(tmp_path, zipped):
    path = tmp_path / "weights.pth"
    pickled = b"\x80\x02}r\xff\xff\xff\x7f."  # an empty dict, which is object 2^31 - 1
    path.write_bytes(pickled)
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickled)
    with pytest.raises(UserError, match="numbered 2147483647 after 2 instructions"):
        files.read(path)


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, use_bias=False, name="block_conv")(inputs)
    x = keras.layers.BatchNormalization(name="block_bn")(x)
    x = keras.layers.BatchNormalization(scale=False, name="plain_bn")(x)
    x = keras.layers.DepthwiseConv2D(3, use_bias=False, name="dw")(x)
    x = keras.layers.Flatten()(x)
    made = keras.Model(inputs, keras.layers.Dense(5, name="predictions")(x))
    for variable in made.weights:
        variable.assign(RNG.normal(size=variable.shape))
    return made


@pytest.mark.parametrize("suffix", [".h5", ".keras", ".weights.h5"])
def test_keras_files_are_read_by_layer_and_variable(model, tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    (model.save_weights if suffix == ".weights.h5" else model.save)(path)
    found = files.read(path)
    wanted = {f"{layer.name}/{v.name}": v.numpy() for layer in model.layers for v in layer.weights}
    assert found.form == "keras"
    assert found.arrays.keys() == wanted.keys()
    assert "plain_bn/moving_variance" in wanted and "dw/kernel" in wanted
    for name, array in wanted.items():
        np.testing.assert_array_equal(found.arrays[name], array)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "scaled"])
def test_an_optimizer_in_a_keras_file_is_passed_over(model, tmp_path, optimizer):
    scaled = keras.mixed_precision.LossScaleOptimizer(keras.optimizers.SGD(momentum=0.9))
    model.compile(scaled if optimizer == "scaled" else optimizer, "mse", metrics=["mae"])
    model.train_on_batch(np.zeros((2, 8, 8, 3)), np.zeros((2, 5)))
    wanted = {f"{layer.name}/{v.name}": v.numpy() for layer in model.layers for v in layer.weights}
    for suffix in (".h5", ".keras", ".weights.h5"):
        path = tmp_path / f"net{suffix}"
        (model.save_weights if suffix == ".weights.h5" else model.save)(path)
        found = files.read(path).arrays
        assert found.keys() == wanted.keys()
        for name, array in wanted.items():
            np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    "content", [b"", b"\x89HDF\r\n\x1a\nrubbish", b"PK\x03\x04 rubbish", b"rubbish"]
)
def test_what_is_no_file_of_weights_is_one_line(tmp_path, content):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=r"cannot be read as .h5, .keras, .pth, .safetensors or .npz"
    ) as error:
        files.read(path)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="there is no such file"):
        files.read(tmp_path / "missing")


def test_other_pickles_than_state_dicts_are_refused(tmp_path):
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps([1, 2], 2))
    with pytest.raises(UserError, match="holds a list, not a state dict"):
        files.read(path)
