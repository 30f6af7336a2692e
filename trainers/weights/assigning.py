"""Gives a net the weights that others have trained: every array used once, or none at all."""

import keras
import numpy as np

import nets
from base.errors import UserError, listed
from trainers.weights.files import WeightFile
from trainers.weights.names import (
    ORIGINS,
    OUR_OWN,
    PUBLISHERS,
    REFUSED,
    Origin,
    numbered_from_zero,
)

# torch's names of variables, to ours: (of a convolution or fully connected layer, of a norm).
_TORCH_VARIABLES = {
    "weight": ("kernel", "gamma"),
    "bias": ("bias", "beta"),
    "running_mean": ("", "moving_mean"),
    "running_var": ("", "moving_variance"),
}
# How many batches torch has averaged its statistics over, and what follows from a net's sizes: no
# weights.
_TORCH_CONSTANTS = ("num_batches_tracked", "relative_position_index", "attn_mask")


def assign(model: keras.Model, weights: WeightFile, entry: nets.Net) -> None:
    """Gives every variable of the model its array from the file.

    Raises:
        UserError: as `arrays_for`, or an array is left over, missing or of another shape; the model
            is then as it was.
    """
    arrays = arrays_for(model, weights, entry)
    variables = {f"{layer.name}/{v.name}": v for layer in model.layers for v in layer.weights}
    where = f"{weights.named} does not fit {entry.name}"
    if left_over := sorted(arrays.keys() - variables.keys()):
        raise UserError(f"{where}: it has {listed(left_over)}, the net has not")
    if missing := sorted(variables.keys() - arrays.keys()):
        raise UserError(f"{where}: the net has {listed(missing)}, the file has not")
    for name, variable in variables.items():
        if tuple(variable.shape) != arrays[name].shape:
            raise UserError(
                f"{where}: {name} has shape {arrays[name].shape} in the file, "
                f"{tuple(variable.shape)} in the net (for this number of classes and image size)"
            )
        if not np.isfinite(arrays[name]).all():
            raise UserError(f"{where}: {name} has values that are not finite")
    for name, variable in variables.items():
        variable.assign(arrays[name])


def arrays_for(model: keras.Model, weights: WeightFile, entry: nets.Net) -> dict[str, np.ndarray]:
    """The file's arrays as this net would have them, by `<layer>/<variable>`.

    Raises UserError where the file is known to be of another net, or has what no net has.
    """
    arrays = _in_our_layout(weights, origin_of(weights, entry), entry, model)
    _fold_biases(arrays, model)
    _fold_gammas(arrays, model)
    return nets.fit_positions(model, arrays)


def origin_of(weights: WeightFile, entry: nets.Net) -> Origin:
    """Whose weights of a net a file holds, as its names of layers tell.

    Raises UserError where nothing is known of such.
    """
    if (weights.form, entry.name) in REFUSED:
        raise UserError(f"{weights.named}: {REFUSED[weights.form, entry.name]}")
    publishers = PUBLISHERS[weights.form]
    origins = [ORIGINS[each, entry.name] for each in publishers if (each, entry.name) in ORIGINS]
    if weights.form == "numpy" and not origins:
        return OUR_OWN
    if not origins:
        known = ", ".join(sorted({name for each, name in ORIGINS if each in publishers}))
        raise UserError(
            f"{weights.named}: no {weights.form} weights are known for --net={entry.name}, "
            f"but for: {known}"
        )

    def known_layers(origin: Origin) -> int:
        names = origin.names(entry)
        return sum(_split(name, weights)[0] in names for name in origin.arrays(weights.arrays))

    return max(origins, key=known_layers)


def _split(name: str, weights: WeightFile) -> tuple[str, str]:
    """An array's name as that of its layer and of its variable."""
    layer, _, variable = name.rpartition("/" if weights.form == "keras" else ".")
    return layer, variable


