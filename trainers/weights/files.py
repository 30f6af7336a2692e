"""Reads trained weights that others have published, by the file's content: named arrays.

- Keras: `.weights.h5` and `.keras` of Keras 3, and the `.h5` files of Keras 2 and
  keras.applications; arrays are named `<layer>/<variable>`.
- PyTorch: `.pth`, both the zip files of today and those from before version 1.6; arrays are named
  as in the state dict. No torch is needed. A `.pth` is a pickle, which could run anything: here
  only tensors, numbers and containers are unpickled, anything else is refused by name.
- NumPy: `.npz`, names as they are.
"""

import collections
import dataclasses
import io
import math
import mmap
import pathlib
import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import h5py
import numpy as np

from base.errors import UserError

Form = Literal["keras", "torch", "numpy"]

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
# Where training scripts keep the state dict among other things.
_STATE_DICT_KEYS = ("state_dict", "model", "model_ema")

# A layer's variables in the order in which Keras 3 stores them, by their number and whether the
# first is a kernel.
_KERNEL_VARIABLES = ("kernel", "bias")
_NORM_VARIABLES = {
    4: ("gamma", "beta", "moving_mean", "moving_variance"),
    3: ("beta", "moving_mean", "moving_variance"),
}


@dataclasses.dataclass(frozen=True)
class WeightFile:
    """One file of weights.

    Attributes:
        path: the file.
        form: where its names and its layout of arrays come from.
        arrays: by name.
    """

    path: pathlib.Path
    form: Form
    arrays: Mapping[str, np.ndarray]


