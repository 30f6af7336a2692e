"""How TensorFlow is started: quietly, repeatably, and with memory that is kept.

To be imported before TensorFlow is. It imports nothing heavy itself.
"""

import ctypes
import logging
import os
import re
import sys
import tempfile

# Read by TensorFlow when it is first imported: nothing below a fatal error, as a machine without a
# GPU would otherwise be told of it as an error.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Parameters of mallopt, from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4

# What TensorFlow writes to the file descriptor while it starts, whatever the level.
_CHATTER = re.compile(rb"[IWE]0000 |WARNING: All log messages before absl|To enable the following")


def start_tensorflow() -> None:
    """Imports TensorFlow and looks for devices, without the lines it writes about that.

    Whatever else is written to stderr meanwhile is passed on.
    """
    # TensorFlow turns oneDNN on for processors with AVX-512. With it the kernel gradient of a
    # strided 1x1 convolution is wrong in one call of thirty, and no run repeats another.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    # TensorFlow Datasets imports it, and where there is no home it complains in two lines.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            import tensorflow as tf

            if not tf.config.list_physical_devices("GPU"):
                _keep_freed_memory()
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
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")
    os.environ.setdefault("TF_CPU_BFC_MEM_LIMIT_IN_MB", str(memory >> 20))
