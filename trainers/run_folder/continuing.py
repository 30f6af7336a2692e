"""Which run a training continues: the newest of its experiment, if it was interrupted."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import IO

from base import flag_files
from base.errors import UserError
from base.plugins import FLAG as PLUGINS
from base.spec import parse_call
from trainers.config import FLAGS_FILE, TrainConfig
from trainers.run_folder import plugins
from trainers.run_folder.folder import Run, experiment_dir, newest, numbers


def find_interrupted(config: TrainConfig) -> tuple[Run, IO[str]] | None:
    """The experiment's newest run, if it was interrupted and had the same flags.

    Returns the run and its lock, to be held while it is trained; None if there is no such run.
    """
    run = newest(_interrupted_dir(config))
    lock = run.lock() if run else None
    if run is None or lock is None:
        return None  # there is none, or it is being trained
    if not run.finished and _flags_are(run, config):
        return run, lock
    lock.close()
    return None


def claim(run: Run) -> tuple[Run, IO[str]]:
    """This very run and its lock, to be held while its training is continued.

    Raises UserError where it is being trained, or is finished.
    """
    lock = run.lock()
    if lock is None:
        raise UserError(f"{run.directory} is running: another process trains it")
    if run.finished:
        lock.close()
        raise UserError(
            f"{run.directory} is finished: train.py --flagfile={run.directory / FLAGS_FILE} trains "
            "it again, in a run of its own"
        )
    return run, lock


def numbered_run(config: TrainConfig, number: int) -> Run:
    """The run of the experiment with this number."""
    return Run(_interrupted_dir(config) / str(number))


def load_plugins(config: TrainConfig, continued: Run | None = None) -> None:
    """Loads the plugins of a training: a run that it continues has copies, which count.

    Args:
        config: the flags of the training.
        continued: the run that is to be continued; None: what `find_interrupted` would find.

    Raises:
        UserError: a plugin cannot be loaded.
    """
    named = copies = config.pipeline.plugins
    run = continued
    if named and run is None and config.resume:
        run = newest(_interrupted_dir(config))
        if run and (run.finished or run.running() or not _flags_are(run, config)):
            run = None
    if named and run is not None:
        copies = run.flags().pipeline.plugins
        if continued is not None:  # by its own flags, which mean its copies
            written = flag_files.read(run.directory / FLAGS_FILE, as_written=True)
            value = flag_files.value_in(written, PLUGINS) or ""
            named = tuple(path.strip() for path in value.split(","))
        plugins.say_changed(named, copies)
    plugins.load(copies)


def _interrupted_dir(config: TrainConfig) -> pathlib.Path:
    """Where the experiment's runs are that may be continued.

    Experiments without a name of their own were named after the net, before they were named after
    the flag file: what was interrupted then is continued there.
    """
    directory = experiment_dir(config)
    if config.experiment_is_default and not numbers(directory):
        run = newest(pathlib.Path(config.runs_dir) / parse_call(config.net).name)
        if run is not None and not run.finished and _flags_are(run, config):
            return run.directory.parent
    return directory


def _flags_are(run: Run, config: TrainConfig) -> bool:
    """Whether the run's flags are these; a folder whose flags cannot be read has others.

    The run has its plugins elsewhere; and two experiments that were given no name are one.
    """
    try:
        flags = run.flags()
    except UserError:
        return False
    ours, theirs = config.pipeline.plugins, flags.pipeline.plugins
    if plugins.names(ours) == plugins.names(theirs):
        pipeline = dataclasses.replace(flags.pipeline, plugins=ours)
        flags = dataclasses.replace(flags, pipeline=pipeline)
    if flags.experiment_is_default and config.experiment_is_default:
        flags = dataclasses.replace(flags, experiment=config.experiment)
    return flags == config
