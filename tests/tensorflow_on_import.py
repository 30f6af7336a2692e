"""TensorFlow as the tests have it, started by the first import of it and not before.

It starts as the commands start it, with four logical CPU devices, which exist from the start or
not at all. Tests that import no TensorFlow, directly or by way of ours, so never wait for it.
"""

import gc
import sys

from base import tensorflow_start

DEVICES = 4


def start_on_import() -> None:
    """Has TensorFlow started by whoever imports it first."""
    assert "tensorflow" not in sys.modules, "TensorFlow was imported before its devices were set"
    tensorflow_start.start_on_import(after=_split_the_cpu)


def _split_the_cpu() -> None:
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * DEVICES,
    )


def forget_traced_nets() -> None:
    """Frees the weights of nets that were traced: TensorFlow keeps each own gradient for ever."""
    if "tensorflow" not in sys.modules:
        return
    from tensorflow.python.framework import ops

    registry = ops.gradient_registry._registry
    for name in [name for name in registry if name.startswith("CustomGradient-")]:
        del registry[name]
    gc.collect()
