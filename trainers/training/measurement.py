"""How long the compiled training step takes by itself, and how long in the loop around it."""

import contextlib
import dataclasses
import math
import os
import resource
import tempfile
import time
from typing import Any

import tensorflow as tf

import nets
from base.commandline import UserError
from pipelines import input_pipeline
from pipelines.reading.dataset import open_dataset
from trainers.config import TrainConfig
from trainers.run_folder.folder import new_run
from trainers.training.replicas import MIRRORED, Workers, make_strategy
from trainers.training.session import refuse_unusable
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


class MeasuredTrainer(Trainer):
    """A trainer that is stopped, now and then, to take the same steps without the loop."""

    def __init__(self, config: TrainConfig):
        """Builds the net and its step.

        Raises:
            UserError: what the flags ask for does not exist or does not fit, or they ask for
                several machines.
        """
        if config.distribution != MIRRORED:
            raise UserError(f"--distribution={config.distribution}: one machine is measured")
        train_map = config.pipeline.train_map_at(0)
        config = dataclasses.replace(
            config,
            pipeline=dataclasses.replace(config.pipeline, train_map=train_map, train_sizes=()),
            # Nothing is learnt, so that no loss diverges on one batch again and again; and nothing
            # ends the loop or holds it up but its own work for each step.
            learning_rate=0.0,
            train_steps=10**9,
            eval_epochs=1e9,
            diagnose_steps=0,
        )
        strategy = make_strategy(config.replicas, config.distribution)
        self.dataset = open_dataset(config.pipeline)
        refuse_unusable(config, self.dataset, strategy)
        super().__init__(config, self.dataset, nets, strategy, Workers(strategy))
        self._one_batch = self._repeated_batch()

    @property
    def parameters(self) -> int:
        """How many numbers of the net are trained."""
        return sum(math.prod(variable.shape) for variable in self._model.trainable_variables)

    @property
    def replicas(self) -> int:
        """How many replicas take each step."""
        return self._strategy.num_replicas_in_sync

    def peak_bytes(self) -> int:
        """The largest memory that this process has held at once."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def peak_device_bytes(self) -> dict[str, int]:
        """The same of each GPU, by its name."""
        names = [gpu.name.split("device:")[-1] for gpu in tf.config.list_logical_devices("GPU")]
        return {name: tf.config.experimental.get_memory_info(name)["peak"] for name in names}

    def bare_steps(self, steps: int) -> float:
        """Takes steps on one batch that is in memory already; the seconds they took."""
        start = time.perf_counter()
        for first in range(0, steps, MAX_STEPS):
            self._step.take_steps(self._one_batch, [0.0] * min(MAX_STEPS, steps - first))
        return time.perf_counter() - start

    def measure(self, rounds: int, seconds: float) -> list[Round]:
        """Trains as train.py does, in a run folder that does not stay, and measures `rounds`.

        Args:
            rounds: how many.
            seconds: how long a round's part in the loop lasts, at least.
        """
        self._wanted, self._seconds = rounds, seconds
        self._rounds: list[Round] = []
        self._largest_call = 0
        with (
            tempfile.TemporaryDirectory() as runs_dir,
            open(os.devnull, "w") as nowhere,
            contextlib.redirect_stdout(nowhere),
        ):
            run, lock = new_run(dataclasses.replace(self._config, runs_dir=runs_dir), self.dataset)
            with lock, contextlib.suppress(_Measured):
                self.train(run)
        return self._rounds

    def _steps(self, iterator: Any, count: int) -> None:
        """The loop's call for `count` steps, on whose return a round may end."""
        waited = self._state.window[INPUT_WAIT]
        super()._steps(iterator, count)
        if count > self._largest_call:
            # The loop is still finding out how many steps to take at once; the first traces them.
            self._largest_call = count
            self.bare_steps(1)
            self._begin_round()
            return
        self._taken += count
        self._waited += self._state.window[INPUT_WAIT] - waited
        elapsed = time.perf_counter() - self._since
        if elapsed >= self._seconds:
            bare = self.bare_steps(self._taken)
            self._rounds.append(Round(self._taken, elapsed, self._waited, bare))
            if len(self._rounds) == self._wanted:
                raise _Measured
            self._begin_round()

    def _begin_round(self) -> None:
        self._taken, self._waited, self._since = 0, 0.0, time.perf_counter()

    def _repeated_batch(self) -> Any:
        parts = self.replicas * self._config.accumulation_steps

        def batches_of(context: tf.distribute.InputContext) -> tf.data.Dataset:
            part = self._batch_size // parts
            batches = input_pipeline.train(self.dataset, self._config.pipeline, batch_size=part)
            return batches.take(1).cache().repeat()

        return iter(self._strategy.distribute_datasets_from_function(batches_of))


class _Measured(Exception):  # noqa: N818 (it is no error)
    """Ends the loop."""
