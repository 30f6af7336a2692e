"""The run folder `<runs_dir>/<experiment>/<number>/`: what a run was, and what came of it.

    flags.cfg         every effective flag; `train.py --flagfile=` on it runs it again
    net/              a copy of the source files that define the net; every later command builds
                      the net from this copy, so that a run outlives changes in nets/
    plugins/          copies of --plugins, likewise
    notes.md          purpose, expectation, outcome: for people
    environment.json  versions, devices, git commit and what was not committed
    data.json         the data set: name, config, label order and its hash, manifest hash, records,
                      channel mean and std; the size of the images that the net is given
    initial.json      the weights that it began with (--init_from): source, hash, what was taken
    teacher.json      the weights that teach it (--teacher): source, hash
    statistics.npz    the data set's statistics, which the device chains of later commands need
    metrics.jsonl     one JSON object a line, in the order of steps
    loggers.json      the run in Weights & Biases and MLflow: its id there, what was sent
    curves.png        loss, accuracy and learning rate over the epochs
    checkpoints/      the last ones, and best.npz
    history.json      who has trained it, when, and how that ended; of a failure the reason
    result.json       the last line of each split; written when the run is finished
    evaluation_*.json what evaluate.py found, one file per protocol, split and data set
    ensemble_*.json   likewise, for this run and others together
    *.predictions.npz beside it, what it said of each image (evaluate.py --save_predictions)
    figures/          what insight/figures.py has drawn of it, PNG files; the report shows them
    contact_sheet.png where somebody has drawn one into it with preview.py: the report shows it

`trainers/run_folder/files.py` has the type of each JSON file. A folder whose lock is held belongs
to a running run. Several processes may start runs at once: making the numbered folder is what
reserves its number.

This module imports no TensorFlow, so that commands which only read run folders answer at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.util
import pathlib
import shutil
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

import nets
from base import flag_files, lock, typed_json
from base.commandline import flag_lines
from base.errors import UserError
from base.files import atomic
from base.spec import parse_call
from data_prep import schema
from trainers.config import FLAGS_FILE, NET_DIR, TrainConfig, read_flag_file
from trainers.run_folder import files, plugins, provenance
from trainers.run_folder.metrics import METRICS_FILE

if TYPE_CHECKING:
    from pipelines.input_pipeline import InputPipeline

RESULT_FILE = "result.json"
HISTORY_FILE = "history.json"
NOTES_FILE = "notes.md"
ENVIRONMENT_FILE = "environment.json"
DATA_FILE = "data.json"
INITIAL_WEIGHTS_FILE = "initial.json"
TEACHER_FILE = "teacher.json"
CHECKPOINTS_DIR = "checkpoints"
CONTACT_SHEET_FILE = "contact_sheet.png"
FIGURES_DIR = "figures"
LOCK_FILE = ".lock"

NOTES = """# {experiment}, run {number}

Purpose: {note}

Expectation:

Outcome:
"""


@dataclasses.dataclass(frozen=True)
class Run:
    """One run folder. `directory` is `<runs_dir>/<experiment>/<number>`."""

    directory: pathlib.Path

    @property
    def checkpoints(self) -> pathlib.Path:
        """Where the run's checkpoints are."""
        return self.directory / CHECKPOINTS_DIR

    @property
    def number(self) -> int:
        """Its number in its experiment."""
        return int(self.directory.name)

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return (self.directory / RESULT_FILE).exists()

    @property
    def begun(self) -> bool:
        """Whether it was trained at all."""
        return any((self.directory / name).exists() for name in (HISTORY_FILE, CHECKPOINTS_DIR))

    def flags(self) -> TrainConfig:
        """The run's flags, and nothing else. Raises UserError where they cannot be read.

        A relative --data_dir that is not here is found from where the run was begun: the folder in
        which its --runs_dir is.
        """
        config = read_flag_file(self.directory / FLAGS_FILE)
        data_dir = pathlib.Path(config.pipeline.data_dir)
        place = pathlib.Path(config.runs_dir, config.experiment, self.directory.name).parts
        whole = self.directory.resolve().parts
        if data_dir.exists() or whole[-len(place) :] != place:
            return config
        found = pathlib.Path(*whole[: -len(place)], data_dir)
        if not found.exists():
            return config
        pipeline = dataclasses.replace(config.pipeline, data_dir=str(found))
        return dataclasses.replace(config, pipeline=pipeline)

    def config(self) -> TrainConfig:
        """The run's flags, with its plugins loaded, so that what the flags name exists.

        Raises UserError where they cannot be read or loaded.
        """
        config = self.flags()
        plugins.load(config.pipeline.plugins)
        return config

    def load_nets(self) -> ModuleType:
        """The run's own copy of the package `nets`, under a name of its own, with its plugins.

        Raises UserError where the copy is missing.
        """
        source = self.directory / NET_DIR / "__init__.py"
        if not source.exists():
            raise UserError(f"{source} is missing: the run's copy of its net's source")
        source = source.resolve()  # Python would keep a relative one's finder for another folder
        name = "nets_of_run_" + hashlib.sha256(bytes(source)).hexdigest()[:12]
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(
                name, source, submodule_search_locations=[str(source.parent)]
            )
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
        plugins.load(self.flags().pipeline.plugins, sys.modules[name])
        return sys.modules[name]

    def lock(self) -> contextlib.ExitStack | None:
        """Takes the run's lock until what is returned is closed; None where another has it."""
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(lock.sole(self.directory / LOCK_FILE))
            except lock.HeldError:
                return None
            return stack.pop_all()

    def running(self) -> bool:
        """Whether another process has the run's lock. Changes nothing in the folder."""
        return lock.is_held(self.directory / LOCK_FILE)

    def remove(self) -> None:
        """Removes the folder, and its experiment's where that holds nothing else."""
        shutil.rmtree(self.directory, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.directory.parent.rmdir()

    def write_json(self, name: str, content: msgspec.Struct) -> None:
        """Writes one of the folder's JSON files, whole or not at all."""
        with atomic(self.directory / name, "w") as file:
            file.write(typed_json.write(content, files.FORMAT))


def new_run(config: TrainConfig, pipeline: InputPipeline) -> tuple[Run, contextlib.ExitStack]:
    """Makes a run folder with the next number, and describes in it what is known already.

    Returns the run and its lock, to be held while it is trained.

    Raises:
        UserError: a flag's value cannot be kept in flags.cfg, or no folder can be made.
    """
    _refuse_unwritable(config)
    parent = experiment_dir(config)
    number = max(numbers(parent), default=0) + 1
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot make {parent}: {error.strerror}: take another --runs_dir"
        ) from None
    while True:
        try:
            (parent / str(number)).mkdir()
            break
        except FileExistsError:
            number += 1
    run = Run(parent / str(number))
    held = run.lock()
    assert held is not None  # the folder is new
    try:
        _describe(run, config, pipeline, number)
    except BaseException as error:
        run.remove()
        held.close()
        if isinstance(error, OSError):
            where = f"{error.filename or run.directory}: {error.strerror}"
            raise UserError(f"cannot write {where}: take another --runs_dir") from None
        raise
    return run, held


