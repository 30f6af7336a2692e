"""Files of weights: what each format holds is read, and nothing in them is run."""

import pathlib
import pickle
import zipfile

import keras
import numpy as np
import pytest

from base.errors import UserError
from tests.making.pth_files import pth
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


@pytest.mark.parametrize(
    "content", [b"", b"\x89HDF\r\n\x1a\nrubbish", b"PK\x03\x04 rubbish", b"rubbish"]
)
def test_what_is_no_file_of_weights_is_one_line(tmp_path, content):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot be read as .h5, .keras, .pth or .npz") as error:
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
