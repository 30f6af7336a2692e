"""metrics.jsonl, the run's numbers, and curves.png, their picture."""

import dataclasses
import math
import pathlib
from collections.abc import Sequence
from typing import Any

from base.errors import UserError
from base.files import atomic
from base.typed_json import FileError, NotJsonError
from data_prep import schema
from trainers.run_folder import files
from trainers.run_folder.files import Line, TrainLine

METRICS_FILE = "metrics.jsonl"
CURVES_FILE = "curves.png"
# What is so many times as large as this share of a run's losses is a spike, which flattens its
# curve: no loss that falls from that of guessing does so. Of few losses nobody knows.
SPIKE, USUAL_SHARE, FEW_LOSSES = 3.0, 0.9, 5


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
    """Appends lines to a run's metrics.jsonl, each flushed as it is written.

    Attributes:
        kept: the lines that were there when it was opened, up to the resumed step.
    """

    def __init__(self, run_dir: pathlib.Path, resumed_step: int):
        """Opens the log; lines after `resumed_step` were written by a run that lost them.

        Raises UserError where a line that is to be kept is damaged.
        """
        path = run_dir / METRICS_FILE
        self.kept: list[Line] = []
        kept = []
        if path.exists():
            text = path.read_text(encoding="utf-8")
            # As they were written, to the character; lines that cannot be read are at the end.
            texts = filter(None, text.split("\n"))
            for line, written in zip(_whole_lines(path, text), texts, strict=False):
                if line.step <= resumed_step:
                    has_nan = "NaN" in written or "Infinity" in written
                    kept.append(files.line_text(line) if has_nan else written + "\n")
                    self.kept.append(line)
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
    """Draws loss, top-1 accuracy and learning rate over epochs; returns the PNG's path.

    A line marks the best evaluation, of equal ones the last, as the best checkpoint is.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = read_metrics(run_dir)
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    loss_axes, top1_axes, rate_axes = figure.subplots(1, 3, width_ratios=(3, 3, 2))
    for split, style in ((schema.TRAIN, "-"), (schema.VALIDATION, "o-")):
        points = [line for line in lines if line.split == split]
        epochs = [line.epoch for line in points]
        losses = [math.nan if line.loss is None else line.loss for line in points]
        loss_axes.plot(epochs, losses, style, label=split, ms=3)
        top1_axes.plot(epochs, [100 * line.top1 for line in points], style, label=split, ms=3)
    loss_axes.set(xlabel="epoch", ylabel="loss (nats)")
    _leave_spikes_out(loss_axes, [line.loss for line in lines if line.loss is not None])
    top1_axes.set(xlabel="epoch", ylabel="top-1 accuracy (%)", ylim=(0, 100))
    rates = [(line.epoch, line.learning_rate) for line in lines if isinstance(line, TrainLine)]
    rates = [(epoch, math.nan if rate is None else rate) for epoch, rate in rates]
    rate_axes.plot(*zip(*rates, strict=True) if rates else ((), ()), color="C2")
    rate_axes.set(xlabel="epoch", ylabel="learning rate", ylim=(0, None))
    evaluated = [line for line in lines if line.split == schema.VALIDATION]
    best = max(evaluated, key=lambda line: (line.top1, line.step), default=None)
    for axes in (loss_axes, top1_axes, rate_axes):
        axes.grid(alpha=0.3)
        if best is not None:
            said = f"best: {100 * best.top1:.1f} % at epoch {best.epoch:.4g}"
            axes.axvline(best.epoch, ls="--", lw=1, color="0.4", label=said)
    for axes in (loss_axes, top1_axes):
        axes.legend()
    figure.suptitle(title)
    path = run_dir / CURVES_FILE
    with atomic(path) as file:
        figure.savefig(file, format="png", dpi=120)
    return path


def _leave_spikes_out(axes: Any, losses: Sequence[float]) -> None:
    """Ends the axis of losses below the few that would flatten all others, and says so."""
    if len(losses) < FEW_LOSSES:
        return
    usual = sorted(losses)[int(USUAL_SHARE * (len(losses) - 1))]
    kept = [loss for loss in losses if loss <= SPIKE * usual]
    spikes = len(losses) - len(kept)
    if spikes:
        low, high = min(kept), max(kept)
        margin = 0.05 * (high - low) or 0.05 * high
        axes.set_ylim(low - margin, high + margin)
        axes.set_title(
            f"not shown: {spikes} of {len(losses)} losses, up to {max(losses):.3g}",
            fontsize="small",
        )


def _whole_lines(path: pathlib.Path, text: str) -> list[Line]:
    lines, damages = parse_metrics(text)
    for damage in damages:
        if not damage.cut_off:
            raise UserError(
                f"{path}, line {damage.number}, is damaged (it {damage.reason}): mend or remove "
                "that line"
            )
    return lines
