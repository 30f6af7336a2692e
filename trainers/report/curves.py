"""The report's curves: which runs are drawn, in which colour, and the points of each."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence

from trainers.report.tables import published_top1
from trainers.run_folder.files import Line
from trainers.run_folder.records import RunRecord

# A curve of training has at most so many points: each is the mean of its neighbours.
MAX_POINTS = 400

# So many runs are drawn at first, the best; the others by a click.
MAX_VISIBLE = 8

# The custom properties --c0 to --c9 of page.css.
_COLORS = 10


def color(place: int) -> str:
    """The CSS colour of the run at this place of the report."""
    return f"var(--c{place % _COLORS})"


def curves_json(records: Sequence[RunRecord]) -> str:
    """What page.js draws: a JSON list, one object for each run that has metrics.

    Each has its name, net, color, whether it is visible at first, the published top-1 accuracy (a
    fraction, or null), and for each split lists of `epoch`, `top1` (fractions), `loss` (nats) and
    in training `rate`. A value that is not finite is null. Safe within a script element.
    """
    with_metrics = [record for record in records if record.metrics]
    ranked = sorted(with_metrics, key=lambda r: r.best.top1 if r.best else -1.0, reverse=True)
    visible = {id(record) for record in ranked[:MAX_VISIBLE]}
    runs = [
        {
            "name": record.name,
            "net": record.net,
            "color": color(place),
            "visible": id(record) in visible,
            "published": published_top1(record),
            "validation": _columns(record.validation),
            "train": _columns(record.train),
        }
        for place, record in enumerate(records)
        if record.metrics
    ]
    return json.dumps(runs, allow_nan=False).replace("<", "\\u003c")


# What a curve is drawn of: page.js's name, and a line's.
_NAMES = {"epoch": "epoch", "top1": "top1", "loss": "loss", "rate": "learning_rate"}

_Point = dict[str, float | None]


def _columns(lines: Sequence[Line]) -> dict[str, list[float | None]]:
    """The points' values by name; without a name that no line knows."""
    points = [
        {short: _finite(getattr(line, name, None)) for short, name in _NAMES.items()}
        for line in lines
    ]
    points = _thinned(points)
    columns = {short: [point[short] for point in points] for short in _NAMES}
    return {
        short: column
        for short, column in columns.items()
        if short != "rate" or any(value is not None for value in column)
    }


def _thinned(points: list[_Point]) -> list[_Point]:
    """The points, or the means of as many neighbours as it takes."""
    size = math.ceil(len(points) / MAX_POINTS)
    if size <= 1:
        return points
    return [_mean(points[start : start + size]) for start in range(0, len(points), size)]


def _mean(points: Sequence[_Point]) -> _Point:
    known = {name: [v for p in points if (v := p[name]) is not None] for name in _NAMES}
    return {
        name: _finite(statistics.fmean(values)) if values else None
        for name, values in known.items()
    }


def _finite(value: float | None) -> float | None:
    """A number rounded to what a picture shows; None for what is none, or not finite."""
    return float(f"{value:.5g}") if value is not None and math.isfinite(value) else None
