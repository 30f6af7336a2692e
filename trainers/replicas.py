"""Which devices a run uses: `--replicas` as a tf.distribute strategy."""

import re

import tensorflow as tf

from data_prep.commandline import UserError


def make_strategy(replicas: str) -> tf.distribute.Strategy:
    """The strategy for `replicas`, one of:

    - `auto`: every GPU, or the CPU where there is none;
    - `N`: the first N GPUs;
    - `cpu:N`: the CPU split into N logical devices (for tests and for teaching).

    One replica needs no communication and gets OneDeviceStrategy; more get MirroredStrategy.

    Raises:
        UserError: `replicas` is none of these, or asks for more GPUs than there are.
    """
    if match := re.fullmatch(r"cpu(?::(\d+))?", replicas):
        devices = _split_cpu(int(match[1] or 1))
    elif replicas == "auto":
        devices = _gpus() or ["/cpu:0"]
    elif replicas.isdigit() and int(replicas) > 0:
        devices = _gpus()[: int(replicas)]
        if len(devices) < int(replicas):
            raise UserError(
                f"--replicas={replicas}, but TensorFlow sees {len(devices)} GPUs: "
                f"use --replicas=auto, or --replicas=cpu:{replicas} to split the CPU"
            )
    else:
        raise UserError(f"--replicas={replicas} is none of auto, a number of GPUs, cpu:N")
    if len(devices) == 1:
        return tf.distribute.OneDeviceStrategy(devices[0])
    # On the CPU the default, collective ops, fails where one process makes several strategies.
    on_cpu = tf.distribute.ReductionToOneDevice() if devices[0].startswith("/cpu") else None
    return tf.distribute.MirroredStrategy(devices, cross_device_ops=on_cpu)


def refuse_broken_links(strategy: tf.distribute.Strategy) -> None:
    """Sums a known vector over the replicas, as every step will sum gradients, and checks it.

    A link between two GPUs that corrupts data trains a net badly without any error.

    Raises:
        UserError: a replica received another sum.
    """
    replicas = strategy.num_replicas_in_sync
    pattern = tf.cast(tf.range(2**18) % 251, tf.float32)

    @tf.function
    def summed() -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        factor = tf.cast(context.replica_id_in_sync_group, tf.float32) + 1
        return context.all_reduce(tf.distribute.ReduceOp.SUM, factor * pattern)

    expected = pattern * (replicas * (replicas + 1) / 2)
    for index, total in enumerate(strategy.experimental_local_results(strategy.run(summed))):
        if not bool(tf.reduce_all(total == expected)):
            raise UserError(
                f"replica {index} of {replicas} received a wrong sum over the replicas: look at "
                "the links between the GPUs (nvidia-smi topo -m), or try NCCL_P2P_DISABLE=1"
            )


def _gpus() -> list[str]:
    return [gpu.name for gpu in tf.config.list_logical_devices("GPU")]


def _split_cpu(count: int) -> list[str]:
    """Makes `count` logical CPU devices, which must happen before TensorFlow starts."""
    if count < 1:
        raise UserError("--replicas=cpu:N needs N of at least 1")
    physical = tf.config.list_physical_devices("CPU")[0]
    configured = tf.config.get_logical_device_configuration(physical)
    if configured is None or len(configured) < count:
        tf.config.set_logical_device_configuration(
            physical, [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
        )
    return [f"/cpu:{index}" for index in range(count)]
