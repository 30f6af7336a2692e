"""How long the compiled training step takes by itself, and how long in the loop around it."""

import contextlib
import dataclasses
import math
import os
import resource
import tempfile
import time
from typing import Any

import numpy as np
import tensorflow as tf

import nets
from base.errors import UserError
from pipelines.config import Phase
from trainers.config import TrainConfig
from trainers.run_folder.folder import new_run
from trainers.training.devices.replicas import MIRRORED
from trainers.training.loop import train_run
from trainers.training.session import opened
from trainers.training.step import INPUT_WAIT, MAX_STEPS
from trainers.training.trainer import Trainer


@dataclasses.dataclass(frozen=True)
class Round:
    """The same number of steps in the loop and by themselves.

    Attributes:
        steps: how many.
        loop: seconds in the loop, with all that it does between the steps.
        waited: those of them in which the steps waited for their data.
        bare: seconds of the compiled steps by themselves, on one batch again and again.
    """

    steps: int
    loop: float
    waited: float
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


def parameters(trainer: Trainer) -> int:
    """How many numbers of the net are trained."""
    return sum(math.prod(variable.shape) for variable in trainer.net.model.trainable_variables)


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
        self._taken, self._waited, self._since = 0, 0.0, 0.0
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
        self._waited += float(rows[:, INPUT_WAIT].sum())
        elapsed = time.perf_counter() - self._since
        if elapsed >= self._seconds:
            bare = bare_steps(self._trainer, self._one_batch, self._taken)
            self.rounds.append(Round(self._taken, elapsed, self._waited, bare))
            if len(self.rounds) == self._wanted:
                raise _Measured
            self._begin()

    def _begin(self) -> None:
        self._taken, self._waited, self._since = 0, 0.0, time.perf_counter()


class _Measured(Exception):  # noqa: N818 (it is no error)
    """Ends the loop."""
