"""Reads Keras's files of weights: named arrays, `<layer>/<variable>`.

The `.weights.h5` and `.keras` of Keras 3, and the `.h5` files of Keras 2 and keras.applications.
What an optimizer keeps in them, and the state of random generators, are no weights.
"""

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

# A layer's variables in the order in which Keras 3 stores them, by their number and whether the
# first is a kernel.
_KERNEL_VARIABLES = ("kernel", "bias")
_NORM_VARIABLES = {
    4: ("gamma", "beta", "moving_mean", "moving_variance"),
    3: ("beta", "moving_mean", "moving_variance"),
    2: ("gamma", "beta"),
    1: ("gamma",),
}
_NO_WEIGHTS = {"optimizer", "seed_generator"}


def read_hdf5(source: Any) -> dict[str, np.ndarray]:
    """The weights in an HDF5 file, given by its path or as a binary stream.

    Raises ValueError where a layer has other variables than those known here, and what h5py raises
    where the file is damaged.
    """
    with h5py.File(source) as file:
        return dict(_arrays(file.get("model_weights", file)))


def _arrays(file: Any) -> Iterator[tuple[str, np.ndarray]]:
    if "layer_names" in file.attrs:
        for layer in (_text(name) for name in file.attrs["layer_names"]):
            weights = [_text(name) for name in file[layer].attrs["weight_names"]]
            nested = len({weight.rpartition("/")[0] for weight in weights}) > 1
            for weight in weights:
                variable = weight.split("/")[-1].removesuffix(":0")
                owner = weight.split("/")[-2] if nested else layer
                yield (
                    f"{owner}/{variable.replace('depthwise_kernel', 'kernel')}",
                    file[layer][weight][()],
                )
        return
    groups: list[Any] = []
    file.visititems(lambda path, item: groups.append((path, item)))
    for path, group in groups:
        *parents, last = path.split("/")
        if last != "vars" or not parents or not _NO_WEIGHTS.isdisjoint(parents):
            continue
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
