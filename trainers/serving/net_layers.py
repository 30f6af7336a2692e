"""Which layer of a net is looked at: found in its graph, or named by the user."""

import dataclasses
from collections.abc import Iterator, Sequence

import keras
import numpy as np

from base.errors import UserError, listed
from trainers.training import models

# What makes feature maps smaller, or hands them on as they are: what is seen is what goes in.
_HANDED_ON = (
    keras.layers.AveragePooling2D,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.MaxPooling2D,
    keras.layers.Reshape,
    keras.layers.ZeroPadding2D,
)


@dataclasses.dataclass(frozen=True)
class FeatureMaps:
    """A layer, and the grid of positions that it has features of.

    A transformer's tokens are a row of features: those of the image's patches come last, in the
    order of the patches, behind what else there is (a class token).
    """

    layer: keras.Layer
    grid: tuple[int, int]

    def fold(self, features: np.ndarray) -> np.ndarray:
        """What the layer gives, float [b, ...], as maps float32 [b, *grid, c]."""
        positions = self.grid[0] * self.grid[1]
        flat = features.reshape(len(features), -1, features.shape[-1])[:, -positions:]
        return flat.reshape(len(features), *self.grid, -1).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class ClassMaps:
    """A net that ends in a mean over positions and one linear layer, or in that mean alone.

    Attributes:
        maps: what is averaged.
        linear: what makes logits of the means; None where the feature maps are the classes'.
    """

    maps: FeatureMaps
    linear: keras.Layer | None


def feature_maps(model: keras.Model) -> list[FeatureMaps]:
    """The layers with features of more than one position, first ones first."""
    grid = (1, 1)
    found = []
    for layer in model.layers:
        shape: tuple[int, ...] = getattr(layer.output, "shape", ())
        if len(shape) == 4 and shape[1] * shape[2] > 1:
            grid = (shape[1], shape[2])
        elif len(shape) != 3 or shape[1] < grid[0] * grid[1] or grid == (1, 1):
            continue
        if not _is_input(layer):
            found.append(FeatureMaps(layer, grid))
    return found


def named_maps(model: keras.Model, name: str, flag: str) -> FeatureMaps:
    """The layer of this name, which has features of more than one position.

    Raises UserError, which names the flag, where there is none.
    """
    known = {each.layer.name: each for each in feature_maps(model)}
    if name not in known:
        raise UserError(
            f"{flag}={name}: {model.name} has no layer of that name that gives feature maps, as "
            f"{listed(list(known)[::-1])} do: `python -m nets {model.name}` prints all"
        )
    return known[name]


def chosen_maps(model: keras.Model, name: str, flag: str) -> FeatureMaps:
    """The layer that a flag names, or without a name the last one. Raises UserError as both."""
    return named_maps(model, name, flag) if name else last_feature_maps(model)


def last_feature_maps(model: keras.Model) -> FeatureMaps:
    """The last layer with features of more than one position that all else depends on.

    It is the last convolution with its ReLU, or the block's end; pooling is left out, as Selvaraju
    et al. 2017 take the maps before it. What stands in one of several branches is no such layer. Of
    transformers it is the end of the last block but one: behind it, what is said may depend on the
    class token alone.

    Raises:
        UserError: there is none, as in a net of fully connected layers only.
    """
    known = {each.layer.name: each for each in feature_maps(model)}
    attention = [layer.name for layer in model.layers if "Attention" in type(layer).__name__]
    through = []
    for layer in _on_every_path(model):
        maps = known.get(layer.name)
        if maps and not isinstance(layer, _HANDED_ON):
            through.append(maps)
    if through and len(through[-1].layer.output.shape) == 3 and attention:
        places = [each.name for each in model.operations]
        last = places.index(attention[-1])
        through = [maps for maps in through if places.index(maps.layer.name) < last]
    if not through:
        raise UserError(f"{model.name} has no layer of feature maps that all else depends on")
    return through[-1]


def class_maps(model: keras.Model) -> ClassMaps:
    """Of what Zhou et al. 2016 make class activation maps.

    Raises:
        UserError: the net does not end so.
    """
    known = {each.layer.name: each for each in feature_maps(model)}
    linear = None
    for layer in reversed(_on_every_path(model)):
        if layer.name in known:
            break
        if isinstance(layer, keras.layers.GlobalAveragePooling2D | keras.layers.AveragePooling2D):
            return ClassMaps(known[_giver(model, layer).name], linear)
        if layer.weights and linear is None and _is_linear(layer):
            linear = layer
        elif layer.weights or not (isinstance(layer, _HANDED_ON) or _is_linear(layer)):
            break
    raise UserError(
        f"--explain=cam: {model.name} does not end in a global average and one linear layer: take "
        "gradcam, which any net has"
    )


def penultimate(model: keras.Model) -> keras.Model:
    """The net up to what its last layer with weights is given: features [b, c] of each image.

    Feature maps are averaged over their positions.
    """
    (last, *_) = models.head(model)
    features = last.input
    if len(features.shape) > 2:
        features = keras.layers.GlobalAveragePooling2D()(features)
    return keras.Model(model.input, features)


def first_kernels(model: keras.Model) -> keras.Layer:
    """The first convolution that sees the image's three channels.

    Raises UserError where there is none.
    """
    for layer in model.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None and len(kernel.shape) == 4 and kernel.shape[2] == 3:
            return layer
    raise UserError(f"{model.name} has no convolution that sees the image")


def _on_every_path(model: keras.Model) -> list[keras.Layer]:
    """The layers that every path from the images to the logits leads through, in their order."""
    places = {layer.name: place for place, layer in enumerate(model.operations)}
    reach = 0
    found = []
    leads_to = _leads_to(model)
    for place, layer in enumerate(model.operations):
        # Nothing that stands before it is still to be used behind it.
        if reach <= place:
            found.append(layer)
        reach = max([reach, *(places[name] for name in leads_to[layer.name])])
    return found


def _leads_to(model: keras.Model) -> dict[str, list[str]]:
    """By a layer's name, the names of the layers that take what it gives."""
    givers = {
        id(tensor): layer.name for layer in model.operations for tensor in _tensors(layer.output)
    }
    found: dict[str, list[str]] = {layer.name: [] for layer in model.operations}
    for layer in model.operations:
        if not _is_input(layer):
            for tensor in _tensors(layer.input):
                found[givers[id(tensor)]].append(layer.name)
    return found


def _giver(model: keras.Model, taker: keras.Layer) -> keras.Layer:
    """The layer whose output this one takes."""
    return next(layer for layer in model.operations if layer.output is taker.input)


def _tensors(given: object) -> Iterator[object]:
    if isinstance(given, Sequence):
        yield from given
    elif isinstance(given, dict):
        yield from given.values()
    else:
        yield given


def _is_linear(layer: keras.Layer) -> bool:
    return getattr(layer, "activation", None) in (None, keras.activations.linear)


def _is_input(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.layers.InputLayer)