def experiment_dir(config: TrainConfig) -> pathlib.Path:
    """Where the runs of a configuration's experiment are."""
    return pathlib.Path(config.runs_dir) / (config.experiment or parse_call(config.net).name)


def newest(experiment: pathlib.Path) -> Run | None:
    """The run with the highest number in an experiment's folder; None where there is none."""
    found = numbers(experiment)
    return Run(experiment / str(found[-1])) if found else None


def _refuse_unwritable(config: TrainConfig) -> None:
    """Refuses values that a flag file would give back otherwise, as each is a line of its own."""
    for line, _ in flag_lines(config):
        is_text = not any("\ud800" <= character <= "\udfff" for character in line)
        is_line = len(line.splitlines()) == 1 and line == line.strip()
        if not (is_line and is_text) or flag_files.has_comment_behind(line):
            raise UserError(
                f"{line.partition('=')[0]}: the value must be one line of text that does not end "
                "in a space or hold what looks like a comment, as flags.cfg keeps it so"
            )


def numbers(parent: pathlib.Path) -> list[int]:
    """The numbers of the runs in an experiment's folder, sorted; experiments in it are none."""
    if not parent.is_dir():
        return []
    folders = (path for path in parent.iterdir() if path.name.isdecimal())
    return sorted(int(path.name) for path in folders if not holds_runs(path))


def is_marked(directory: pathlib.Path) -> bool:
    """Whether a folder has what only runs have."""
    return any((directory / name).exists() for name in (FLAGS_FILE, METRICS_FILE))


def holds_runs(directory: pathlib.Path) -> bool:
    """Whether a folder with a number for its name is an experiment's, by what is in it."""
    try:
        return not is_marked(directory) and any(map(is_marked, directory.iterdir()))
    except OSError:
        return False


def _describe(run: Run, config: TrainConfig, pipeline: InputPipeline, number: int) -> None:
    """Writes everything that is known before the first step; flags.cfg last, as it makes a run."""
    copy = run.directory / NET_DIR
    copy.mkdir()
    for file in nets.source_files(parse_call(config.net).name):
        shutil.copy(file, copy)
    plugins.copy(config.pipeline.plugins, run.directory)
    experiment = run.directory.parent.name
    notes = NOTES.format(experiment=experiment, number=number, note=config.note)
    with atomic(run.directory / NOTES_FILE, "w") as file:
        file.write(notes)
    run.write_json(ENVIRONMENT_FILE, provenance.describe_environment())
    run.write_json(DATA_FILE, provenance.describe_data(pipeline))
    if (statistics := pipeline.dataset.statistics) is not None:
        arrays: dict[str, Any] = statistics.to_arrays()
        with atomic(run.directory / schema.STATISTICS_FILE) as file:
            np.savez_compressed(file, **arrays)
    lines = []
    for line, differs in flag_lines(config):
        if differs:
            lines.append("# not the default:")
        lines.append(line)
    header = f"# {experiment}, run {number}: every effective flag.\n"
    with atomic(run.directory / FLAGS_FILE, "w") as file:
        file.write(header + "\n".join(lines) + "\n")
