"""Reads a run folder's files, whatever they hold, and says what is wrong with them."""

from __future__ import annotations

import inspect
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from base.commandline import UserError, flag_lines
from base.spec import parse_call
from data_prep import schema
from trainers.config import TrainConfig, read_flag_file
from trainers.run_folder import checkpoints
from trainers.run_folder.folder import CHECKPOINTS_DIR, DATA_FILE, FLAGS_FILE, NET_DIR, Run
from trainers.run_folder.metrics import METRICS_FILE

# What the readers of these files rely on; see `_misshapen`.
NUMBER = (int, float)
NOTHING: Mapping[str, Any] = {}


def _numbers_by_name(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(v, NUMBER) for v in value.values())


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _confusions(value: Any) -> bool:
    def fits(row: Any) -> bool:
        kinds: tuple[Any, ...] = (str, str, NUMBER)
        return (
            isinstance(row, list)
            and len(row) == 3
            and all(isinstance(cell, kind) for cell, kind in zip(row, kinds, strict=True))
        )

    return isinstance(value, list) and all(fits(row) for row in value)


_METRICS = {"split": str} | dict.fromkeys(("step", "epoch", "loss", "top1", "top5"), NUMBER)
_DATA = {
    "num_classes": int,
    "label_order": str,
    "records": _numbers_by_name,
    "wnids?": _names,
    "words?": _names,
    "image_size?": dict,
}
_EVALUATION = {
    "protocol": str,
    "top1": NUMBER,
    "top5": NUMBER,
    "images": NUMBER,
    "per_class?": _numbers_by_name,
    "most_confused?": _confusions,
}


class FolderReader:
    """Reads a run folder's files and collects what is wrong with them."""

    def __init__(self, directory: pathlib.Path):
        self._directory = directory
        self.faults: list[str] = []

    def text(self, name: str) -> str | None:
        """A file's text; None, with a fault, where it cannot be read."""
        try:
            return (self._directory / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            self.faults.append(f"{name} is missing")
        except UnicodeDecodeError:
            self.faults.append(f"{name} is not text")
        except OSError as error:
            self.faults.append(f"{name} cannot be read ({error.strerror})")
        return None

    def json_file(self, name: str, shape: Mapping[str, Any] = NOTHING) -> dict[str, Any]:
        """A JSON object whose values have the types of `shape`; else empty, with a fault."""
        text = self.text(name)
        if text is None:
            return {}
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            self.faults.append(f"{name} is not JSON ({error})")
            return {}
        wrong = _misshapen(value, shape)
        if wrong is not None:
            self.faults.append(f"{name} {wrong}")
            return {}
        return value

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
        return _flag_values(line for line, _ in flag_lines(config)), config

    def data(self) -> dict[str, Any]:
        """What data.json says; empty, with a fault, where it cannot be used."""
        return self.json_file(DATA_FILE, _DATA)

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

    def metrics(self, *, whole: bool) -> list[dict[str, Any]]:
        """The lines that can be read; a last one that is cut off is what a kill leaves.

        Where the log must be `whole`, that is a fault too, and so is a missing log.
        """
        if not whole and not (self._directory / METRICS_FILE).exists():
            return []
        texts = (self.text(METRICS_FILE) or "").split("\n")
        lines = _sound_lines(texts)
        if lines is not None:
            return lines
        lines = []
        for number, text in enumerate(texts, start=1):
            if not text:
                continue
            line, wrong = _metrics_line(text)
            if line is not None:
                lines.append(line)
            elif number < len(texts) or whole:
                self.faults.append(f"{METRICS_FILE}, line {number} {wrong}")
        return lines

    def evaluations(self) -> dict[str, dict[str, Any]]:
        """What evaluate.py has left, by protocol and split; those of ensembles say so."""
        found = {
            path.stem.removeprefix("evaluation_"): self.json_file(path.name, _EVALUATION)
            for pattern in ("evaluation_*.json", "ensemble_*.json")
            for path in sorted(self._directory.glob(pattern))
        }
        return {name: value for name, value in found.items() if value}

    def look_at_net(self) -> None:
        """Finds a missing copy of the net's source."""
        if not (self._directory / NET_DIR / "__init__.py").exists():
            self.faults.append(f"{NET_DIR}/__init__.py is missing: the copy of the net's source")

    def look_at_checkpoints(self, metrics: Sequence[Mapping[str, Any]]) -> None:
        """Finds checkpoints that must be there, by the run's metrics, and are not; damaged ones."""
        run = Run(self._directory)
        steps = checkpoints.by_step(run.checkpoints)
        # Each evaluation is followed by a checkpoint before anything else is logged.
        saved = any(line["split"] == schema.VALIDATION for line in metrics[:-1])
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


def _sound_lines(texts: Sequence[str]) -> list[dict[str, Any]] | None:
    """All lines of metrics.jsonl at once, or None where any is not as it should be.

    A training of 90 epochs on ILSVRC leaves 18,000 lines; so they are read three times as fast.
    """
    texts = [text for text in texts if text]
    try:
        lines = json.loads(f"[{','.join(texts)}]")
    except (ValueError, RecursionError):
        return None
    sound = len(lines) == len(texts) and all(
        type(line) is dict
        and type(line.get("split")) is str
        and type(line.get("step")) in NUMBER
        and type(line.get("epoch")) in NUMBER
        and type(line.get("loss")) in NUMBER
        and type(line.get("top1")) in NUMBER
        and type(line.get("top5")) in NUMBER
        for line in lines
    )
    return lines if sound else None


def _metrics_line(text: str) -> tuple[dict[str, Any] | None, str | None]:
    """A line of metrics.jsonl, or what is wrong with it."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None, "is not whole"
    wrong = _misshapen(line, _METRICS)
    return (line, None) if wrong is None else (None, wrong)


def _misshapen(value: Any, shape: Mapping[str, Any]) -> str | None:
    """In which way a JSON value is not an object with values of these types, or None.

    A key that ends in `?` may be missing. A type is what isinstance takes, or a function.
    """
    if not isinstance(value, dict):
        return "is not a JSON object"
    for key, kind in shape.items():
        name = key.removesuffix("?")
        if name not in value:
            if name == key:
                return f"has no {name}"
            continue
        fits = kind(value[name]) if inspect.isfunction(kind) else isinstance(value[name], kind)
        if not fits:
            return f"has a {name} that cannot be used"
    return None
