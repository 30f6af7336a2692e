"""How long the compiled training step takes by itself, and how long in the loop around it."""

import contextlib
import dataclasses
import math
import os
import resource
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

import nets
from base.errors import UserError
from data_prep import schema
from pipelines.config import SYNTHETIC, Phase
from pipelines.measurement import copier
from trainers.config import TrainConfig
from trainers.run_folder.folder import new_run
from trainers.training.devices.replicas import MIRRORED
from trainers.training.loop import train_run
from trainers.training.models import logits_only
from trainers.training.session import opened
from trainers.training.step import MAX_STEPS
from trainers.training.trainer import Trainer
from trainers.training.validation import CenterCrop


@dataclasses.dataclass(frozen=True)
class Round:
    """The same number of steps in the loop and by themselves.

    Attributes:
        steps: how many.
        loop: seconds in the loop, with all that it does between the steps.
        bare: seconds of the compiled steps by themselves, on one batch again and again.
    """

    steps: int
    loop: float
    bare: float


def trainer_to_measure(config: TrainConfig) -> Trainer:
    """A trainer that learns nothing, and whose loop is never ended or held up.

    Raises:
        UserError: what the flags ask for does not exist or does not fit, or they ask for several
            machines.
    """
    if config.distribution != MIRRORED:
        raise UserError(f"--distribution={config.distribution}: one machine is measured")
    train_map = config.pipeline.host_map(Phase.TRAIN)
    config = dataclasses.replace(
        config,
        pipeline=dataclasses.replace(config.pipeline, train_map=train_map, train_sizes=()),
        # No loss diverges on one batch again and again at a rate of 0.
        learning_rate=0.0,
        train_steps=10**9,
        eval_epochs=1e9,
        diagnose_steps=0,
    )
    devices, pipeline = opened(config)
    return Trainer(config, pipeline, nets, devices)


