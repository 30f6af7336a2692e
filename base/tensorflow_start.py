"""How TensorFlow is started: quietly, repeatably, and with memory that is kept.

To be imported before TensorFlow is. It imports nothing heavy itself. Commands start TensorFlow by
`start_tensorflow`; packages call `start_on_import`, for whoever imports them from Python.
"""

import contextlib
import ctypes
import functools
import gc
import importlib.abc
import importlib.machinery
import logging
import os
import re
import sys
import tempfile
import types
from collections.abc import Callable, Iterator, Sequence

# What TensorFlow reads in the environment as it is imported, and what is lost where it is not set.
_SETTINGS = {
    # TensorFlow turns oneDNN on for processors with AVX-512. With it the kernel gradient of a
    # strided 1x1 convolution is wrong in one call of thirty, and no run repeats another.
    "TF_ENABLE_ONEDNN_OPTS": ("0", "oneDNN is on, with which no run repeats another"),
    # Nothing below a fatal error, as a machine without a GPU would otherwise be told of it as an
    # error.
    "TF_CPP_MIN_LOG_LEVEL": ("3", "its messages are shown"),
}
_ALLOCATOR = "TF_CPU_ALLOCATOR_USE_BFC"

# Parameters of mallopt, from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4

# What TensorFlow writes to the file descriptor while it starts or converts, whatever the level.
_CHATTER = re.compile(
    rb"[IWE]0000 |WARNING: All log messages before absl|To enable the following|fully_quantize: "
)


class _Starter(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `tensorflow`, once, as the module that `start_tensorflow` imports."""

    def __init__(self, after: Callable[[], None]):
        self._after = after
        self._spec: importlib.machinery.ModuleSpec | None = None

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Its own specification of TensorFlow, of nothing else."""
        if fullname != "tensorflow":
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """Starts TensorFlow."""
        start_tensorflow()
        self._after()
        module = sys.modules["tensorflow"]
        self._spec = module.__spec__
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Gives the module back its own specification; it has been executed."""
        module.__spec__ = self._spec


def start_on_import(after: Callable[[], None] = lambda: None) -> None:
    """Has TensorFlow started by `start_tensorflow` when it is first imported, by whomever.

    Where it is imported already, one line on stderr says what could not be set.

    Args:
        after: is called once it has started.
    """
    if "tensorflow" not in sys.modules:
        if not any(isinstance(finder, _Starter) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Starter(after))
        return
    lost = [said for name, (_, said) in _SETTINGS.items() if name not in os.environ]
    with without_chatter():
        on_cpu = not sys.modules["tensorflow"].config.list_physical_devices("GPU")
    if on_cpu and _ALLOCATOR not in os.environ:
        lost.append("freed memory is not kept, which takes time")
    if lost:
        _say_once(f"TensorFlow was imported before: {'; '.join(lost)} (import `trainers` first)")


@functools.cache
def _say_once(note: str) -> None:
    print(f"note: {note}", file=sys.stderr)


def start_tensorflow() -> None:
    """Imports TensorFlow and looks for devices, without the lines it writes about that.

    Whatever else is written to stderr meanwhile is passed on.
    """
    sys.meta_path[:] = [each for each in sys.meta_path if not isinstance(each, _Starter)]
    for name, (value, _) in _SETTINGS.items():
        os.environ.setdefault(name, value)
    # TensorFlow Datasets imports it, and where there is no home it complains in two lines.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    with without_chatter():
        with _uncollected():
            import tensorflow as tf

        if not tf.config.list_physical_devices("GPU"):
            _keep_freed_memory()


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Imports without garbage collection, which finds nothing there and takes a fifth of the time.

    What is imported stays, and is not looked through later either.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Takes TensorFlow's own lines out of what is written to stderr meanwhile, by any library."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            written.seek(0)
            os.write(2, b"".join(line for line in written if not _CHATTER.match(line)))


def _keep_freed_memory() -> None:
    """Lets the process keep what it frees, on the CPU, where tensors are of many megabytes.

    glibc would give each large tensor's memory back to the kernel and fault new pages in for the
    next one, a third of a step's processor time. On 2 cores a training step of 32 images became
    1.8 times as fast for AlexNet and 1.7 times for ResNet-50, for 25 % and 6 % more memory; by the
    two limits alone, without the pool, 1.6 and 1.5 times. The input pipeline stayed as fast.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # only glibc has it
    if mallopt:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)  # never
    # Read when TensorFlow makes its first tensor. Its pool would stop at 64 GB.
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    os.environ.setdefault(_ALLOCATOR, "true")
    os.environ.setdefault("TF_CPU_BFC_MEM_LIMIT_IN_MB", str(memory >> 20))
