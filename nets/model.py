"""From an entry of the registry to a Keras model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from .builder import Builder
from .registry import Net


def build_model(
    net: Net, num_classes: int, image_size: int | tuple[int, int], variant: Mapping[str, Any]
) -> keras.Model:
    """Builds the model of an entry; see ``nets.build``, which has checked the options' names.

    Raises:
        ValueError: a size that isn't positive or that the architecture can't take.
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    for what, value in (
        ("image_size", height),
        ("image_size", width),
        ("num_classes", num_classes),
    ):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{net.name}: {what} must be an integer from 1 on, not {value!r}")
    options = dict(variant)
    builder = Builder(net, synchronized=options.pop("synchronized_batch_norm", False))
    inputs = keras.Input((height, width, 3), name="image")
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
