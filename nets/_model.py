"""From an entry of the registry to a Keras model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from ._builder import Builder
from ._registry import Net


def build_model(
    net: Net,
    num_classes: int,
    image_size: int | tuple[int, int] | None,
    variant: Mapping[str, Any],
) -> keras.Model:
    """Builds the model of an entry; see ``nets.build``, which has checked the options' names.

    Raises:
        ValueError: a size that isn't positive or that the architecture can't take.
    """
    if image_size is None:
        image_size = net.image_size
    sides = image_size if isinstance(image_size, tuple) else (image_size, image_size)
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ValueError(
            f"{net.name}: image_size must be a positive integer or two, not {image_size!r}"
        )
    if not isinstance(num_classes, int) or num_classes < 1:
        raise ValueError(f"{net.name}: num_classes must be a positive integer, not {num_classes!r}")
    options = dict(variant)
    builder = Builder(net, synchronized=options.pop("synchronized_batch_norm", False))
    inputs = keras.Input((*sides, 3), name="image")
    outputs = net.body(builder, inputs, num_classes, **net.arguments, **options)
    if isinstance(outputs, dict):
        outputs = {head: _as_float32(tensor, head) for head, tensor in outputs.items()}
    else:
        outputs = _as_float32(outputs, "logits")
    return keras.Model(inputs, outputs, name=net.name)


def decay_variables(net: Net, model: keras.Model) -> list[Any]:
    """The trainable variables that the entry's rule decays; see ``Net.decay``."""
    if net.decay == "all":
        return list(model.trainable_variables)
    skipped = (keras.layers.DepthwiseConv2D,) if net.decay == "kernels_but_depthwise" else ()
    return [
        variable
        for layer in model.layers
        if not isinstance(layer, skipped)
        for variable in layer.trainable_variables
        if variable.name == "kernel"
    ]


def _as_float32(x: Any, name: str) -> Any:
    # The softmax of bfloat16 logits loses the small differences that a loss is made of.
    return keras.layers.Activation("linear", dtype="float32", name=name)(x)
