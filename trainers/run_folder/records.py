"""Run folders as they are found: finished, interrupted, running or broken, and what they say.

Reads files only: no TensorFlow, and nothing is run or changed. Whatever a folder may hold, reading
it raises nothing: what is wrong with it is named in its record's `faults`.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from base.commandline import UserError
from data_prep import schema
from trainers.config import TrainConfig
from trainers.run_config import CENTER_CROP
from trainers.run_folder.folder import (
    ENVIRONMENT_FILE,
    FLAGS_FILE,
    NOTES_FILE,
    RESULT_FILE,
    Run,
)
from trainers.run_folder.metrics import METRICS_FILE
from trainers.run_folder.reading import FolderReader

RUNNING = "running"
FINISHED = "finished"
INTERRUPTED = "interrupted"
BROKEN = "broken"

# Folders of experiments may stand in folders: --experiment=vgg/wide.
_MAX_DEPTH = 3


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """What one run folder says.

    Attributes:
        run: the folder.
        name: what people call it: `<experiment>/<number>`.
        state: RUNNING, FINISHED, INTERRUPTED or BROKEN.
        faults: what is wrong with it, one line each; a broken run has at least one.
        flags: each flag's name and its effective value, as a flag file has it.
        config: the flags as the trainer reads them, or None where it cannot.
        metrics: the lines of metrics.jsonl that can be read.
        environment, data, result: those files' contents, empty where they are missing.
        evaluations: by name, such as `center_crop_validation`, what evaluate.py found.
        notes: the text of notes.md.
    """

    run: Run
    name: str
    state: str
    faults: tuple[str, ...]
    flags: dict[str, str]
    config: TrainConfig | None
    metrics: list[dict[str, Any]]
    environment: dict[str, Any]
    data: dict[str, Any]
    result: dict[str, Any]
    evaluations: dict[str, dict[str, Any]]
    notes: str

    @property
    def directory(self) -> pathlib.Path:
        """The run's folder."""
        return self.run.directory

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return self.name.rpartition("/")[0]

    @property
    def net(self) -> str:
        """The net as its flag has it, with options; empty where that is not known."""
        return self.flags.get("net", "")

    @functools.cached_property
    def epochs(self) -> float:
        """Epochs trained so far."""
        return max((line["epoch"] for line in self.metrics), default=0.0)

    @functools.cached_property
    def best(self) -> dict[str, Any] | None:
        """The validation line that best.npz is of, the last with the highest top-1; or None."""
        lines = self.lines(schema.VALIDATION)
        return max(lines, key=lambda line: (line["top1"], line["step"]), default=None)

    @functools.cached_property
    def accuracy(self) -> tuple[float, float] | None:
        """Top-1 and top-5, fractions, of the best validation while training.

        Of a run that was not trained here, of its evaluation by center crops; None before it.
        """
        found = self.best or self.evaluations.get(f"{CENTER_CROP}_{schema.VALIDATION}")
        return (found["top1"], found["top5"]) if found else None

    @property
    def imported(self) -> str:
        """The file that its weights are from, by import_weights.py; empty if it was trained."""
        origin = self.result.get("imported")
        return str(origin.get("file", "a file")) if isinstance(origin, dict) else ""

    @functools.cached_property
    def images_per_second(self) -> float | None:
        """The median over the lines of training; None before the first."""
        speeds = [line.get("images_per_second") for line in self.lines(schema.TRAIN)]
        known = [speed for speed in speeds if isinstance(speed, int | float)]
        return statistics.median(known) if known else None

    def lines(self, split: str) -> list[dict[str, Any]]:
        """The metrics lines of one split, in the order of steps."""
        return [line for line in self.metrics if line["split"] == split]


def find_records(runs_dir: pathlib.Path) -> list[RunRecord]:
    """Every run below `runs_dir`, by experiment and number, and as broken what is no run.

    Raises UserError where `runs_dir` is no directory.
    """
    if not runs_dir.is_dir():
        raise UserError(f"--runs_dir={runs_dir} is not a directory: train.py makes it")
    return [read_record(directory, runs_dir) for directory in _run_folders(runs_dir, _MAX_DEPTH)]