def read(path: pathlib.Path) -> WeightFile:
    """Reads a file of weights.

    Raises:
        UserError: it is missing, damaged, holds something else than weights, or more than weights.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
        if start == b"\x89HDF\r\n\x1a\n":
            with h5py.File(path) as h5:
                return WeightFile(path, "keras", dict(_keras_arrays(h5)))
        if not zipfile.is_zipfile(path):
            return WeightFile(path, "torch", _state_dict(_LegacyTorch(path).read()))
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "model.weights.h5" in names:
                with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as h5:
                    return WeightFile(path, "keras", dict(_keras_arrays(h5)))
            if any(name.endswith("/data.pkl") for name in names):
                return WeightFile(path, "torch", _state_dict(_zipped_torch(archive)))
        with np.load(path, allow_pickle=False) as arrays:
            return WeightFile(path, "numpy", {name: arrays[name] for name in arrays.files})
    except FileNotFoundError:
        raise UserError(f"--from={path}: there is no such file") from None
    except _RefusedError as error:
        raise UserError(f"--from={path} {error}: only tensors are read from such files") from None
    except Exception as error:  # damaged files raise nearly anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"--from={path} cannot be read as .h5, .keras, .pth or .npz ({reason})"
        ) from None


def _keras_arrays(file: Any) -> Iterator[tuple[str, np.ndarray]]:
    file = file.get("model_weights", file)
    if "layer_names" in file.attrs:
        for layer in (_text(name) for name in file.attrs["layer_names"]):
            for weight in (_text(name) for name in file[layer].attrs["weight_names"]):
                variable = weight.split("/")[-1].removesuffix(":0")
                yield (
                    f"{layer}/{variable.replace('depthwise_kernel', 'kernel')}",
                    file[layer][weight][()],
                )
        return
    groups: list[Any] = []
    file.visititems(lambda path, item: groups.append(item) if path.endswith("/vars") else None)
    for group in groups:
        arrays = [group[str(index)][()] for index in range(len(group))]
        names = (
            _KERNEL_VARIABLES if arrays and arrays[0].ndim > 1 else _NORM_VARIABLES.get(len(arrays))
        )
        if not arrays:
            continue
        if names is None or len(arrays) > len(names):
            raise ValueError(f"layer {group.attrs['name']} has {len(arrays)} variables")
        for name, array in zip(names, arrays, strict=False):
            yield f"{_text(group.attrs['name'])}/{name}", array


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class _RefusedError(Exception):
    """The pickle holds something that is not loaded."""


@dataclasses.dataclass(frozen=True)
class _StorageType:
    """What stands for torch.FloatStorage and the like."""

    dtype: Any


class _Unpickler(pickle.Unpickler):
    """Unpickles tensors, numbers, strings and containers, and nothing else."""

    def __init__(self, file: Any, storage: Callable[[Any], Any]):
        super().__init__(file)
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        """The few names that state dicts use."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda data, *rest: data
        if module == "torch" and name in _STORAGES:
            return _StorageType(_STORAGES[name])
        raise _RefusedError(f"holds a {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        """A storage: a flat array."""
        return self._storage(pid)


def _unpickled(file: Any, storage: Callable[[Any], Any]) -> Any:
    """What the pickle at a file's position holds.

    First its instructions are looked through, as the unpickler has memory for any number of
    objects at once, if one of them says so.
    """
    start = file.tell()
    with warnings.catch_warnings(action="ignore"):  # of texts that are damaged
        for place, (operation, argument, _) in enumerate(pickletools.genops(file)):
            if argument is not None and operation.name.endswith("PUT") and argument > place:
                raise ValueError(f"an object is numbered {argument} after {place} instructions")
    file.seek(start)
    return _Unpickler(file, storage).load()


def _tensor(
    storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: Any
) -> Any:
    """What torch's _rebuild_tensor_v2 gives, as a NumPy array, or as a function of the storage."""
    if callable(storage):
        return lambda: _tensor(storage(), offset, size, stride)
    item = storage.dtype.itemsize
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if 0 not in size and (min(stride, default=0) < 0 or not 0 <= last < len(storage)):
        raise ValueError("a tensor reaches beyond its storage")
    if math.prod(size) > len(storage):
        raise ValueError("a tensor is larger than its storage")
    return np.lib.stride_tricks.as_strided(
        storage[offset:], size, [step * item for step in stride]
    ).copy()


def _zipped_torch(archive: zipfile.ZipFile) -> Any:
    name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
    folder = name.removesuffix("data.pkl")

    def storage(pid: Any) -> np.ndarray:
        _, kind, key, _, count = pid
        return np.frombuffer(archive.read(f"{folder}data/{key}"), kind.dtype, count)

    return _unpickled(io.BytesIO(archive.read(name)), storage)


class _LegacyTorch:
    """A `.pth` from before PyTorch 1.6: pickles, and then the storages' bytes in a row."""

    def __init__(self, path: pathlib.Path):
        self._path = path
        self._types: dict[str, Any] = {}
        self._storages: dict[str, np.ndarray] = {}

    def read(self) -> Any:
        """The unpickled object, with arrays for tensors."""
        # Mapped, as a file has memory for as many bytes as it is asked for.
        with (
            self._path.open("rb") as whole,
            mmap.mmap(whole.fileno(), 0, access=mmap.ACCESS_READ) as file,
        ):
            if self._load(file) != _LEGACY_MAGIC:
                raise ValueError("no weights that are known here")
            self._load(file)  # protocol version
            self._load(file)  # system information
            value = self._load(file)
            for key in self._load(file):
                count = int.from_bytes(file.read(8), "little")
                dtype = np.dtype(self._types[key])
                self._storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
        return _called(value)

    def _load(self, file: Any) -> Any:
        return _unpickled(file, self._storage)

    def _storage(self, pid: Any) -> Any:
        _, kind, key, _, _, view = pid
        if view is not None:
            raise ValueError("a storage is a view of another")
        self._types[key] = kind.dtype
        return lambda: self._storages[key]


def _called(value: Any) -> Any:
    """Tensors in the place of functions that make them, once their storages are read."""
    if isinstance(value, Mapping):
        return {key: _called(each) for key, each in value.items()}
    return value() if callable(value) else value


def _state_dict(value: Any) -> dict[str, np.ndarray]:
    for key in _STATE_DICT_KEYS:
        if isinstance(value, Mapping) and isinstance(value.get(key), Mapping):
            value = value[key]
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"it holds a {type(value).__name__}, not a state dict")
    arrays = {key: each for key, each in value.items() if isinstance(each, np.ndarray)}
    if len(arrays) < len(value):
        odd = next(key for key in value if key not in arrays)
        raise ValueError(f"its entry {odd!r} is no tensor")
    return {str(key).removeprefix("module."): array for key, array in arrays.items()}
