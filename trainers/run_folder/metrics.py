"""metrics.jsonl, the run's numbers, and curves.png, their picture."""

import json
import pathlib
from collections.abc import Iterable
from typing import Any

from base.commandline import UserError

METRICS_FILE = "metrics.jsonl"
CURVES_FILE = "curves.png"


class MetricsLog:
    """Appends lines to a run's metrics.jsonl, each flushed as it is written."""

    def __init__(self, run_dir: pathlib.Path, resumed_step: int):
        """Opens the log; lines after `resumed_step` were written by a run that lost them."""
        self._path = run_dir / METRICS_FILE
        kept = [line for line in _complete_lines(self._path) if line["step"] <= resumed_step]
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text("".join(_text(line) for line in kept))
        temporary.rename(self._path)
        self._file = self._path.open("a")

    def write(self, **values: Any) -> None:
        """Adds one line."""
        self._file.write(_text(values))
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read_metrics(run_dir: pathlib.Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl; a last line that was cut off is left out.

    Raises UserError where the file is missing, or a line before the last is damaged.
    """
    path = run_dir / METRICS_FILE
    if not path.exists():
        raise UserError(f"{path} is missing: the run has not started")
    return list(_complete_lines(path))


def draw_curves(run_dir: pathlib.Path, title: str) -> pathlib.Path:
    """Draws loss and top-1 accuracy over epochs, train and validation; returns the PNG's path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = read_metrics(run_dir)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    loss_axes, top1_axes = figure.subplots(1, 2)
    for split, style in (("train", "-"), ("validation", "o-")):
        points = [line for line in lines if line["split"] == split]
        epochs = [line["epoch"] for line in points]
        loss_axes.plot(epochs, [line["loss"] for line in points], style, label=split, ms=3)
        top1_axes.plot(epochs, [100 * line["top1"] for line in points], style, label=split, ms=3)
    loss_axes.set(xlabel="epoch", ylabel="loss (nats)")
    top1_axes.set(xlabel="epoch", ylabel="top-1 accuracy (%)", ylim=(0, 100))
    for axes in (loss_axes, top1_axes):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    path = run_dir / CURVES_FILE
    temporary = path.with_name(path.name + ".tmp")
    figure.savefig(temporary, format="png", dpi=120)
    temporary.rename(path)
    return path


def _complete_lines(path: pathlib.Path) -> Iterable[dict[str, Any]]:
    """Parses a log, less a last line that was cut off. Raises UserError for another such line."""
    if not path.exists():
        return
    texts = path.read_text().splitlines()
    for number, text in enumerate(texts, 1):
        try:
            line = json.loads(text)
        except ValueError:
            if number < len(texts):
                raise UserError(
                    f"{path}, line {number}, is damaged: mend or remove that line"
                ) from None
            return
        yield line


def _text(line: dict[str, Any]) -> str:
    return json.dumps(line) + "\n"
