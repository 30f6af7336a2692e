"""metrics.jsonl, the run's numbers, and curves.png, their picture."""

import dataclasses
import math
import pathlib

from base.errors import UserError
from base.files import atomic
from base.typed_json import FileError, NotJsonError
from data_prep import schema
from trainers.run_folder import files
from trainers.run_folder.files import Line

METRICS_FILE = "metrics.jsonl"
CURVES_FILE = "curves.png"


@dataclasses.dataclass(frozen=True)
class Damage:
    """A line that cannot be read.

    Attributes:
        number: of the line, from 1.
        reason: words that follow the line's name.
        cut_off: whether it is the last, and has no end: what a kill leaves, and no fault.
    """

    number: int
    reason: str
    cut_off: bool


class MetricsLog:
    """Appends lines to a run's metrics.jsonl, each flushed as it is written."""

    def __init__(self, run_dir: pathlib.Path, resumed_step: int):
        """Opens the log; lines after `resumed_step` were written by a run that lost them.

        Raises UserError where a line that is to be kept is damaged.
        """
        path = run_dir / METRICS_FILE
        kept = []
        if path.exists():
            text = path.read_text(encoding="utf-8")
            # As they were written, to the character; lines that cannot be read are at the end.
            texts = filter(None, text.split("\n"))
            for line, written in zip(_whole_lines(path, text), texts, strict=False):
                if line.step <= resumed_step:
                    has_nan = "NaN" in written or "Infinity" in written
                    kept.append(files.line_text(line) if has_nan else written + "\n")
        with atomic(path, "w") as file:
            file.write("".join(kept))
        self._file = path.open("a", encoding="utf-8")

    def write(self, line: Line) -> None:
        """Adds one line."""
        try:
            self._file.write(files.line_text(line))
            self._file.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._file.name) from None

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def parse_metrics(text: str) -> tuple[list[Line], list[Damage]]:
    """The lines of a log that can be read, and those that cannot."""
    at_once = files.read_lines(text)
    if at_once is not None:
        return at_once, []
    lines: list[Line] = []
    damages = []
    texts = text.split("\n")
    for number, written in enumerate(texts, start=1):
        if not written:
            continue
        try:
            lines.append(files.read_line(written))
        except FileError as error:
            reason = "is not whole" if isinstance(error, NotJsonError) else str(error)
            damages.append(Damage(number, reason, cut_off=number == len(texts)))
    return lines, damages


def read_metrics(run_dir: pathlib.Path) -> list[Line]:
    """The lines of a run's metrics.jsonl; a last line that was cut off is left out.

    Raises UserError where the file is missing, or another line is damaged.
    """
    path = run_dir / METRICS_FILE
    if not path.exists():
        raise UserError(f"{path} is missing: the run has not started")
    return _whole_lines(path, path.read_text(encoding="utf-8"))


def draw_curves(run_dir: pathlib.Path, title: str) -> pathlib.Path:
    """Draws loss and top-1 accuracy over epochs, train and validation; returns the PNG's path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = read_metrics(run_dir)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    loss_axes, top1_axes = figure.subplots(1, 2)
    for split, style in ((schema.TRAIN, "-"), (schema.VALIDATION, "o-")):
        points = [line for line in lines if line.split == split]
        epochs = [line.epoch for line in points]
        losses = [math.nan if line.loss is None else line.loss for line in points]
        loss_axes.plot(epochs, losses, style, label=split, ms=3)
        top1_axes.plot(epochs, [100 * line.top1 for line in points], style, label=split, ms=3)
    loss_axes.set(xlabel="epoch", ylabel="loss (nats)")
    top1_axes.set(xlabel="epoch", ylabel="top-1 accuracy (%)", ylim=(0, 100))
    for axes in (loss_axes, top1_axes):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    path = run_dir / CURVES_FILE
    with atomic(path) as file:
        figure.savefig(file, format="png", dpi=120)
    return path


def _whole_lines(path: pathlib.Path, text: str) -> list[Line]:
    lines, damages = parse_metrics(text)
    for damage in damages:
        if not damage.cut_off:
            raise UserError(
                f"{path}, line {damage.number}, is damaged (it {damage.reason}): mend or remove "
                "that line"
            )
    return lines
