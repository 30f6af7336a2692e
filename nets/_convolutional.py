"""A trained net in fully convolutional form: the net slid over an image of any size.

Sermanet et al. 2014 (OverFeat, section 3.5), Simonyan & Zisserman 2015 (VGG, section 3.2): each
fully connected layer becomes a convolution whose window is the feature maps that it flattened, and
the scores of all positions are averaged. Nets that end in a global average (GoogLeNet, ResNet) only
average over a larger map, which is the same as averaging the scores (He et al. 2016, section 3.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from ._builder import Builder
from ._registry import Net


def convert(net: Net, model: keras.Model, variant: Mapping[str, Any]) -> keras.Model:
    """The fully convolutional form of a built net, with a copy of its weights.

    Args:
        net: the entry that the model was built from.
        model: built for images of the size at which its fully connected layers see one position.
        variant: the options it was built with.

    Returns:
        A model from float images [batch, any height, any width, 3] to float32 logits
        [batch, num_classes], the means over all positions. Auxiliary heads are left out.

    Raises:
        ValueError: the net has a layer that takes images of one size only; the message names it.
    """
    windows = {
        layer.name.removesuffix("_flatten"): tuple(layer.input.shape[1:3])
        for layer in model.layers
        if isinstance(layer, keras.layers.Flatten)
    }
    options = dict(variant)
    if "auxiliary" in net.options:
        options["auxiliary"] = False
    builder = Builder(
        net, synchronized=options.pop("synchronized_batch_norm", False), windows=windows
    )
    outputs = model.output["logits"] if isinstance(model.output, Mapping) else model.output
    inputs = keras.Input((None, None, 3), name="image")
    logits = net.body(builder, inputs, outputs.shape[-1], **net.arguments, **options)
    if len(logits.shape) > 2:
        logits = builder.global_avg_pool(logits, name="mean_logits")
    logits = keras.layers.Activation("linear", dtype="float32", name="logits")(logits)
    converted = keras.Model(inputs, logits, name=net.name)
    for layer in converted.layers:
        if layer.weights:
            weights = model.get_layer(layer.name).weights
            for variable, weight in zip(layer.weights, weights, strict=True):
                variable.assign(keras.ops.reshape(weight, variable.shape))
    return converted
