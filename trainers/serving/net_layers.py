"""Which layer of a net is looked at: found in its graph, or named by the user."""

import dataclasses
from collections.abc import Iterator, Sequence

import keras

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
class ClassMaps:
    """A net that ends in a mean over positions and one linear layer, or in that mean alone.

    Attributes:
        layer: whose feature maps are averaged.
        linear: what makes logits of the means; None where the feature maps are the classes'.
    """

    layer: keras.Layer
    linear: keras.Layer | None


def spatial_layers(model: keras.Model) -> list[keras.Layer]:
    """The layers that give feature maps of more than one position, first ones first."""
    return [layer for layer in model.layers if _is_spatial(layer) and not _is_input(layer)]


def named_layer(model: keras.Model, name: str, flag: str) -> keras.Layer:
    """The layer of this name, which gives feature maps of more than one position.

    Raises UserError, which names the flag, where there is none.
    """
    layers = {layer.name: layer for layer in spatial_layers(model)}
    if name not in layers:
        raise UserError(
            f"{flag}={name}: {model.name} has no layer of that name that gives feature maps, as "
            f"{listed(list(layers)[::-1])} do: `python -m nets {model.name}` prints all"
        )
    return layers[name]


def last_feature_maps(model: keras.Model) -> keras.Layer:
    """The last layer with feature maps of more than one position that all else depends on.

    It is the last convolution with its ReLU, or the block's end; pooling is left out, as Selvaraju
    et al. 2017 take the maps before it. What stands in one of several branches is no such layer.

    Raises:
        UserError: there is none, as in a net of fully connected layers only.
    """
    through = [
        layer
        for layer in _on_every_path(model)
        if _is_spatial(layer) and not _is_input(layer) and not isinstance(layer, _HANDED_ON)
    ]
    if not through:
        raise UserError(f"{model.name} has no layer of feature maps that all else depends on")
    return through[-1]


def class_maps(model: keras.Model) -> ClassMaps:
    """Of what Zhou et al. 2016 make class activation maps.

    Raises:
        UserError: the net does not end so.
    """
    linear = None
    for layer in reversed(_on_every_path(model)):
        if _is_spatial(layer):
            break
        if isinstance(layer, keras.layers.GlobalAveragePooling2D | keras.layers.AveragePooling2D):
            return ClassMaps(_giver(model, layer), linear)
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
    places = {layer.name: place for place, layer in enumerate(model.layers)}
    reach = 0
    found = []
    leads_to = _leads_to(model)
    for place, layer in enumerate(model.layers):
        # Nothing that stands before it is still to be used behind it.
        if reach <= place:
            found.append(layer)
        reach = max([reach, *(places[name] for name in leads_to[layer.name])])
    return found


def _leads_to(model: keras.Model) -> dict[str, list[str]]:
    """By a layer's name, the names of the layers that take what it gives."""
    givers = {id(tensor): layer.name for layer in model.layers for tensor in _tensors(layer.output)}
    found: dict[str, list[str]] = {layer.name: [] for layer in model.layers}
    for layer in model.layers:
        if not _is_input(layer):
            for tensor in _tensors(layer.input):
                found[givers[id(tensor)]].append(layer.name)
    return found


def _giver(model: keras.Model, taker: keras.Layer) -> keras.Layer:
    """The layer whose output this one takes."""
    return next(layer for layer in model.layers if layer.output is taker.input)


def _tensors(given: object) -> Iterator[object]:
    if isinstance(given, Sequence):
        yield from given
    elif isinstance(given, dict):
        yield from given.values()
    else:
        yield given


def _is_spatial(layer: keras.Layer) -> bool:
    """Whether a layer gives one tensor [b, height, width, c] with more than one position."""
    shape: tuple[int, ...] = getattr(layer.output, "shape", ())
    return len(shape) == 4 and shape[1] * shape[2] > 1


def _is_linear(layer: keras.Layer) -> bool:
    return getattr(layer, "activation", None) in (None, keras.activations.linear)


def _is_input(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.layers.InputLayer)
