"""Which devices a run uses: `--replicas` and `--distribution` as one `Devices`.

It holds the tf.distribute strategy and who else trains along, and hands out batches to both."""

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from base.errors import UserError
from pipelines.reading.order import Host
from trainers.training.devices import gpus

MIRRORED = "mirrored"
MULTI_WORKER = "multi_worker"

TF_CONFIG = (
    """TF_CONFIG='{"cluster": {"worker": ["HOST0:PORT", "HOST1:PORT"]}, """
    """"task": {"type": "worker", "index": 0}}', with an index of its own on each machine"""
)


class Devices:
    """What computes each step, here and on the other machines.

    Attributes:
        strategy: TensorFlow's, whose scope variables are made in.
        workers: the processes that train together.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        """The devices of a strategy that `open_devices` made."""
        self.strategy = strategy
        self.workers = Workers(strategy)

    @property
    def replicas(self) -> int:
        """How many replicas take each step, on all machines together."""
        return self.strategy.num_replicas_in_sync

    def compiles(self, wanted: str, model: keras.Model) -> bool:
        """Whether XLA is to compile what the replicas compute, by --jit_compile.

        Args:
            wanted: `true`, `false`, or `auto`: on GPUs that XLA has kernels for.
            model: the net. XLA compiles no step in which replicas speak with each other, as they do
                in synchronized batch normalisation.

        Raises:
            UserError: it is wanted, and cannot be.
        """
        # Normalisations as such are looked for: nets of another registry have layers of their own.
        speaks = self.replicas > 1 and any(
            getattr(layer, "synchronized", False) for layer in model._flatten_layers()
        )
        if wanted == "true" and speaks:
            raise UserError(
                f"--jit_compile=true, but {model.name} averages its batch normalisation over "
                f"{self.replicas} replicas, which XLA cannot compile: leave the flag out, or build "
                "the net without synchronized_batch_norm"
            )
        served = self.gpus and all(gpus.served_by_xla(gpu) for gpu in self.gpus)
        return wanted == "true" or (wanted == "auto" and bool(served) and not speaks)

    @property
    def gpus(self) -> list[tf.config.PhysicalDevice]:
        """The GPUs of this machine that compute; none where the CPU does."""
        return tf.config.get_visible_devices("GPU")

    @property
    def host(self) -> Host:
        """This process among those that make batches."""
        return Host(self.workers.index, self.workers.count)

    def distribute(self, batches: Callable[[], tf.data.Dataset]) -> Any:
        """A distributed iterator over this host's batches, a batch for each replica at a time."""
        return iter(self.strategy.distribute_datasets_from_function(lambda context: batches()))


def open_devices(replicas: str, distribution: str = MIRRORED) -> Devices:
    """The devices that the flags name.

    Args:
        replicas: --replicas, one of:

            - `auto`: every GPU, or the CPU where there is none;
            - `N`: the first N GPUs;
            - `cpu:N`: the CPU split into N logical devices (for tests and for teaching).

        distribution: --distribution. With `multi_worker`, `replicas` are those of each of the
            machines that the environment variable TF_CONFIG names, and it waits for the others to
            start.

    Raises:
        UserError: `replicas` is none of these, or asks for more GPUs than there are; TF_CONFIG does
            not say which machines train together.
    """
    return Devices(_strategy(replicas, distribution))


def _strategy(replicas: str, distribution: str) -> tf.distribute.Strategy:
    """One replica needs no communication and gets OneDeviceStrategy; more get MirroredStrategy."""
    if distribution == MULTI_WORKER:
        return _multi_worker(replicas)
    if match := re.fullmatch(r"cpu(?::(\d+))?", replicas):
        devices = _split_cpu(int(match[1] or 1))
    elif replicas == "auto":
        if reason := gpus.unseen():
            print(f"warning: {reason}; the CPU trains", file=sys.stderr)
        devices = gpus.names(None) or ["/cpu:0"]
    elif replicas.isdigit() and int(replicas) > 0:
        devices = gpus.names(int(replicas))
        if len(devices) < int(replicas):
            raise UserError(
                f"--replicas={replicas}, but "
                + (gpus.unseen() or f"TensorFlow sees {len(devices)} GPUs: use --replicas=auto")
                + f", or --replicas=cpu:{replicas} to split the CPU"
            )
    else:
        raise UserError(f"--replicas={replicas} is none of auto, a number of GPUs, cpu:N")
    if len(devices) == 1:
        return tf.distribute.OneDeviceStrategy(devices[0])
    # On the CPU the default, collective ops, fails where one process makes several strategies.
    on_cpu = tf.distribute.ReductionToOneDevice() if devices[0].startswith("/cpu") else None
    return tf.distribute.MirroredStrategy(devices, cross_device_ops=on_cpu)