def measure(trainer: Trainer, rounds: int, seconds: float) -> list[Round]:
    """Trains as train.py does, in a run folder that does not stay, and measures `rounds`.

    Args:
        trainer: of `trainer_to_measure`.
        rounds: how many.
        seconds: how long a round's part in the loop lasts, at least.
    """
    measured = _Rounds(trainer, rounds, seconds)
    with (
        tempfile.TemporaryDirectory() as runs_dir,
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        config = dataclasses.replace(trainer.config, runs_dir=runs_dir)
        run, lock = new_run(config, trainer.pipeline)
        with lock, contextlib.suppress(_Measured):
            train_run(trainer, run, watch=measured.after_steps)
    return measured.rounds


def measure_evaluation(trainer: Trainer, rounds: int) -> list[tuple[float, float]]:
    """Scores the training images, and takes the bare forward pass of as many batches.

    Args:
        trainer: of `trainer_to_measure`.
        rounds: how many.

    Returns:
        Images per second of each round: of scoring them as an evaluation does, from records to
        counts on all replicas, and of the forward pass of one batch in memory, on one.
    """
    pipeline, model = trainer.pipeline, logits_only(trainer.net.model)
    protocol = CenterCrop(trainer.net.model, pipeline, trainer.devices, schema.TRAIN)
    images, size = pipeline.dataset.num_records(schema.TRAIN), pipeline.config.eval_batch_size
    batch = tf.zeros((size, *pipeline.chains(Phase.EVAL).image_size, 3))
    forward = tf.function(lambda: model(batch, training=False), autograph=False)
    steps = math.ceil(images / size)

    def timed(work: Callable[[], object]) -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    rates = [
        (
            images / timed(protocol.evaluate),
            steps * size / timed(lambda: [forward().numpy() for _ in range(steps)]),
        )
        for _ in range(rounds + 1)
    ]
    return rates[1:]  # the first pays for tracing


@dataclasses.dataclass(frozen=True)
class Way:
    """What the parts of the way to a trained net reach, each by itself, in images per second.

    Attributes:
        input: the host's pipeline, up to a batch in the host's memory; None for synthetic data.
        copy: batches to the GPUs; None where the CPU trains.
        compute: the step without the exchange between replicas.
        exchange: the gradients between replicas; None for one replica.
    """

    input: float | None
    copy: float | None
    compute: float
    exchange: float | None

    def verdict(self, remedies: Mapping[str, str]) -> str:
        """What binds, and what would help, of `remedies` for each part."""
        # Gradients are sent after they are computed; what makes and copies batches works beside.
        exchange = self.exchange or math.inf
        step = 1 / (1 / self.compute + 1 / exchange)
        beside = {"input": self.input, "copy": self.copy}
        rates = {name: rate for name, rate in beside.items() if rate is not None} | {"step": step}
        binding = min(rates, key=rates.__getitem__)
        others = min((rate for name, rate in rates.items() if name != binding), default=math.inf)
        if binding == "step":
            binding = "exchange" if exchange < self.compute else "compute"
        room = "" if math.isinf(others) else f"; the rest would take {others:,.0f}"
        return f"verdict: {binding} binds{room}. Try: {remedies[binding]}"


def remedies(config: TrainConfig, *, on_gpu: bool, compiled: bool) -> dict[str, str]:
    """What would help where a part of the way binds: what the flags do not have already.

    Args:
        config: the flags.
        on_gpu: whether GPUs compute.
        compiled: whether XLA compiles the step.
    """
    compute, exchange = [], []
    if on_gpu and config.precision == "float32":
        compute.append("--precision=mixed_bfloat16")
    if on_gpu and not compiled:
        compute.append("--jit_compile=true")
    compute.append("more GPUs (--replicas)" if on_gpu else "a GPU, or more cores")
    compute.append("a smaller net or smaller images")
    if config.gradient_exchange == "float32":
        exchange.append("--gradient_exchange=bfloat16")
    exchange.append("a larger --train_batch_size, with --accumulation_steps")
    return {
        "input": "pipelines/benchmark.py, which says which of its stages binds",
        "copy": "fewer processes on the host's memory: images travel as uint8 already",
        "compute": "; ".join(compute),
        "exchange": "; ".join(exchange),
    }


def way(trainer: Trainer, bare: float, seconds: float) -> Way:
    """Measures each part of the way by itself.

    Args:
        trainer: of `trainer_to_measure`.
        bare: images per second of the bare step, all replicas together.
        seconds: how long each measurement lasts, at least.
    """
    config, devices = trainer.config, trainer.devices
    batch = config.pipeline.train_batch_size
    synthetic = config.pipeline.data == SYNTHETIC
    exchange = None
    if devices.replicas > 1:
        exchange = batch / _seconds_of(_exchange(trainer), seconds)
    compute = bare if exchange is None else 1 / max(1e-9, 1 / bare - 1 / exchange)
    batches = iter(trainer.pipeline.train(batch // devices.replicas))
    part = batch // devices.replicas
    copied = next(batches)["image"]
    return Way(
        input=None if synthetic else part / _seconds_of(lambda: next(batches), seconds),
        copy=part / _seconds_of(copier(copied), seconds) if devices.gpus else None,
        compute=compute,
        exchange=exchange,
    )


def _exchange(trainer: Trainer) -> Callable[[], object]:
    """Sums tensors of the gradients' shapes and type over the replicas, and waits for them."""
    sent = tf.as_dtype(trainer.config.gradient_exchange)
    variables, strategy = trainer.net.model.trainable_variables, trainer.devices.strategy

    def summed() -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        zeros = [tf.zeros(variable.shape, sent) for variable in variables]
        return context.all_reduce(tf.distribute.ReduceOp.SUM, zeros)[0]

    once = tf.function(lambda: strategy.run(summed), autograph=False)
    return lambda: strategy.experimental_local_results(once())[0].numpy()


def _seconds_of(work: Callable[[], object], seconds: float) -> float:
    """Seconds of one call, the mean over so many seconds."""
    work()  # the first pays for tracing, and for filling buffers
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        work()
        count += 1
    return elapsed / count


def model_flops(trainer: Trainer) -> float:
    """Floating-point operations of one image's step: twice its multiply-adds, three times.

    Forward, and backward to the inputs and to the kernels, as is customary; convolutions and fully
    connected layers alone.
    """
    return 3 * 2 * nets.count_macs(trainer.net.model)


def peak_bytes() -> int:
    """The largest memory that this process has held at once."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def peak_device_bytes() -> dict[str, int]:
    """The same of each GPU, by its name."""
    names = [gpu.name.split("device:")[-1] for gpu in tf.config.list_logical_devices("GPU")]
    return {name: tf.config.experimental.get_memory_info(name)["peak"] for name in names}


def bare_steps(trainer: Trainer, batches: Any, steps: int) -> float:
    """Takes steps at a rate of 0, outside of the loop; the seconds they took.

    Args:
        trainer: of `trainer_to_measure`.
        batches: of `trainer.batches(repeat_first=True)`.
        steps: how many.
    """
    start = time.perf_counter()
    for first in range(0, steps, MAX_STEPS):
        trainer.step.take_steps(batches, [0.0] * min(MAX_STEPS, steps - first))
    return time.perf_counter() - start


class _Rounds:
    """Looks on at the loop, and stops it now and then to take the same steps without it."""

    def __init__(self, trainer: Trainer, wanted: int, seconds: float):
        self._trainer, self._wanted, self._seconds = trainer, wanted, seconds
        self._one_batch: Any = trainer.batches(repeat_first=True)
        self._largest_call = 0
        self._taken, self._since = 0, 0.0
        self.rounds: list[Round] = []

    def after_steps(self, rows: np.ndarray) -> None:
        """A round may end here, after a call of the compiled step. Raises _Measured after all."""
        count = len(rows)
        if count > self._largest_call:
            # The loop is still finding out how many steps to take at once; the first traces them.
            self._largest_call = count
            bare_steps(self._trainer, self._one_batch, 1)
            self._begin()
            return
        self._taken += count
        elapsed = time.perf_counter() - self._since
        if elapsed >= self._seconds:
            bare = bare_steps(self._trainer, self._one_batch, self._taken)
            self.rounds.append(Round(self._taken, elapsed, bare))
            if len(self.rounds) == self._wanted:
                raise _Measured
            self._begin()

    def _begin(self) -> None:
        self._taken, self._since = 0, time.perf_counter()


class _Measured(Exception):  # noqa: N818 (it is no error)
    """Ends the loop."""
