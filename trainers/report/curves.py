"""The report's runs as its scripts have them: what they are grouped by, and their curves."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from typing import Any

from trainers.report.identity import data_set, identifier
from trainers.report.runs_table import notes_text
from trainers.report.tables import published_top1
from trainers.run_folder.files import Line
from trainers.run_folder.records import RunRecord

# All curves of training share so many points, and each has so many at least and at most: a point
# is the mean of its neighbours.
POINTS = 24_000
MIN_POINTS, MAX_POINTS = 100, 400

# So many runs are drawn at first, the best; the others by a click.
MAX_VISIBLE = 8

# The custom properties --c0 to --c9 of page.css.
COLORS = 10

# What a curve is drawn of: the page's name, and a line's.
_NAMES = {
    "epoch": "epoch",
    "step": "step",
    "top1": "top1",
    "top5": "top5",
    "loss": "loss",
    "rate": "learning_rate",
    "norm": "gradient_norm",
    "speed": "images_per_second",
    "wait": "input_wait",
}

_Point = dict[str, float | None]


def runs_json(records: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """What the page's scripts know of each run.

    Its name, id, experiment, net, data set, state, notes, place among the colours (the best runs
    have different ones), whether it is drawn at first, the published top-1 accuracy (a fraction, or
    null), and for each split lists of `epoch`, `step`, `time` (seconds of training so far), `top1`
    and `top5` (fractions), `loss` (nats) and in training `rate`, `norm`, `speed` (images/s) and
    `wait` (a fraction). A value that is not known or not finite is null; a list without one is
    left out.
    """
    ranked = sorted(
        range(len(records)), key=lambda at: -1.0 if (b := records[at].best) is None else b.top1
    )
    rank = {at: place for place, at in enumerate(reversed(ranked))}
    points = min(MAX_POINTS, max(MIN_POINTS, POINTS // max(1, len(records))))
    return [
        {
            "name": record.name,
            "id": identifier(record),
            "experiment": record.experiment,
            "net": record.net,
            "dataset": data_set(record),
            "state": record.state,
            "notes": notes_text(record),
            "top1": _finite(record.accuracy[0] if record.accuracy else None),
            "color": rank[at] % COLORS,
            "drawn": bool(record.metrics) and rank[at] < MAX_VISIBLE,
            "published": published_top1(record),
            "train": _columns(record, record.train, points),
            "validation": _columns(record, record.validation, points),
        }
        for at, record in enumerate(records)
    ]


def embedded(value: Any) -> str:
    """A value as JSON that is safe within a script element."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _columns(record: RunRecord, lines: Sequence[Line], most: int) -> dict[str, list[float | None]]:
    """The points' values by name; without a name that no line knows."""
    points = [
        {short: _finite(getattr(line, name, None)) for short, name in _NAMES.items()}
        for line in lines
    ]
    for point, seconds in zip(points, _seconds(record, lines), strict=True):
        point["time"] = _finite(seconds)
    points = _thinned(points, most)
    names = [*_NAMES, "time"]
    columns = {name: [_rounded(name, point[name]) for point in points] for name in names}
    return {
        name: column
        for name, column in columns.items()
        if any(value is not None for value in column)
    }


def _seconds(record: RunRecord, lines: Sequence[Line]) -> list[float | None]:
    """How long the training has taken up to each line, by the speeds that its lines state.

    Evaluations and checkpoints take no part in these. A line without a speed went on as the median.
    """
    batch = record.config.pipeline.train_batch_size if record.config else 0
    usual = record.images_per_second
    if not (batch and usual):
        return [None] * len(lines)
    steps, times = [0], [0.0]
    for trained in record.train:
        speed = trained.images_per_second or usual
        times.append(times[-1] + max(0, trained.step - steps[-1]) * batch / speed)
        steps.append(trained.step)
    found: list[float | None] = []
    place = 0
    for line in lines:
        while place < len(steps) - 1 and steps[place + 1] <= line.step:
            place += 1
        found.append(times[place] + max(0, line.step - steps[place]) * batch / usual)
    return found


def _thinned(points: list[_Point], most: int) -> list[_Point]:
    """The points, or the means of as many neighbours as it takes."""
    size = math.ceil(len(points) / most)
    if size <= 1:
        return points
    return [_mean(points[start : start + size]) for start in range(0, len(points), size)]


def _mean(points: Sequence[_Point]) -> _Point:
    known = {name: [v for p in points if (v := p[name]) is not None] for name in points[0]}
    return {name: statistics.fmean(values) if values else None for name, values in known.items()}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _rounded(name: str, value: float | None) -> float | None:
    """A number rounded to what a picture shows; steps are whole."""
    if value is None or not math.isfinite(value):
        return None
    return round(value) if name == "step" else float(f"{value:.5g}")
