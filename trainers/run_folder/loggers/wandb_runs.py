"""Weights & Biases: https://docs.wandb.ai/ref/python.

Its own variables say the rest: WANDB_PROJECT (else `ilsvrc`), WANDB_ENTITY, WANDB_API_KEY, and
WANDB_MODE=offline, with which `wandb sync` sends later what was kept.
"""

from __future__ import annotations

import os

import wandb

from trainers.run_folder import history
from trainers.run_folder.loggers.logger import Service, Start

PROJECT = "ilsvrc"


class WandbRun(Service):
    """A run of the same flags, name and steps."""

    name = "wandb"

    def __init__(self, start: Start):
        """Opens it, and sends what it has not got yet."""
        self._wandb: wandb.Run | None = None
        super().__init__(start)

    def open(self, start: Start, run_id: str | None) -> str:
        """Goes on with a run, or begins one."""
        self._wandb = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=run_id,
            resume="allow",
            name=start.name,
            group=start.experiment,
            config=start.flags,
            dir=start.run.directory,
            settings=wandb.Settings(console="off", silent=True),
        )
        # Not W&B's own steps, whose rows are sent with the next one: a kill would lose one.
        self._wandb.define_metric("step")
        self._wandb.define_metric("*", step_metric="step")
        return str(self._wandb.id)

    @property
    def place(self) -> str:
        """The run's page, or where its files wait to be sent."""
        assert self._wandb is not None
        if self._wandb.offline:
            return f"wandb sync {os.path.dirname(self._wandb.dir)}"
        return str(self._wandb.url)

    def send(self, values: dict[str, float], step: int) -> None:
        """Sends numbers, at the run's own steps."""
        assert self._wandb is not None
        self._wandb.log(values | {"step": step})

    def close(self, outcome: str) -> None:
        """Ends the run there, as failed where it has."""
        assert self._wandb is not None
        self._wandb.finish(exit_code=int(outcome == history.FAILED))


def open_logger(start: Start) -> WandbRun:
    """The logger of a run."""
    return WandbRun(start)
