"""Reads Keras's files of weights: named arrays, `<layer>/<variable>`.

The `.weights.h5` and `.keras` of Keras 3, and the `.h5` files of Keras 1 and 2 and of
keras.applications. A separable convolution, which Keras has as one layer, is two: `<layer>_dw` and
`<layer>`. What an optimizer keeps in the files, and the state of random generators, are no weights.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import h5py
import numpy as np

# A layer's variables in the order in which Keras stores them, by their number and whether the
# first is a kernel.
_KERNEL_VARIABLES = ("kernel", "bias")
_NORM_VARIABLES = {
    4: ("gamma", "beta", "moving_mean", "moving_variance"),
    3: ("beta", "moving_mean", "moving_variance"),
    2: ("gamma", "beta"),
    1: ("gamma",),
}
_SEPARABLE_VARIABLES = ("depthwise_kernel", "pointwise_kernel", "bias")
# The layer that normalises images.
_NORMALIZATION = "normalization"
_NORMALIZATION_VARIABLES = ("mean", "variance", "count")
_KNOWN = {
    *(_KERNEL_VARIABLES + _SEPARABLE_VARIABLES + _NORMALIZATION_VARIABLES),
    *_NORM_VARIABLES[4],
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
            yield from _of_keras_2(layer, file[layer])
        return
    groups: list[Any] = []
    file.visititems(lambda path, item: groups.append((path, item)))
    for path, group in groups:
        *parents, last = path.split("/")
        if last != "vars" or not parents or not _NO_WEIGHTS.isdisjoint(parents):
            continue
        arrays = [group[str(index)][()] for index in range(len(group))]
        if arrays:
            layer = _text(group.attrs["name"])
            yield from _named(layer, _variables(layer, arrays), arrays)


def _of_keras_2(layer: str, group: Any) -> Iterator[tuple[str, np.ndarray]]:
    """A layer's arrays, or those of the layers in it where it is a net itself."""
    weights = [_text(name) for name in group.attrs["weight_names"]]
    owners: dict[str, list[str]] = {}
    for weight in weights:
        owners.setdefault(weight.rpartition("/")[0], []).append(weight)
    for owner, stored in owners.items():
        name = owner.split("/")[-1] if len(owners) > 1 else layer
        arrays = [group[weight][()] for weight in stored]
        variables = [weight.split("/")[-1].removesuffix(":0") for weight in stored]
        if not _KNOWN.issuperset(variables):  # Keras 1 has block1_conv1_W_1
            variables = list(_variables(name, arrays))
        yield from _named(name, variables, arrays)


def _variables(layer: str, arrays: Sequence[np.ndarray]) -> Sequence[str]:
    """The names of a layer's arrays, by their order. Raises ValueError where it has too many."""
    names: Sequence[str] | None = _KERNEL_VARIABLES
    if layer.startswith(_NORMALIZATION):
        names = _NORMALIZATION_VARIABLES
    elif arrays[0].ndim == 1:
        names = _NORM_VARIABLES.get(len(arrays))
    elif len(arrays) > 1 and arrays[1].ndim == 4:
        names = _SEPARABLE_VARIABLES
    if names is None or len(arrays) > len(names):
        raise ValueError(f"layer {layer} has {len(arrays)} variables")
    return names[: len(arrays)]


def _named(
    layer: str, variables: Sequence[str], arrays: Sequence[np.ndarray]
) -> Iterator[tuple[str, np.ndarray]]:
    separable = "pointwise_kernel" in variables
    for variable, array in zip(variables, arrays, strict=True):
        owner = f"{layer}_dw" if separable and variable == "depthwise_kernel" else layer
        kernel = variable in ("depthwise_kernel", "pointwise_kernel")
        yield f"{owner}/{'kernel' if kernel else variable}", array


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
