"""Runs on fake GPUs until the first kernel: `python -m tests.making.gpu_trace step FLAGS...`.

`step` prints the bytes that each operation of the step reads and writes, as JSON, and then takes a
step, at which the process ends. `devices REPLICAS` prints the logical GPUs that --replicas leaves.
"""

import json
import os
import sys

import numpy as np

from base.tensorflow_start import start_tensorflow

start_tensorflow()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow.python.framework import load_library  # noqa: E402

load_library.load_pluggable_device_library(os.environ["FAKE_GPU_LIBRARY"])


def compute_on_host() -> None:
    """Makes on the host what is computed while a net is built; no kernel runs on a fake GPU."""
    from keras.src.initializers import constant_initializers, random_initializers

    def zeros(self, shape, dtype=None, **options):
        return tf.constant(np.zeros(shape, np.float32))

    for module in (random_initializers, constant_initializers):
        for made in vars(module).values():
            if isinstance(made, type) and "__call__" in vars(made):
                made.__call__ = zeros
    for name in ("fill", "cast"):
        setattr(tf, name, _on_host(getattr(tf, name)))


def _on_host(function):
    def called(*args, **options):
        if not tf.executing_eagerly():
            return function(*args, **options)
        with tf.device("/cpu:0"):
            return function(*args, **options)

    return called


def step(flags: list[str]) -> None:
    """Traces the step, says what it moves, and takes it."""
    import nets
    from pipelines.input_pipeline import InputPipeline
    from pipelines.reading.dataset import open_dataset
    from trainers.config import parse
    from trainers.training.devices.replicas import open_devices
    from trainers.training.step import MAX_STEPS
    from trainers.training.trainer import Trainer

    compute_on_host()
    config = parse(["--data=synthetic", *flags])
    devices = open_devices("auto")
    with tf.device("/cpu:0"):
        pipeline = InputPipeline(open_dataset(config.pipeline), config.pipeline, devices.host)
        trainer = Trainer(config, pipeline, nets, devices)
        batches = trainer.batches()
    rates = tf.constant(np.zeros([MAX_STEPS, 2], np.float32))
    graph = trainer.step._compiled_steps.get_concrete_function(batches, rates, tf.constant(2)).graph
    loop = next(op for op in graph.get_operations() if op.type in ("While", "StatelessWhile"))
    print(json.dumps(moved_in(loop)), flush=True)
    trainer.take_steps(batches, 2)


def moved_in(loop: tf.Operation) -> dict[str, int]:
    """The bytes that each operation in a loop's body reads and writes, by its name."""
    body = loop.graph._get_function(loop.get_attr("body").name).graph
    moved = {}
    for op in body.get_operations():
        moved[op.name.removeprefix("while/")] = sum(map(_bytes, [*op.inputs, *op.outputs]))
    return moved


def _bytes(tensor: tf.Tensor) -> int:
    if tensor.dtype in (tf.resource, tf.variant, tf.string):
        return 0
    return (tensor.shape.num_elements() or 0) * tensor.dtype.size


def devices(replicas: str) -> None:
    """Prints how many logical GPUs there are once the devices are open."""
    from trainers.training.devices.replicas import open_devices

    open_devices(replicas)
    print(len(tf.config.list_logical_devices("GPU")), len(tf.config.get_visible_devices("GPU")))


if __name__ == "__main__":
    keras.backend.clear_session()
    command, *arguments = sys.argv[1:]
    step(arguments) if command == "step" else devices(*arguments)
