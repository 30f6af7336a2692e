"""The run folder `<runs_dir>/<experiment>/<number>/`: what a run was, and what came of it.

    flags.cfg         every effective flag; `train.py --flagfile=` on it runs it again
    net/              a copy of the source files that define the net; every later command builds
                      the net from this copy, so that a run outlives changes in nets/
    notes.md          purpose, expectation, outcome: for people
    environment.json  versions, devices, git commit
    data.json         the data set: name, config, label-order hash, manifest hash, records
    metrics.jsonl     one JSON object a line, in the order of steps
    curves.png        loss and accuracy over the steps
    checkpoints/      the last ones, and best.npz
    result.json       the last line of each split; written when the run is finished
    evaluation_*.json what evaluate.py found, one file per protocol

A folder whose lock is held belongs to a running run. Several processes may start runs at once:
making the numbered folder is what reserves its number.
"""

import dataclasses
import fcntl
import hashlib
import importlib.util
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
from types import ModuleType
from typing import IO, Any

import keras
import numpy as np
import tensorflow as tf

import nets
from data_prep.commandline import UserError, flag_lines
from pipelines.reader import Source
from pipelines.spec import parse_call
from trainers.config import TrainConfig, read_flag_file

FLAGS_FILE = "flags.cfg"
RESULT_FILE = "result.json"
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
        return self.directory / "checkpoints"

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return (self.directory / RESULT_FILE).exists()

    def config(self) -> TrainConfig:
        """The run's flags. Raises UserError where they cannot be read."""
        return read_flag_file(self.directory / FLAGS_FILE)

    def load_nets(self) -> ModuleType:
        """The run's own copy of the package `nets`, under a name of its own.

        Raises UserError where the copy is missing.
        """
        source = self.directory / "net" / "__init__.py"
        if not source.exists():
            raise UserError(f"{source} is missing: the run's copy of its net's source")
        name = "nets_of_run_" + hashlib.sha256(bytes(source.resolve())).hexdigest()[:12]
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(
                name, source, submodule_search_locations=[str(source.parent)]
            )
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
        return sys.modules[name]

    def lock(self) -> IO[str] | None:
        """Takes the run's lock until the returned file is closed; None where another has it."""
        file = (self.directory / ".lock").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def write_json(self, name: str, value: Any) -> None:
        """Writes one of the folder's JSON files, whole or not at all."""
        write_atomically(self.directory / name, json.dumps(value, indent=1, sort_keys=True) + "\n")


def find_interrupted(config: TrainConfig) -> tuple[Run, IO[str]] | None:
    """The experiment's newest run, if it was interrupted and had the same flags.

    Returns the run and its lock, to be held while it is trained; None if there is no such run.
    """
    numbers = _numbers(_experiment_dir(config))
    if not numbers:
        return None
    run = Run(_experiment_dir(config) / str(numbers[-1]))
    lock = run.lock()
    if lock is None:
        return None  # it is being trained
    described = (run.directory / FLAGS_FILE).exists()
    if described and not run.finished and run.config() == config:
        return run, lock
    lock.close()
    return None


def new_run(config: TrainConfig, source: Source) -> tuple[Run, IO[str]]:
    """Makes a run folder with the next number, and describes in it what is known already.

    Returns the run and its lock, to be held while it is trained.
    """
    parent = _experiment_dir(config)
    numbers = _numbers(parent)
    number = numbers[-1] + 1 if numbers else 1
    parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            (parent / str(number)).mkdir()
            break
        except FileExistsError:
            number += 1
    run = Run(parent / str(number))
    lock = run.lock()
    assert lock is not None  # the folder is new
    _describe(run, config, source, number)
    return run, lock


def find_run(directory: str) -> Run:
    """The run that `directory` is, or the newest run of the experiment that it is.

    Raises UserError where it is neither.
    """
    path = pathlib.Path(directory)
    if (path / FLAGS_FILE).exists():
        return Run(path)
    numbers = _numbers(path) if path.is_dir() else []
    if numbers:
        return find_run(str(path / str(numbers[-1])))
    raise UserError(f"--run={directory} is not a run folder (no {FLAGS_FILE} in it)")


def write_atomically(path: pathlib.Path, text: str) -> None:
    """Writes a text file under a temporary name, flushes it to the disk, and renames it."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


def _experiment_dir(config: TrainConfig) -> pathlib.Path:
    return pathlib.Path(config.runs_dir) / (config.experiment or parse_call(config.net).name)


def _numbers(parent: pathlib.Path) -> list[int]:
    if not parent.is_dir():
        return []
    return sorted(int(path.name) for path in parent.iterdir() if path.name.isdigit())


def _describe(run: Run, config: TrainConfig, source: Source, number: int) -> None:
    """Writes everything that is known before the first step; flags.cfg last, as it makes a run."""
    copy = run.directory / "net"
    copy.mkdir()
    for file in nets.source_files(parse_call(config.net).name):
        shutil.copy(file, copy)
    experiment = run.directory.parent.name
    notes = NOTES.format(experiment=experiment, number=number, note=config.note)
    write_atomically(run.directory / "notes.md", notes)
    run.write_json("environment.json", _environment())
    run.write_json("data.json", _data(source))
    lines = []
    for line, differs in flag_lines(config):
        if differs:
            lines.append("# not the default:")
        lines.append(line)
    header = f"# {experiment}, run {number}: every effective flag.\n"
    write_atomically(run.directory / FLAGS_FILE, header + "\n".join(lines) + "\n")


def _data(source: Source) -> dict[str, Any]:
    """What the run was trained on, in so far as the data set says."""
    data: dict[str, Any] = {
        "label_order": source.label_order,
        "num_classes": source.num_classes,
        "records": {split: source.num_records(split) for split in source.shards},
    }
    if source.manifest is not None:
        text = source.manifest.to_json()
        data["name"] = source.manifest.name
        data["config"] = source.manifest.settings.config_name()
        data["generated"] = source.manifest.generated
        data["manifest_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    return data


def _environment() -> dict[str, Any]:
    """Versions, devices and the commit; no user name, host name or path."""
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "packages": {module.__name__: module.__version__ for module in (tf, keras, np)},
        "gpus": [
            tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in tf.config.list_physical_devices("GPU")
        ],
        "git_commit": _git("rev-parse", "HEAD"),
        "git_uncommitted": _git("diff", "HEAD"),
    }


def _git(*arguments: str) -> str | None:
    """What git answers about the workspace; None outside a checkout, or without git."""
    root = pathlib.Path(__file__).resolve().parent.parent
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()
