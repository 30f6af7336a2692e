"""TensorFlow as the tests have it, started by the first import of it and not before.

It starts as the commands start it, with four logical CPU devices, which exist from the start or
not at all. Tests that import no TensorFlow, directly or by way of ours, so never wait for it.
"""

import gc
import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Sequence

from base.tensorflow_start import start_tensorflow

DEVICES = 4


class _Started(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `tensorflow`, once, as the module that it has started itself."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        start_tensorflow()
        import tensorflow as tf

        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * DEVICES,
        )
        self._module, self._spec = tf, tf.__spec__
        return importlib.machinery.ModuleSpec("tensorflow", self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return self._module

    def exec_module(self, module: types.ModuleType) -> None:
        module.__spec__ = self._spec


def start_on_import() -> None:
    """Has TensorFlow started by whoever imports it first."""
    assert "tensorflow" not in sys.modules, "TensorFlow was imported before its devices were set"
    sys.meta_path.insert(0, _Started())


def forget_traced_nets() -> None:
    """Frees the weights of nets that were traced: TensorFlow keeps each own gradient for ever."""
    if "tensorflow" not in sys.modules:
        return
    from tensorflow.python.framework import ops

    registry = ops.gradient_registry._registry
    for name in [name for name in registry if name.startswith("CustomGradient-")]:
        del registry[name]
    gc.collect()
