"""Reads a run folder's files, whatever they hold, and says what is wrong with them."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Sequence
from typing import TypeVar

from base import typed_json
from base.commandline import flag_lines
from base.errors import UserError
from base.spec import parse_call
from data_prep import schema
from trainers.config import FLAGS_FILE, NET_DIR, TrainConfig, read_flag_file
from trainers.run_folder import checkpoints, files, plugins
from trainers.run_folder.files import Evaluation, Line
from trainers.run_folder.folder import CHECKPOINTS_DIR, Run
from trainers.run_folder.metrics import METRICS_FILE, parse_metrics

Content = TypeVar("Content")


def evaluation_file(name: str) -> str:
    """The file of an evaluation that `FolderReader.evaluations` has under this name."""
    return f"{name}.json" if name.startswith("ensemble_") else f"evaluation_{name}.json"


class FolderReader:
    """Reads a run folder's files and collects what is wrong with them."""

    def __init__(self, directory: pathlib.Path):
        self._directory = directory
        self.faults: list[str] = []

    def text(self, name: str, *, needed: bool = True) -> str | None:
        """A file's text; None where it cannot be read, with a fault if it is there or `needed`."""
        try:
            return (self._directory / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            self.faults += [f"{name} is missing"] if needed else []
        except UnicodeDecodeError:
            self.faults.append(f"{name} is not text")
        except OSError as error:
            self.faults.append(f"{name} cannot be read ({error.strerror})")
        return None

    def json_file(self, name: str, kind: type[Content], *, needed: bool = True) -> Content | None:
        """A JSON file's content; None where it cannot be used, with a fault as for `text`."""
        text = self.text(name, needed=needed)
        if text is None:
            return None
        try:
            return typed_json.read(text, kind, files.FORMAT)
        except typed_json.FileError as error:
            self.faults.append(f"{name} {error}")
            return None

    def flags(self) -> tuple[dict[str, str], TrainConfig | None]:
        """The flags as a flag file has them, and as the trainer reads them."""
        text = self.text(FLAGS_FILE)
        if text is None:
            return {}, None
        try:
            config = read_flag_file(self._directory / FLAGS_FILE)
            parse_call(config.net)
        except UserError as error:
            self.faults.append(f"{FLAGS_FILE} cannot be used: {error}")
            return _flag_values(text.splitlines()), None
        values = _flag_values(line for line, _ in flag_lines(config))
        # By their names: the copies lie in each run's own folder.
        values["plugins"] = ",".join(plugins.names(config.pipeline.plugins))
        return values, config

    def name_foreign_files(self) -> None:
        """Says what a folder without flags holds instead."""
        self.faults.clear()
        try:
            names = sorted(p.name for p in self._directory.iterdir() if not p.name.startswith("."))
        except OSError as error:
            self.faults.append(f"it cannot be read ({error.strerror})")
            return
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        held = f"holds {', '.join(names[:5])}{more}" if names else "is empty"
        self.faults.append(f"it has no {FLAGS_FILE} and {held}: no training was described in it")

    def metrics(self, *, whole: bool) -> list[Line]:
        """The lines that can be read; a last one that is cut off is what a kill leaves.

        Where the log must be `whole`, that is a fault too, and so is a missing log.
        """
        if not whole and not (self._directory / METRICS_FILE).exists():
            return []
        lines, damages = parse_metrics(self.text(METRICS_FILE) or "")
        self.faults += [
            f"{METRICS_FILE}, line {damage.number} {damage.reason}"
            for damage in damages
            if whole or not damage.cut_off
        ]
        return lines

    def evaluations(self) -> dict[str, Evaluation]:
        """What evaluate.py has left, by protocol and split; those of ensembles say so."""
        found = {
            path.stem.removeprefix("evaluation_"): self.json_file(path.name, Evaluation)
            for pattern in ("evaluation_*.json", "ensemble_*.json")
            for path in sorted(self._directory.glob(pattern))
        }
        return {name: value for name, value in found.items() if value is not None}

    def look_at_net(self) -> None:
        """Finds a missing copy of the net's source."""
        if not (self._directory / NET_DIR / "__init__.py").exists():
            self.faults.append(f"{NET_DIR}/__init__.py is missing: the copy of the net's source")

    def look_at_checkpoints(self, metrics: Sequence[Line]) -> None:
        """Finds checkpoints that must be there, by the run's metrics, and are not; damaged ones."""
        run = Run(self._directory)
        steps = checkpoints.by_step(run.checkpoints)
        # Each evaluation is followed by a checkpoint before anything else is logged.
        saved = any(line.split == schema.VALIDATION for line in metrics[:-1])
        if not steps and (run.finished or saved):
            self.faults.append(f"{CHECKPOINTS_DIR}/ holds no checkpoint")
            return
        expected = steps[-1:]
        best = run.checkpoints / checkpoints.BEST
        if run.finished or best.exists():
            expected.append(best)
        found = [checkpoints.fault(path) for path in expected]
        self.faults += [f"{CHECKPOINTS_DIR}/{fault}" for fault in found if fault]


def _flag_values(lines: Iterable[str]) -> dict[str, str]:
    """The values of the lines `--name=value`, by name."""
    pairs = (line[2:].partition("=") for line in lines if line.startswith("--"))
    return {name: value for name, _, value in pairs}
