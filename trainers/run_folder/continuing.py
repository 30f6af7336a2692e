"""Which run a training continues: the newest of its experiment, if it was interrupted."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from base import flag_files, typed_json
from base.commandline import flag_lines
from base.errors import UserError
from base.files import atomic
from base.plugins import FLAG as PLUGINS
from base.spec import parse_call, parse_chain
from data_prep import schema
from trainers.config import FLAGS_FILE, NOT_TRAINED, TrainConfig
from trainers.run_folder import files, plugins
from trainers.run_folder.files import Data, InitialWeights
from trainers.run_folder.folder import (
    DATA_FILE,
    INITIAL_WEIGHTS_FILE,
    TEACHER_FILE,
    Run,
    experiment_dir,
    newest,
    numbers,
)

if TYPE_CHECKING:  # it imports TensorFlow
    from pipelines.reading.dataset import Dataset

# Flags of where a run lies and what it is called, which its folder says; and other places.
_OF_THE_FOLDER = {"runs_dir", "experiment", "note", "resume"}
_PATHS = {"data_dir", "cache", "init_from", "teacher"}


def find_interrupted(config: TrainConfig) -> tuple[Run, contextlib.ExitStack] | None:
    """The experiment's newest run, if it was interrupted and trains the same.

    Where its flags differ, says in which, and how it would be continued.

    Returns the run and its lock, to be held while it is trained; None if there is no such run.
    """
    run = newest(_interrupted_dir(config))
    lock = run.lock() if run else None
    if run is None:
        return None
    if lock is None:
        print(f"a new run: another process trains {run.directory}", flush=True)
        return None
    differing = {} if run.finished else _trained_differently(run, config)
    if not run.finished and differing == {}:
        return run, lock
    lock.close()
    if differing:
        said = ", ".join(f"--{name} was {was!r}" for name, (was, _) in differing.items())
        print(
            f"a new run: {run.directory} was interrupted, and has other flags: {said}; with these, "
            f"or by runs.py resume {run.directory}, it is continued",
            flush=True,
        )
    return None


def claim(run: Run, *, longer: bool = False) -> tuple[Run, contextlib.ExitStack]:
    """This very run and its lock, to be held while its training is continued.

    Raises UserError where it is being trained, or is finished and not to be trained `longer`.
    """
    lock = run.lock()
    if lock is None:
        raise UserError(f"{run.directory} is running: another process trains it")
    if run.finished and not longer:
        lock.close()
        raise UserError(
            f"{run.directory} is finished: runs.py resume --train_epochs=N trains it further, and "
            f"train.py --flagfile={run.directory / FLAGS_FILE} again, in a run of its own"
        )
    return run, lock


def refuse_other_data(run: Run, dataset: Dataset) -> None:
    """Raises UserError where a run was begun on another data set than it is to go on with."""
    try:
        text = (run.directory / DATA_FILE).read_text(encoding="utf-8")
        before: Data = typed_json.read(text, Data, files.FORMAT)
    except (OSError, ValueError):
        return  # it does not say on which
    manifest = dataset.manifest.sha256 if dataset.manifest else None
    pairs: dict[str, tuple[object, object]] = {
        "manifest's hash": (before.manifest_sha256, manifest),
        "label order": (before.label_order, dataset.label_order),
    }
    for split in schema.SPLITS:
        now = dataset.num_records(split) if split in dataset.shards else None
        pairs[f"{split} records"] = (before.records.get(split), now)
    changed = [
        f"{name} was {str(was)[:12]} and is {str(now)[:12]}"
        for name, (was, now) in pairs.items()
        if was != now and was is not None
    ]
    if changed:
        raise UserError(
            f"{run.directory} was trained on another data set than {dataset.directory} is now "
            f"({', '.join(changed)}): name the former by --data_dir, or begin a new run with "
            "--noresume"
        )


def refuse_other_weights(run: Run, initial: InitialWeights) -> None:
    """Raises UserError where a run without a checkpoint has begun with other weights than these."""
    _refuse_others(run, INITIAL_WEIGHTS_FILE, initial, "has begun with")


def refuse_other_teacher(run: Run, weights: InitialWeights) -> None:
    """Raises UserError where a run was taught by other weights than these until now."""
    _refuse_others(run, TEACHER_FILE, weights, "was taught by")


def _refuse_others(run: Run, file: str, now: InitialWeights, did: str) -> None:
    try:
        text = (run.directory / file).read_text(encoding="utf-8")
        before: InitialWeights = typed_json.read(text, InitialWeights, files.FORMAT)
    except (OSError, ValueError):
        return  # it was not written yet
    if before.sha256 not in (None, now.sha256):
        raise UserError(
            f"{run.directory} {did} other weights than {now.source} has now: begin a new run with "
            "--noresume"
        )


def changes(run: Run, config: TrainConfig) -> dict[str, tuple[str, str]]:
    """The flags that mean something else than the run's: by name, what they were and are.

    Where a run lies and what it is called do not count, nor where its plugins are. Raises UserError
    where the run's flags cannot be read.
    """
    flags = run.flags()
    was, now = (
        {_name(line): _value(line) for line, _ in flag_lines(each)} for each in (flags, config)
    )
    if plugins.names(config.pipeline.plugins) == plugins.names(flags.pipeline.plugins):
        now[PLUGINS] = was[PLUGINS]
    return {
        name: (was.get(name, ""), value)
        for name, value in now.items()
        if name not in _OF_THE_FOLDER and not _alike(name, was.get(name, ""), value)
    }


def keep_changes(run: Run, changed: Mapping[str, tuple[str, str]], step: int) -> None:
    """Adds to the run's flags.cfg what is otherwise from a step on; a later line wins."""
    if not changed:
        return
    path = run.directory / FLAGS_FILE
    added = [f"# from step {step} on:", *(f"--{name}={now}" for name, (_, now) in changed.items())]
    text = path.read_text(encoding="utf-8").rstrip("\n")
    with atomic(path, "w") as file:
        file.write("\n".join([text, *added, ""]))


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
        if run and (run.finished or run.running() or _trained_differently(run, config) != {}):
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
        same = run and not run.finished and _trained_differently(run, config) == {}
        if run and same and run.flags().experiment_is_default:
            return run.directory.parent
    return directory


def _trained_differently(run: Run, config: TrainConfig) -> dict[str, tuple[str, str]] | None:
    """The flags by which a run would train otherwise; None where its flags cannot be read."""
    try:
        found = changes(run, config)
    except UserError:
        return None
    return {name: values for name, values in found.items() if name not in NOT_TRAINED}


def _alike(name: str, a: str, b: str) -> bool:
    """Whether two values of a flag mean the same, however they are spelled."""
    if name in _PATHS:
        return os.path.abspath(a) == os.path.abspath(b)
    try:
        return a == b or parse_chain(a) == parse_chain(b)
    except UserError:
        return False


def _name(line: str) -> str:
    return line[2:].partition("=")[0]


def _value(line: str) -> str:
    return line.partition("=")[2]
