"""Files of weights: what each format holds is read, and nothing in them is run."""

import collections
import io
import pathlib
import pickle
import struct
import sys
import types
import zipfile

import keras
import numpy as np
import pytest

from base.commandline import UserError
from trainers.weights import files

RNG = np.random.default_rng(0)
ARRAYS = {
    "features.0.weight": RNG.normal(size=(4, 3, 2, 2)).astype(np.float32),
    "bn.running_var": RNG.uniform(size=4).astype(np.float64),
    "bn.num_batches_tracked": np.array(7, np.int64),
    "half": RNG.normal(size=(3, 2)).astype(np.float16),
}
STORAGES = {"f4": "FloatStorage", "f8": "DoubleStorage", "i8": "LongStorage", "f2": "HalfStorage"}


class TorchPickle:
    """Writes what torch.save writes, without torch: its functions are named and never called."""

    def __init__(self):
        self.torch, self.utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

        def rebuild():
            raise AssertionError("called")

        rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
        rebuild.__name__ = "_rebuild_tensor_v2"
        self.utils._rebuild_tensor_v2 = rebuild
        for name in STORAGES.values():
            setattr(self.torch, name, type(name, (), {"__module__": "torch"}))
        self.storages: dict[str, np.ndarray] = {}

    def tensor(self, array: np.ndarray, offset: int = 0):
        """An object that is pickled as a tensor at `offset` of its storage, in reversed axes."""
        owner = self
        transposed = np.array(array.T, order="C")
        flat = np.concatenate([np.zeros(offset, array.dtype), transposed.ravel()])
        strides = tuple(step // array.itemsize for step in transposed.strides[::-1])

        class Tensor:
            def __reduce__(self):
                arguments = (Storage(), offset, array.shape, strides, False, None)
                return owner.utils._rebuild_tensor_v2, arguments

        class Storage:
            key = str(len(owner.storages))
            kind = getattr(owner.torch, STORAGES[array.dtype.str[1:]])
            count = flat.size

        self.storages[Storage.key] = flat
        return Tensor()

    def dumps(self, value, *, legacy: bool) -> bytes:
        stream = io.BytesIO()

        class Pickler(pickle.Pickler):
            def persistent_id(self, obj):
                if type(obj).__name__ != "Storage":
                    return None
                rest = (None,) if legacy else ()
                return ("storage", obj.kind, obj.key, "cpu", obj.count, *rest)

        modules = {"torch": self.torch, "torch._utils": self.utils}
        kept = {name: sys.modules.get(name) for name in modules}
        sys.modules.update(modules)
        try:
            Pickler(stream, 2).dump(value)
        finally:
            for name, module in kept.items():
                if module is None:
                    del sys.modules[name]
                else:
                    sys.modules[name] = module
        return stream.getvalue()


def write_pth(path: pathlib.Path, arrays, *, legacy: bool = False, inside: str = "") -> None:
    made = TorchPickle()
    value = collections.OrderedDict(
        (name, made.tensor(array, offset=index))
        for index, (name, array) in enumerate(arrays.items())
    )
    if inside:
        value = {inside: value, "epoch": 90}
    pickled = made.dumps(value, legacy=legacy)
    if not legacy:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickled)
            for key, flat in made.storages.items():
                archive.writestr(f"archive/data/{key}", flat.tobytes())
        return
    content = b"".join(pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001, {}))
    content += pickled + pickle.dumps(list(made.storages), 2)
    for flat in made.storages.values():
        content += struct.pack("<q", flat.size) + flat.tobytes()
    path.write_bytes(content)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("inside", ["", "state_dict"])
def test_pth_files_are_read_without_torch(tmp_path, legacy, inside):
    path = tmp_path / "weights.pth"
    write_pth(path, ARRAYS, legacy=legacy, inside=inside)
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
    write_pth(path, {"weight": np.zeros((4, 4), np.float32)})
    content = tmp_path / "cut.pth"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(content, "w") as new:
        new.writestr("archive/data.pkl", old.read("archive/data.pkl"))
        new.writestr("archive/data/0", b"\0" * 16)
    with pytest.raises(UserError, match="cannot be read"):
        files.read(content)


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
