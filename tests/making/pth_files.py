"""Makes PyTorch's files of weights, `.pth` and `.safetensors`, without torch."""

import collections
import io
import json
import pickle
import struct
import sys
import types
import zipfile
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

# By the dtype; ml_dtypes.bfloat16 is V2.
STORAGES = {
    "f4": "FloatStorage",
    "f8": "DoubleStorage",
    "i8": "LongStorage",
    "f2": "HalfStorage",
    "V2": "BFloat16Storage",
}
SAFETENSORS = {"f4": "F32", "f8": "F64", "i8": "I64", "f2": "F16", "V2": "BF16"}
BFLOAT16 = ml_dtypes.bfloat16


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


def pth(saved: Mapping[str, Any], *, legacy: bool = False, inside: str = "") -> bytes:
    """A `.pth` file of arrays, in dicts, among other things; all under a key of their own, or not.

    Each tensor begins elsewhere in its storage.
    """
    made = TorchPickle()

    def with_tensors(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return made.tensor(value, offset=len(made.storages))
        if isinstance(value, dict):
            return collections.OrderedDict((key, with_tensors(each)) for key, each in value.items())
        return value

    value = with_tensors(saved)
    if inside:
        value = {inside: value, "epoch": 90}
    pickled = made.dumps(value, legacy=legacy)
    if not legacy:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(zipfile.ZipInfo("archive/data.pkl"), pickled)
            for key, flat in made.storages.items():
                archive.writestr(zipfile.ZipInfo(f"archive/data/{key}"), flat.tobytes())
        return stream.getvalue()
    content = b"".join(pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001, {}))
    content += pickled + pickle.dumps(list(made.storages), 2)
    for flat in made.storages.values():
        content += struct.pack("<q", flat.size) + flat.tobytes()
    return content


def safetensors(arrays: Mapping[str, np.ndarray]) -> bytes:
    """A `.safetensors` file of these arrays."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    content = b""
    for name, array in arrays.items():
        begin, content = len(content), content + array.tobytes()
        header[name] = {
            "dtype": SAFETENSORS[array.dtype.str[1:]],
            "shape": list(array.shape),
            "data_offsets": [begin, len(content)],
        }
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content
