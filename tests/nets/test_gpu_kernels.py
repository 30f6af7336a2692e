"""Every layer of every net has kernels for GPUs, forward and backward, in each precision."""

import json
import re
from collections.abc import Iterator

import keras
import pytest
import tensorflow as tf

import nets
from nets import _linear_layers
from tests.making.gpu_kernels import without_gpu_kernel
from trainers.training.devices import gpus

# What says how wide a layer is, or how it begins: other kernels are not needed for it.
_NO_KIND = ("name", "filters", "units", "rate", "dtype")


def kind_of(layer: keras.Layer) -> str:
    """What decides which kernels a layer needs."""
    config = {
        key: value
        for key, value in layer.get_config().items()
        if key not in _NO_KIND and not key.endswith(("_initializer", "shape"))
    }
    ranks = [len(each.shape) for each in tf.nest.flatten(layer.input)]
    return json.dumps([type(layer).__name__, config, ranks], default=str)


def of_each_sort() -> list[str]:
    """The smallest of the nets whose names differ in numbers alone: depth is of no account here."""
    smallest: dict[str, str] = {}
    for name in sorted(nets.names(), key=lambda name: nets.entry(name).params or 0):
        smallest.setdefault(re.sub(r"\d+", "", name), name)
    return list(smallest.values())


def kinds_of_layers() -> Iterator[keras.Layer]:
    """One layer of each kind that the nets have."""
    seen = set()
    for name in of_each_sort():
        for layer in nets.build(name).layers:
            kind = kind_of(layer)
            if kind not in seen and not isinstance(layer, keras.layers.InputLayer):
                seen.add(kind)
                yield layer
        keras.backend.clear_session()


def traced(layer: keras.Layer, precision: str) -> tf.Graph:
    """A layer's forward and backward pass, as it is traced for a GPU."""
    config = {
        **layer.get_config(),
        "dtype": {"class_name": "DTypePolicy", "config": {"name": precision}},
    }
    made = type(layer).from_config(config)
    shapes = [[2, *each.shape[1:]] for each in tf.nest.flatten(layer.input)]
    several = isinstance(layer.input, list)
    made.build(shapes if several else shapes[0])

    @tf.function(autograph=False)
    def both(inputs: list[tf.Tensor], seeds: tf.Tensor) -> list[tf.Tensor]:
        with (
            tf.GradientTape() as tape,
            nets.example_seeds(seeds),
            nets.fused_batch_norm(gpus.fused_batch_norm),
        ):
            tape.watch(inputs)
            try:
                output = made(inputs if several else inputs[0], training=True)
            except TypeError:  # a layer that is the same in training
                output = made(inputs if several else inputs[0])
        return tape.gradient(output, [inputs, made.trainable_variables])

    dtype = made.compute_dtype
    specs = [tf.TensorSpec(shape, dtype) for shape in shapes]
    return both.get_concrete_function(specs, tf.TensorSpec([2, 2], tf.int32)).graph


@pytest.mark.slow(reason="it builds every net")
def test_every_layer_has_gpu_kernels_in_every_precision(monkeypatch):
    monkeypatch.setattr(_linear_layers, "_on_cpu", lambda: False)
    # Half of the time of building a net is drawing its weights, of which none counts here.
    zeros = lambda self, shape, dtype=None: tf.zeros(shape)  # noqa: E731
    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", zeros)
    monkeypatch.setattr(keras.initializers.RandomNormal, "__call__", zeros)
    lacking, kinds = {}, 0
    for layer in kinds_of_layers():
        for precision in ("float32", "mixed_bfloat16", "mixed_float16"):
            kinds += 1
            if missing := without_gpu_kernel(traced(layer, precision)):
                lacking[kind_of(layer), precision] = missing
    assert kinds > 150
    assert not lacking


def test_an_operation_without_a_gpu_kernel_is_found():
    @tf.function
    def gathered(images: tf.Tensor) -> tf.Tensor:
        return tf.gather(images, tf.range(tf.shape(images)[0]))

    spec = tf.TensorSpec([2, 4, 4, 3], tf.uint8)
    found = without_gpu_kernel(gathered.get_concrete_function(spec).graph)
    assert found == {("GatherV2", "uint8")}
