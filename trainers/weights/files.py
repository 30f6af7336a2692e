"""Reads trained weights that others have published, by the file's content: named arrays.

- Keras: `.weights.h5`, `.keras` and `.h5` (`keras_files.py`); arrays are `<layer>/<variable>`.
- PyTorch: `.pth` and `.safetensors` (`torch_files.py`); arrays are named as in the state dict.
- NumPy: `.npz`, names as they are.
"""

import dataclasses
import io
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Literal

import numpy as np

from base.errors import UserError
from trainers.weights import keras_files, state_dicts, torch_files

Form = Literal["keras", "torch", "numpy"]


@dataclasses.dataclass(frozen=True)
class WeightFile:
    """One file of weights.

    Attributes:
        path: the file.
        form: where its names and its layout of arrays come from.
        arrays: by name.
        key: which of the file's state dicts they are; empty: it has no others.
        others: the keys of those that were not taken.
        flag: the flag that names the file.
    """

    path: pathlib.Path
    form: Form
    arrays: Mapping[str, np.ndarray]
    key: str = ""
    others: tuple[str, ...] = ()
    flag: str = "--from"

    @property
    def named(self) -> str:
        """The file as the user has named it, for errors."""
        return f"{self.flag}={self.path}"

    def taken(self) -> str:
        """What is in `arrays`, for people."""
        text = f"{len(self.arrays)} arrays of {self.path.name}"
        if self.key:
            text += f", its {self.key}"
        if self.others:
            text += f" (not {', '.join(self.others)}: --from_key takes one)"
        return text


def read(path: pathlib.Path, key: str = "", *, flag: str = "--from") -> WeightFile:
    """Reads a file of weights.

    Args:
        path: the file.
        key: which state dict of PyTorch's, where there are several; see `state_dicts.find`.
        flag: what names the file.

    Raises:
        UserError: it is missing, damaged, or holds something else than weights.
    """
    try:
        read_file = _read(path, key)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{flag}={path}: there is no such file") from None
    except torch_files.RefusedError as error:
        raise UserError(
            f"{flag}={path} {error}: only tensors are read from such files; where it is a whole "
            "net, save its state_dict()"
        ) from None
    except Exception as error:  # damaged files raise nearly anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"{flag}={path} cannot be read as .h5, .keras, .pth, .safetensors or .npz ({reason})"
        ) from None
    if key and read_file.form != "torch":
        raise UserError(f"--from_key={key}: only PyTorch's files have keys, not {path}")
    return dataclasses.replace(read_file, flag=flag)


def _read(path: pathlib.Path, key: str) -> WeightFile:
    def of_torch(saved: object) -> WeightFile:
        found = state_dicts.find(saved, key)
        return WeightFile(path, "torch", found.arrays, found.key, found.others)

    with path.open("rb") as file:
        start = file.read(9)
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return WeightFile(path, "keras", keras_files.read_hdf5(path))
    if torch_files.is_safetensors(start, path.stat().st_size):
        return of_torch(torch_files.read_safetensors(path))
    if not zipfile.is_zipfile(path):
        return of_torch(torch_files.LegacyFile(path).read())
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if "model.weights.h5" in names:
            hdf5 = io.BytesIO(archive.read("model.weights.h5"))
            return WeightFile(path, "keras", keras_files.read_hdf5(hdf5))
        if any(name.endswith("/data.pkl") for name in names):
            return of_torch(torch_files.read_zipped(archive))
    with np.load(path, allow_pickle=False) as arrays:
        return WeightFile(path, "numpy", {name: arrays[name] for name in arrays.files})
