"""The report's curves: which runs are drawn, in which colour, and the points of each."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from data_prep import schema
from trainers.report.tables import published_top1
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
    ranked = sorted(with_metrics, key=lambda r: r.best["top1"] if r.best else -1.0, reverse=True)
    visible = {id(record) for record in ranked[:MAX_VISIBLE]}
    runs = [
        {
            "name": record.name,
            "net": record.net,
            "color": color(place),
            "visible": id(record) in visible,
            "published": published_top1(record),
            "validation": _columns(record.lines(schema.VALIDATION)),
            "train": _columns(_thinned(record.lines(schema.TRAIN))),
        }
        for place, record in enumerate(records)
        if record.metrics
    ]
    return json.dumps(runs, allow_nan=False).replace("<", "\\u003c")


def _columns(lines: Iterable[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    names = {"epoch": "epoch", "top1": "top1", "loss": "loss", "rate": "learning_rate"}
    lines = list(lines)
    return {
        short: [_finite(line.get(name)) for line in lines]
        for short, name in names.items()
        if any(name in line for line in lines)
    }


def _thinned(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines, or the means of as many neighbours as it takes."""
    size = math.ceil(len(lines) / MAX_POINTS)
    if size <= 1:
        return lines
    return [_mean(lines[start : start + size]) for start in range(0, len(lines), size)]


def _mean(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = ("epoch", "top1", "loss", "learning_rate")
    finite = {
        name: [v for line in lines if (v := _finite(line.get(name))) is not None] for name in names
    }
    return {name: statistics.fmean(values) for name, values in finite.items() if values}


def _finite(value: Any) -> float | None:
    """A number rounded to what a picture shows; None for what is none, or not finite."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(f"{value:.5g}")