def _in_our_layout(
    weights: WeightFile, origin: Origin, entry: nets.Net, model: keras.Model
) -> dict[str, np.ndarray]:
    """The file's arrays under our names `<layer>/<variable>`, with axes in our order."""
    names = origin.names(entry)
    if weights.form == "numpy":
        names = {layer.name: layer.name for layer in model.layers} | names
    arrays = origin.arrays(weights.arrays)
    if weights.form == "keras" and any("conv2d" in name for name in arrays):
        arrays = numbered_from_zero(arrays)
    ours: dict[str, np.ndarray] = {}
    unknown = []
    for name, array in arrays.items():
        layer, variable = _split(name, weights)
        if variable in _TORCH_CONSTANTS and weights.form == "torch":
            continue
        target = names.get(layer)
        if target is None:
            unknown.append(name)
            continue
        if weights.form == "torch":
            variable, array = _from_torch(variable, array, target, origin, model)
        layer_type = type(_layer(model, target))
        if array.shape[:2] == (1, 1) and issubclass(layer_type, keras.layers.Dense):
            array = array.reshape(array.shape[2:])  # MobileNets' 1x1 convolutions
        if array.shape[2:3] == (1,) and issubclass(layer_type, keras.layers.DepthwiseConv2D):
            array = array.transpose(0, 1, 3, 2)  # a convolution in as many groups as channels
        key = f"{target}/{variable}"
        if key in ours:
            raise UserError(f"{weights.named}: two arrays are {key}, one of them {name}")
        ours[key] = array
    if unknown:
        raise UserError(
            f"{weights.named} does not fit {entry.name}: nothing is known of "
            f"{listed(sorted(unknown))}"
        )
    return ours


def _from_torch(
    variable: str, array: np.ndarray, target: str, origin: Origin, model: keras.Model
) -> tuple[str, np.ndarray]:
    """torch's variable and array as ours: kernels [h, w, in, out], matrices [in, out]."""
    is_norm = hasattr(_layer(model, target), "beta")
    variable = _TORCH_VARIABLES.get(variable, (variable, variable))[is_norm] or variable
    if variable == "kernel" and array.ndim == 4:
        array = array.transpose(2, 3, 1, 0)
    elif variable == "kernel" and array.ndim == 2:
        if target == origin.flattened:  # torch flattens [channel, height, width]
            flatten = model.get_layer(f"{target}_flatten")
            height, width, channels = flatten.input.shape[1:]
            if array.shape[1] == height * width * channels:
                array = array.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
                array = array.reshape(len(array), -1)
        array = array.T
    return variable, array


def _layer(model: keras.Model, name: str) -> keras.layers.Layer | None:
    return next((layer for layer in model.layers if layer.name == name), None)


def _fold_biases(arrays: dict[str, np.ndarray], model: keras.Model) -> None:
    """A bias before a batch normalisation, which our layers have none of, moves into its mean."""
    layers = {layer.name: layer for layer in model.layers}
    for name in [name for name in arrays if name.endswith("/bias")]:
        layer = name.removesuffix("/bias")
        mean = f"{layer}_bn/moving_mean"
        unused = layer in layers and not getattr(layers[layer], "use_bias", True)
        if unused and mean in arrays:
            arrays[mean] = arrays[mean] - arrays.pop(name)


def _fold_gammas(arrays: dict[str, np.ndarray], model: keras.Model) -> None:
    """A factor of a batch normalisation, of which ours has none, moves into the kernel before it.

    The mean goes along, the variance stays, as it divides both.
    """
    layers = {layer.name: layer for layer in model.layers}
    for name in [name for name in arrays if name.endswith("_bn/gamma")]:
        norm = name.removesuffix("/gamma")
        kernel = f"{norm.removesuffix('_bn')}/kernel"
        if norm in layers and not getattr(layers[norm], "scale", True) and kernel in arrays:
            gamma = arrays.pop(name)
            arrays[kernel] = arrays[kernel] * gamma
            arrays[f"{norm}/moving_mean"] = arrays[f"{norm}/moving_mean"] * gamma
