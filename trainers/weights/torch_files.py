"""Reads PyTorch's files of weights without torch, and without running anything that is in them.

- `.pth`, both the zip files of today and those from before version 1.6. Such a file is a pickle,
  which could run anything. Here tensors, numbers and containers are made; for an object of any
  other class (argparse.Namespace, a schedule) stands one that does nothing.
- `.safetensors`: a header in JSON, and the arrays' bytes.

Both hold what training scripts save: `state_dicts.py` finds the weights in it.
"""

import collections
import dataclasses
import io
import json
import math
import mmap
import pathlib
import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_BFLOAT16 = "bfloat16"  # which NumPy has not: the upper half of a float32
# NumPy's dtypes by torch's storages, and by safetensors' names.
_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": _BFLOAT16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_SAFETENSORS = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": _BFLOAT16,
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}
_HEADER_LENGTH = 8  # bytes, before the header of safetensors


class RefusedError(Exception):
    """In the place of weights there is something that is not read; the message names it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor that is not read yet: a view of a storage, which is a flat array."""

    storage: Callable[[], np.ndarray]
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def array(self) -> np.ndarray:
        """Its numbers; those of bfloat16 as float32. Raises ValueError where it has none."""
        flat, size, stride = self.storage(), self.size, self.stride
        last = self.offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if 0 not in size and (min(stride, default=0) < 0 or not 0 <= last < len(flat)):
            raise ValueError("a tensor reaches beyond its storage")
        if math.prod(size) > len(flat):
            raise ValueError("a tensor is larger than its storage")
        strides = [step * flat.itemsize for step in stride]
        return np.lib.stride_tricks.as_strided(flat[self.offset :], size, strides).copy()


class Opaque:
    """Stands for a class or function that is not known here, and for what it would have made."""

    name = ""

    def __new__(cls, *given: Any, **named: Any) -> "Opaque":
        """An instance, whatever is given."""
        return super().__new__(cls)

    def __init__(self, *given: Any, **named: Any):
        pass

    def _ignore(self, *given: Any) -> "Opaque":
        return self

    # What an unpickler calls of an object.
    __call__ = __setitem__ = __setstate__ = append = extend = add = _ignore


@dataclasses.dataclass(frozen=True, slots=True)
class _StorageType:
    """What stands for torch.FloatStorage and the like."""

    dtype: str


class _Unpickler(pickle.Unpickler):
    """Unpickles tensors, numbers, strings and containers, and runs nothing of the file's."""

    def __init__(self, file: Any, storage: Callable[[Any], Any]):
        super().__init__(file)
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        """The few names that state dicts use; for any other one a class that does nothing."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch" and name in _STORAGES:
            return _StorageType(_STORAGES[name])
        return _REBUILD.get((module, name)) or type(
            "Opaque", (Opaque,), {"name": f"{module}.{name}"}
        )

    def persistent_load(self, pid: Any) -> Any:
        """A storage, as a function."""
        return self._storage(pid)


def _tensor(storage: Any, offset: int, size: Any, stride: Any, *rest: Any) -> Tensor:
    return Tensor(storage, offset, size, stride)


_REBUILD: dict[tuple[str, str], Callable[..., Any]] = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): lambda data, *rest: data,
    ("torch._utils", "_rebuild_parameter_with_state"): lambda data, *rest: data,
    ("torch._tensor", "_rebuild_from_type_v2"): lambda rebuild, kind, given, state: rebuild(*given),
}


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


def _dtype(kind: Any) -> str:
    if not isinstance(kind, _StorageType):
        raise RefusedError(f"holds a {getattr(kind, 'name', kind)}")
    return kind.dtype


def _numbers(content: bytes, dtype: str, count: int = -1) -> np.ndarray:
    """The numbers in bytes, as a flat array."""
    if dtype == _BFLOAT16:
        return (np.frombuffer(content, "<u2", count).astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(content, dtype, count)


def read_zipped(archive: zipfile.ZipFile) -> Any:
    """What torch.save has written into a zip file, with `Tensor`s."""
    name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
    folder = name.removesuffix("data.pkl")
    order = f"{folder}byteorder"
    if order in archive.namelist() and _content(archive, order) != b"little":
        raise ValueError("its numbers are big-endian")

    def storage(pid: Any) -> Callable[[], np.ndarray]:
        _, kind, key, _, count = pid
        return lambda: _numbers(_content(archive, f"{folder}data/{key}"), _dtype(kind), count)

    return _unpickled(io.BytesIO(_content(archive, name)), storage)


def _content(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member's bytes. zipfile has memory for as many as the directory says, true or not."""
    assert archive.fp is not None
    place = archive.fp.tell()
    end = archive.fp.seek(0, io.SEEK_END)
    archive.fp.seek(place)
    if archive.getinfo(name).compress_size > end:
        raise zipfile.BadZipFile(f"{name} is longer than the file")
    return archive.read(name)


class LegacyFile:
    """A `.pth` from before PyTorch 1.6: pickles, and then the storages' bytes in a row."""

    def __init__(self, path: pathlib.Path):
        self._path = path
        self._types: dict[str, Any] = {}
        self._storages: dict[str, np.ndarray] = {}

    def read(self) -> Any:
        """The unpickled object, with `Tensor`s."""
        # Mapped, as a file has memory for as many bytes as it is asked for.
        with (
            self._path.open("rb") as whole,
            mmap.mmap(whole.fileno(), 0, access=mmap.ACCESS_READ) as file,
        ):
            if (value := self._load(file)) != _LEGACY_MAGIC:
                return value  # a pickle of something else
            self._load(file)  # protocol version
            self._load(file)  # system information
            value = self._load(file)
            for key in self._load(file):
                count = int.from_bytes(file.read(8), "little")
                dtype = _dtype(self._types[key])
                size = 2 if dtype == _BFLOAT16 else np.dtype(dtype).itemsize
                self._storages[key] = _numbers(file.read(count * size), dtype)
        return value

    def _load(self, file: Any) -> Any:
        return _unpickled(file, self._storage)

    def _storage(self, pid: Any) -> Any:
        _, kind, key, _, _, view = pid
        if view is not None:
            raise ValueError("a storage is a view of another")
        self._types[key] = kind
        return lambda: self._storages[key]


def is_safetensors(start: bytes, size: int) -> bool:
    """Whether a file of so many bytes that starts so may be one of safetensors."""
    length = int.from_bytes(start[:_HEADER_LENGTH], "little")
    return start[_HEADER_LENGTH:].startswith(b"{") and length <= size - _HEADER_LENGTH


def read_safetensors(path: pathlib.Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file, by name.

    Source: https://huggingface.co/docs/safetensors, "Format".
    """
    content = path.read_bytes()
    begin = _HEADER_LENGTH + int.from_bytes(content[:_HEADER_LENGTH], "little")
    tensors = {}
    for name, about in json.loads(content[_HEADER_LENGTH:begin]).items():
        if name == "__metadata__":
            continue
        if about["dtype"] not in _SAFETENSORS:
            raise RefusedError(f"holds numbers of the type {about['dtype']}")
        first, end = (begin + place for place in about["data_offsets"])
        flat = _numbers(content[first:end], _SAFETENSORS[about["dtype"]])
        size = tuple(about["shape"])
        if math.prod(size) != len(flat):
            raise ValueError(f"{name} has {len(flat)} numbers for the shape {size}")
        stride = tuple(math.prod(size[axis + 1 :]) for axis in range(len(size)))
        tensors[name] = Tensor(lambda flat=flat: flat, 0, size, stride)  # type: ignore[misc]
    return tensors
