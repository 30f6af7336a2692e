"""Which GPUs TensorFlow may use, and what it can do with them."""

import contextlib
import glob
import os
import re
import subprocess

import tensorflow as tf

from base.errors import UserError

Capability = tuple[int, int]

# What NVIDIA's driver makes for each GPU.
NVIDIA_DEVICES = "/dev/nvidia[0-9]*"


def use(count: int | None) -> None:
    """Lets TensorFlow use this machine's first `count` GPUs, and no other; None: all.

    Their memory is taken as it is needed, so that others can use what is left. Without effect once
    TensorFlow has started its devices.

    Raises:
        UserError: this TensorFlow has no kernels for one of them.
    """
    physical = tf.config.list_physical_devices("GPU")[:count]
    for gpu in physical:
        _refuse_without_kernels(gpu)
    with contextlib.suppress(RuntimeError):  # it has started them
        tf.config.set_visible_devices(physical, "GPU")
        for gpu in physical:
            tf.config.experimental.set_memory_growth(gpu, True)


def names(count: int | None) -> list[str]:
    """The first `count` GPUs by the names that strategies know, fewer where there are fewer."""
    use(count)
    return [gpu.name for gpu in tf.config.list_logical_devices("GPU")[:count]]


def device_names() -> list[str]:
    """What the GPUs that TensorFlow may use are called, as `NVIDIA H200`."""
    details = map(tf.config.experimental.get_device_details, tf.config.get_visible_devices("GPU"))
    return [each.get("device_name", "GPU") for each in details]


def unseen() -> str:
    """Why TensorFlow may see none of this machine's NVIDIA GPUs; empty where there are none."""
    devices = glob.glob(NVIDIA_DEVICES)
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if not devices or hidden or tf.config.list_physical_devices("GPU"):
        return ""
    return (
        f"this machine has {len(devices)} NVIDIA GPU(s), but TensorFlow sees none: "
        "pip install -e '.[gpu]' brings CUDA's libraries, and `make doctor` says what is missing"
    )


def smallest_memory() -> int | None:
    """Bytes of the NVIDIA GPU that has the fewest; None where there is none that says so."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        return min(int(line) * 2**20 for line in done.stdout.split("\n") if line.strip())
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def served_by_xla(gpu: tf.config.PhysicalDevice) -> bool:
    """Whether XLA is known to have kernels for a GPU, one of NVIDIA's that TensorFlow knows."""
    own = capability(gpu)
    return own is not None and _built_for(own)


def _refuse_without_kernels(gpu: tf.config.PhysicalDevice) -> None:
    own = capability(gpu)
    if own and not _built_for(own):
        name = tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
        raise UserError(
            f"{name} has compute capability {own[0]}.{own[1]}, for which this TensorFlow "
            f"{tf.__version__} has no kernels: use NVIDIA's container (docs/gpu.md), other GPUs "
            "(CUDA_VISIBLE_DEVICES), or --replicas=cpu"
        )


def capability(gpu: tf.config.PhysicalDevice) -> Capability | None:
    """NVIDIA's compute capability of a GPU; None for those of others."""
    return tf.config.experimental.get_device_details(gpu).get("compute_capability")


def _built_for(own: Capability) -> bool:
    """Whether this TensorFlow has kernels for a compute capability.

    Those of an earlier minor number serve too, those of an earlier major one do not; nor does its
    PTX for later ones, in practice: TensorFlow 2.21 ends the process on compute capability 12.
    """
    listed = tf.sysconfig.get_build_info().get("cuda_compute_capabilities", [])
    numbers = (re.fullmatch(r"(?:sm|compute)_(\d+)(\d)a?", name) for name in listed)
    served = [(int(each[1]), int(each[2])) for each in numbers if each]
    return not served or any(each[0] == own[0] and each <= own for each in served)


def fused_batch_norm(
    x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Batch normalisation by TensorFlow's one operation, for `nets.fused_batch_norm`.

    On a GPU it reads and writes features once where the composed form does so several times: 0.68
    and 0.76 ms by XLA, 3.6 and 8.8 without (bfloat16 [256, 56, 56, 256], H200; docs/gpu.md).
    """
    gamma, beta = tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta)
    y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        x, gamma, beta, epsilon=epsilon, is_training=True
    )
    # It gives the unbiased variance.
    count = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
    return y, mean, variance * ((count - 1) / count)