def find_record(name: str, runs_dir: pathlib.Path) -> RunRecord:
    """The run that `name` is: its folder, or `<experiment>/<number>` in `runs_dir`.

    An experiment's name, or its folder, is its newest run. Raises UserError where it is neither.
    """
    for directory in (runs_dir / name, pathlib.Path(name)):
        if not directory.is_dir():
            continue
        numbers = [int(path.name) for path in _directories(directory) if path.name.isdecimal()]
        if numbers and not (directory / FLAGS_FILE).exists():
            return read_record(directory / str(max(numbers)), runs_dir)
        if _looks_like_run(directory):
            return read_record(directory, runs_dir)
    known = [record.name for record in find_records(runs_dir)] if runs_dir.is_dir() else []
    there = f": there are {', '.join(known)}" if known else ""
    raise UserError(f"{name!r} is neither a run folder nor a run in --runs_dir={runs_dir}{there}")


def read_record(directory: pathlib.Path, runs_dir: pathlib.Path | None = None) -> RunRecord:
    """Reads one run folder; its name is its place in `runs_dir`, if it is there."""
    run = Run(directory)
    reader = FolderReader(directory)
    running = run.running()
    described = (directory / FLAGS_FILE).exists()
    flags, config = reader.flags() if described else ({}, None)
    record = RunRecord(
        run=run,
        name=_name(directory, runs_dir),
        state="",
        faults=(),
        flags=flags,
        config=config,
        metrics=reader.metrics(whole=run.finished and not running),
        environment=reader.json_file(ENVIRONMENT_FILE) if described else {},
        data=reader.data() if described else {},
        result=reader.json_file(RESULT_FILE) if run.finished else {},
        evaluations=reader.evaluations(),
        notes=(reader.text(NOTES_FILE) or "") if described else "",
    )
    if described:
        reader.look_at_net()
        if not directory.name.isdecimal():
            reader.faults.append("its name is not a number: rename it to the next free one")
        if not running:
            reader.look_at_checkpoints(record.metrics)
    elif not running:
        reader.name_foreign_files()
    if running:
        state = RUNNING
    elif reader.faults:
        state = BROKEN
    else:
        state = FINISHED if run.finished else INTERRUPTED
    return dataclasses.replace(record, state=state, faults=tuple(reader.faults))


def _name(directory: pathlib.Path, runs_dir: pathlib.Path | None) -> str:
    whole = directory.resolve()
    if runs_dir is not None and whole.is_relative_to(runs_dir.resolve()):
        inside = whole.relative_to(runs_dir.resolve())
        if len(inside.parts) > 1 or not whole.name.isdecimal():
            return inside.as_posix()
    return f"{whole.parent.name}/{whole.name}"


def _run_folders(parent: pathlib.Path, depth: int) -> Iterator[pathlib.Path]:
    """The run folders below `parent`, and the folders that neither are runs nor hold any."""
    for path in _directories(parent):
        below = [] if depth == 1 or _looks_like_run(path) else list(_run_folders(path, depth - 1))
        if any(map(_looks_like_run, below)):
            yield from below
        else:
            yield path


def _looks_like_run(directory: pathlib.Path) -> bool:
    """Whether it has a run's name, or what only runs have."""
    files = (FLAGS_FILE, METRICS_FILE)
    return directory.name.isdecimal() or any((directory / name).exists() for name in files)


def _directories(parent: pathlib.Path) -> Sequence[pathlib.Path]:
    """The visible directories in `parent`, numbers in their order."""
    try:
        found = [p for p in parent.iterdir() if p.is_dir() and not p.name.startswith(".")]
    except OSError:
        return []
    return sorted(
        found, key=lambda p: (p.name.isdecimal(), int(p.name) if p.name.isdecimal() else p)
    )
