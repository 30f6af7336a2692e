"""Run folders as they are found: finished, interrupted, running or broken, and what they say.

Reads files only: no TensorFlow, and nothing is run or changed. Whatever a folder may hold, reading
it raises nothing: what is wrong with it is named in its record's `faults`.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import statistics
from collections.abc import Sequence

from base.errors import UserError
from data_prep import schema
from trainers.config import FLAGS_FILE, NET_DIR, TrainConfig
from trainers.run_folder import checkpoints, history, predictions
from trainers.run_folder.files import (
    CENTER_CROP,
    Data,
    Environment,
    Evaluation,
    History,
    InitialWeights,
    Line,
    Result,
    Stretch,
    TrainLine,
    ValidationLine,
)
from trainers.run_folder.finding import locate, name_of, run_folders
from trainers.run_folder.folder import (
    DATA_FILE,
    ENVIRONMENT_FILE,
    HISTORY_FILE,
    INITIAL_WEIGHTS_FILE,
    NOTES_FILE,
    RESULT_FILE,
    TEACHER_FILE,
    Run,
)
from trainers.run_folder.metrics import METRICS_FILE
from trainers.run_folder.predictions import Predictions
from trainers.run_folder.reading import FolderReader, evaluation_file

RUNNING = "running"
FINISHED = "finished"
INTERRUPTED = "interrupted"
FAILED = "failed"
ARCHIVED = "archived"
BROKEN = "broken"

# Flags that say where a run went and why, not what it did.
_UNINTERESTING = ("experiment", "runs_dir", "note", "resume")


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """What one run folder says.

    Attributes:
        run: the folder.
        name: what people call it: `<experiment>/<number>`.
        state: RUNNING, FINISHED, INTERRUPTED, FAILED (it ended by an error), ARCHIVED (kept without
            checkpoints) or BROKEN.
        faults: what is wrong with it, one line each, if it is broken; why it failed, if it did.
        flags: each flag's name and its effective value, as a flag file has it.
        config: the flags as the trainer reads them, or None where it cannot.
        metrics: the lines of metrics.jsonl that can be read.
        history: who has trained it, when, and how that ended.
        environment, data, initial, teacher, result: those files' contents, None where they cannot
            be read.
        evaluations: by name, such as `center_crop_validation`, what evaluate.py found.
        notes: the text of notes.md.
    """

    run: Run
    name: str
    state: str
    faults: tuple[str, ...]
    flags: dict[str, str]
    config: TrainConfig | None
    metrics: list[Line]
    history: tuple[Stretch, ...]
    environment: Environment | None
    data: Data | None
    initial: InitialWeights | None
    teacher: InitialWeights | None
    result: Result | None
    evaluations: dict[str, Evaluation]
    notes: str

    @functools.cached_property
    def saved_predictions(self) -> dict[str, pathlib.Path]:
        """Where evaluations have saved what they said of each image, by name, newest first."""
        found = {
            name: predictions.beside(self.directory / evaluation_file(name))
            for name in self.evaluations
        }
        found = {name: path for name, path in found.items() if path.exists()}
        return dict(sorted(found.items(), key=lambda item: -item[1].stat().st_mtime))

    def predictions(self, evaluation: str = "") -> Predictions:
        """What an evaluation of that name said of each image; without a name, the newest.

        Raises UserError where it has saved nothing, or the file cannot be used.
        """
        found = self.saved_predictions
        if not found:
            raise UserError(
                f"no evaluation of {self.directory} has saved its predictions: run evaluate.py "
                f"--run={self.directory} --save_predictions"
            )
        if evaluation and evaluation not in found:
            raise UserError(
                f"--evaluation={evaluation} has saved no predictions in {self.directory}: "
                f"{', '.join(found)} has"
            )
        return predictions.load(found[evaluation or next(iter(found))])

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
        return max((line.epoch for line in self.metrics), default=0.0)

    @functools.cached_property
    def best(self) -> ValidationLine | None:
        """The validation line that best.npz is of: what evaluate.py takes, too; or None.

        In an archive without checkpoints, the last line with the highest top-1.
        """
        state = checkpoints.best_state(self.run.checkpoints)
        lines = [line for line in self.validation if state and line.step == state.step]
        if not lines and not checkpoints.by_step(self.run.checkpoints):
            lines = self.validation
        return max(lines, key=lambda line: (line.top1, line.step), default=None)

    @functools.cached_property
    def accuracy(self) -> tuple[float, float] | None:
        """Top-1 and top-5, fractions, of the best validation while training.

        Of a run that was not trained here, of its evaluation by center crops; None before it.
        """
        found = self.best or self.evaluations.get(f"{CENTER_CROP}_{schema.VALIDATION}")
        return (found.top1, found.top5) if found else None

    @property
    def validated_on(self) -> str:
        """Its validation images, in words that tell sets of them apart; `-` where not known."""
        if self.data is None:
            return "-"
        images = self.data.records.get(schema.VALIDATION, 0)
        return f"{images:,} images, {(self.data.manifest_sha256 or self.data.label_order)[:8]}"

    @property
    def imported(self) -> str:
        """The file that its weights are from, by import_weights.py; empty if it was trained."""
        return self.result.imported.file if self.result and self.result.imported else ""

    @functools.cached_property
    def images_per_second(self) -> float | None:
        """The median over the lines of training; None before the first."""
        speeds = [line.images_per_second for line in self.train]
        known = [speed for speed in speeds if speed is not None]
        return statistics.median(known) if known else None

    @functools.cached_property
    def train(self) -> list[TrainLine]:
        """The metrics lines of training, in the order of steps."""
        return [line for line in self.metrics if isinstance(line, TrainLine)]

    @functools.cached_property
    def validation(self) -> list[ValidationLine]:
        """The metrics lines of validation, in the order of steps."""
        return [line for line in self.metrics if isinstance(line, ValidationLine)]


def find_records(runs_dir: pathlib.Path) -> list[RunRecord]:
    """Every run below `runs_dir`, by experiment and number, and as broken what is no run.

    Raises UserError where `runs_dir` is no directory.
    """
    if not runs_dir.is_dir():
        raise UserError(f"--runs_dir={runs_dir} is not a directory: train.py makes it")
    return [read_record(directory, runs_dir) for directory in run_folders(runs_dir)]


def find_record(name: str, runs_dir: pathlib.Path) -> RunRecord:
    """The run that `name` means, whatever its state; see `finding.locate`."""
    return read_record(locate(name, runs_dir), runs_dir)


def read_record(directory: pathlib.Path, runs_dir: pathlib.Path | None = None) -> RunRecord:
    """Reads one run folder; its name is its place in `runs_dir`, if it is there."""
    run = Run(directory)
    reader = FolderReader(directory)
    running, archived = run.running(), _is_archived(run)
    described = (directory / FLAGS_FILE).exists()
    whole = described and not archived
    past = reader.json_file(HISTORY_FILE, History, needed=False)
    flags, config = reader.flags() if described else ({}, None)
    record = RunRecord(
        run=run,
        name=name_of(directory, runs_dir),
        state="",
        faults=(),
        flags=flags,
        config=config,
        metrics=reader.metrics(whole=run.finished and not running),
        history=past.stretches if past else (),
        environment=reader.json_file(ENVIRONMENT_FILE, Environment, needed=whole),
        data=reader.json_file(DATA_FILE, Data, needed=whole),
        initial=reader.json_file(INITIAL_WEIGHTS_FILE, InitialWeights, needed=False),
        teacher=reader.json_file(TEACHER_FILE, InitialWeights, needed=False),
        result=reader.json_file(RESULT_FILE, Result) if run.finished else None,
        evaluations=reader.evaluations(),
        notes=reader.text(NOTES_FILE, needed=whole) or "",
    )
    if whole:
        reader.look_at_net()
        if not directory.name.isdecimal():
            reader.faults.append("its name is not a number: rename it to the next free one")
        if not running:
            reader.look_at_checkpoints(record.metrics)
    elif not (described or running):
        reader.name_foreign_files()
    failed = [each.reason or "" for each in record.history[-1:] if each.outcome == history.FAILED]
    if running:
        state = RUNNING
    elif reader.faults:
        state = BROKEN
    elif archived:
        state = ARCHIVED
    elif run.finished:
        state = FINISHED
    else:
        state = FAILED if failed else INTERRUPTED
    faults = failed if state == FAILED else reader.faults
    return dataclasses.replace(record, state=state, faults=tuple(faults))


def _is_archived(run: Run) -> bool:
    """Whether a folder keeps what came of a run, and no checkpoints to go on with.

    A run that was killed before its first checkpoint has its net's source, and no result.
    """
    net = run.directory / NET_DIR
    known = all((run.directory / name).exists() for name in (FLAGS_FILE, METRICS_FILE))
    return known and not run.checkpoints.exists() and (run.finished or not net.exists())


def differing_flags(records: Sequence[RunRecord]) -> dict[str, list[str | None]]:
    """Each flag in which runs differ: its value in each run, None where that is not known."""
    described = [record for record in records if record.flags]
    names = sorted({name for record in described for name in record.flags} - {*_UNINTERESTING})
    return {
        name: [record.flags.get(name) for record in records]
        for name in names
        if len({record.flags.get(name) for record in described}) > 1
    }
