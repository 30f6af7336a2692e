"""MLflow: https://mlflow.org/docs/latest/ml/tracking.

Its own variables say the rest: MLFLOW_TRACKING_URI, and MLFLOW_EXPERIMENT_NAME (else the
experiment's own name).
"""

from __future__ import annotations

import os
import time

import mlflow
from mlflow.entities import Metric, Param

from trainers.run_folder import history
from trainers.run_folder.loggers.logger import Service, Start

# What mlflow.utils.validation takes in one call, and of one parameter's characters.
_MOST_PARAMETERS, _MOST_CHARACTERS = 100, 6000
_STATUS = {history.FINISHED: "FINISHED", history.STOPPED: "KILLED", history.FAILED: "FAILED"}


class MlflowRun(Service):
    """A run of the same name and steps, with the flags as its parameters."""

    name = "mlflow"

    def __init__(self, start: Start):
        """Opens it, and sends what it has not got yet."""
        self._client = mlflow.MlflowClient()
        self._id = ""
        super().__init__(start)

    def open(self, start: Start, run_id: str | None) -> str:
        """Goes on with a run, or begins one."""
        if run_id:
            self._client.update_run(run_id, status="RUNNING")
            self._id = run_id
            return run_id
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", start.experiment)
        known = self._client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else self._client.create_experiment(name)
        self._id = self._client.create_run(experiment, run_name=start.name).info.run_id
        parameters = [
            Param(key, value[:_MOST_CHARACTERS]) for key, value in start.flags.items() if value
        ]
        for first in range(0, len(parameters), _MOST_PARAMETERS):
            some = parameters[first : first + _MOST_PARAMETERS]
            self._client.log_batch(self._id, params=some)
        return self._id

    @property
    def place(self) -> str:
        """The run's id, and the server that has it."""
        return f"run {self._id} at {mlflow.get_tracking_uri()}"

    def send(self, values: dict[str, float], step: int) -> None:
        """Sends numbers, at the run's own steps."""
        now = int(time.time() * 1000)
        metrics = [Metric(key, value, now, step) for key, value in values.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def close(self, outcome: str) -> None:
        """Ends the run there."""
        self._client.set_terminated(self._id, status=_STATUS[outcome])


def open_logger(start: Start) -> MlflowRun:
    """The logger of a run."""
    return MlflowRun(start)
