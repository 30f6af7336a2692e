"""Training, evaluation and the record of experiments.

Imports `base`, `nets`, `pipelines` and `data_prep.schema`; nothing but `benchmarks` imports it.

From Python:

    import trainers

    run = trainers.train_run("flags/demo.cfg", data_dir="demo/data", train_epochs=3)
    run = trainers.load_run("alexnet/1")
    print(run.predict(["photo.jpg", pixels])[0])  # files, uint8 arrays, Pillow's images
    run.model  # a Keras model with the trained weights
    trainers.read_runs()  # a pandas DataFrame, one row a run

What fails by what the caller can mend raises `base.errors.UserError`, a line that says how.
Importing this package imports no TensorFlow, but has it started as the commands start it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from base.tensorflow_start import start_on_import

if TYPE_CHECKING:
    import pandas

    from trainers.serving.trained_run import TrainedRun

__all__ = ["load_run", "read_runs", "train_run"]

start_on_import()


def train_run(flag_file: str | os.PathLike[str] = "", **flags: Any) -> TrainedRun:
    """Trains in a run folder as train.py does with these flags.

    The same call after an interruption continues the run. Lines of progress are printed.

    Args:
        flag_file: an experiment's flags.
        **flags: what is otherwise than in the file, by the flags' names.

    Raises:
        UserError: what the flags ask for does not exist, does not fit, or does not converge.
        SystemExit: the process got one of the signals that stop a training, which was saved.
    """
    from base.errors import UserError
    from base.flags_in_python import arguments
    from trainers import config
    from trainers.serving.trained_run import TrainedRun
    from trainers.training import session

    wanted = config.parse(arguments(flag_file, flags))
    if not wanted.net:
        raise UserError("no net is named: net='NAME', or a flag file that names one")
    run, _ = session.train(wanted)
    return TrainedRun(run)


def load_run(name: str, *, checkpoint: str = "best", runs_dir: str = "runs") -> TrainedRun:
    """A recorded run, to predict with, and to go on with its net.

    Args:
        name: its folder, an experiment's for its newest run, or EXPERIMENT/NUMBER or EXPERIMENT in
            `runs_dir`.
        checkpoint: `best` or `last`.
        runs_dir: where runs are.

    Raises:
        UserError: there is no such run.
    """
    from trainers.run_folder.finding import find_run
    from trainers.serving.trained_run import TrainedRun

    return TrainedRun(find_run(name, runs_dir), checkpoint)


def read_runs(runs_dir: str = "runs") -> pandas.DataFrame:
    """All runs as a table: by its name a row for each, its best scores, its state, its speed.

    Behind them stands a column for each flag in which the runs differ, `--learning_rate`, as text.

    Args:
        runs_dir: where runs are; also an experiment's folder in it.

    Raises:
        UserError: there is no such folder, or pandas is not installed.
    """
    import pathlib

    from trainers.run_folder import frames
    from trainers.run_folder.records import find_records

    return frames.runs(find_records(pathlib.Path(runs_dir)))
