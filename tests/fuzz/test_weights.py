"""Damaged files of weights and checkpoints are read, or refused in one line."""

import argparse
import io
import json
import pathlib

import h5py
import numpy as np
import pytest

from base.errors import UserError
from tests.making.pth_files import pth, safetensors
from trainers.run_folder import checkpoints
from trainers.weights import files

ARRAYS = {
    "features.0.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "bn.num_batches_tracked": np.array(7, np.int64),
    "half": np.ones((3, 2), np.float16),
}


def npz(**more: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **ARRAYS, **more)
    return stream.getvalue()


def h5() -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for name in ("conv", "fc"):
            group = file.create_group(f"layers/{name}/vars")
            group.attrs["name"] = name
            group["0"], group["1"] = ARRAYS["features.0.weight"], np.zeros(3, np.float32)
    return stream.getvalue()


WEIGHTS = {
    "pth": pth(ARRAYS, inside="state_dict"),
    "pth_of_a_script": pth({"model": ARRAYS, "model_ema": ARRAYS, "args": argparse.Namespace(a=1)}),
    "safetensors": safetensors(ARRAYS),
    "legacy_pth": pth(ARRAYS, legacy=True),
    "npz": npz(),
    "h5": h5(),
}


@pytest.mark.parametrize("form", WEIGHTS)
def test_a_file_of_weights(form, fuzz, tmp_path):
    path = tmp_path / "weights"

    def read(damaged: bytes) -> None:
        path.write_bytes(damaged)
        assert all(isinstance(array, np.ndarray) for array in files.read(path).arrays.values())

    fuzz(WEIGHTS[form], read, UserError)


def test_a_checkpoint(fuzz, tmp_path):
    state = {"step": 7, "label_order": "abc", "validation_errors": [0.5]}
    whole = npz(state=np.frombuffer(json.dumps(state).encode(), np.uint8))
    path = tmp_path / "step-00000007.npz"

    def read(damaged: bytes) -> None:
        path.write_bytes(damaged)
        quick, thorough = checkpoints.fault(path), checkpoints.fault(path, whole=True)
        assert thorough or not quick
        found = checkpoints.load(path)
        assert isinstance(found.state, dict)
        assert isinstance(found.path, pathlib.Path)

    fuzz(whole, read, UserError)