def mean_over_replicas(value: tf.Tensor) -> tf.Tensor:
    """The mean of every replica's value, to be called in each replica; a constant to gradients.

    TensorFlow's own `all_reduce` is differentiable, but to be so it searches through the other
    replicas' graphs, which takes minutes for a deep net. `stop_gradient` is where its search ends.
    """
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, tf.stop_gradient(value))


class Workers:
    """The processes that train together, one on each machine; mostly there is one.

    All of them take the same steps, so what depends on a clock or on a signal is agreed on first.

    Attributes:
        index: which of them this process is.
        count: how many there are.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        """The workers of a strategy."""
        resolver = strategy.cluster_resolver
        several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        self.count = len(resolver.cluster_spec().as_dict()["worker"]) if several else 1
        self.index = resolver.task_id if several else 0
        local = strategy.num_replicas_in_sync // self.count

        @tf.function(autograph=False)
        def summed(values: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            first = context.replica_id_in_sync_group % local == 0
            return context.all_reduce(
                tf.distribute.ReduceOp.SUM, tf.where(first, values, tf.zeros_like(values))
            )

        self._strategy, self._summed = strategy, summed

    @property
    def chief(self) -> bool:
        """Whether this process is the one that writes."""
        return self.index == 0

    def sums(self, values: Sequence[float]) -> list[float]:
        """The sum of each value over all workers. All of them have to call it."""
        if self.count == 1:
            return list(values)
        total = self._strategy.run(self._summed, args=(tf.constant(values, tf.float32),))
        return [float(value) for value in self._strategy.experimental_local_results(total)[0]]

    def of_chief(self, value: float) -> float:
        """What the first worker passes here. All of them have to call it."""
        return self.sums([value if self.chief else 0.0])[0]


def refuse_broken_links(strategy: tf.distribute.Strategy) -> None:
    """Sums a known vector over the replicas, as every step will sum gradients, and checks it.

    A link between two GPUs that corrupts data trains a net badly without any error.

    Raises:
        UserError: a replica received another sum.
    """
    replicas = strategy.num_replicas_in_sync
    pattern = tf.cast(tf.range(2**18) % 251, tf.float32)

    @tf.function(autograph=False)
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


def _multi_worker(replicas: str) -> tf.distribute.Strategy:
    text = os.environ.get("TF_CONFIG", "")
    try:
        config = json.loads(text)
        workers, index = config["cluster"]["worker"], config["task"]["index"]
        if set(config["cluster"]) != {"worker"} or config["task"]["type"] != "worker":
            raise ValueError
        if not 0 <= index < len(workers):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        found = "is not set" if not text else f"is {text}"
        raise UserError(
            f"--distribution={MULTI_WORKER}, but TF_CONFIG {found}: set {TF_CONFIG}"
        ) from None
    physical = tf.config.list_physical_devices("GPU")
    if re.fullmatch(r"cpu(:1)?", replicas):
        gpus.use(0)
    elif replicas.isdigit() and 0 < int(replicas) <= len(physical):
        gpus.use(int(replicas))
    elif replicas == "auto":
        gpus.use(None)
    else:
        raise UserError(
            f"--replicas={replicas} on each of {len(workers)} machines: choose auto, cpu, or a "
            f"number of GPUs up to {len(physical)}, as many as TensorFlow sees here"
        )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        if "program startup" not in str(error):
            raise
        raise UserError(
            f"--distribution={MULTI_WORKER}, but this process has begun to compute: train on "
            "several machines in processes of their own"
        ) from None


def _split_cpu(count: int) -> list[str]:
    """Makes `count` logical CPU devices, which must happen before TensorFlow starts."""
    if count < 1:
        raise UserError("--replicas=cpu:N needs N of at least 1")
    gpus.use(0)
    physical = tf.config.list_physical_devices("CPU")[0]
    configured = tf.config.get_logical_device_configuration(physical)
    if configured is None or len(configured) < count:
        try:
            tf.config.set_logical_device_configuration(
                physical, [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
            )
        except RuntimeError:  # TensorFlow has started, with as many as it was told then
            started = len(tf.config.list_logical_devices("CPU"))
            if started < count:
                raise UserError(
                    f"--replicas=cpu:{count}, but this process has begun to compute with "
                    f"cpu:{started}: begin with the most replicas, or in a process of its own"
                ) from None
    return [f"/cpu:{index}" for index in range(count)]
