"""The report's table of runs: every run a row, everything that runs are chosen by a column.

The page shows, hides, sorts, groups and filters what stands here; without its scripts the table is
there all the same. Every text that comes from a run folder goes through `escape`.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from trainers.report import published
from trainers.report.identity import data_set, identifier
from trainers.report.tables import VALIDATED_ON, epochs_text, percent, published_top1, several_sets
from trainers.run_folder import checkpoints
from trainers.run_folder.files import Stretch
from trainers.run_folder.records import RUNNING, RunRecord

# What a column sorts by at the first click.
_UP, _DOWN = "ascending", "descending"

# The group of columns that flags are.
_FLAGS = "Flags that differ"

# So much of the notes stands in the table; the run's details have all.
_NOTE_CHARACTERS = 160


@dataclasses.dataclass(frozen=True)
class _Cell:
    """What one run has in a column: HTML, and what it is sorted by (empty: at the end)."""

    html: str
    value: str = ""


@dataclasses.dataclass(frozen=True)
class _Column:
    """A column: its title and group in the list of columns, and how its cells are."""

    title: str
    group: str
    cell: Callable[[RunRecord], _Cell]
    numeric: bool = False
    shown: bool = True
    code: bool = False


class RunsTable:
    """The table of these runs; `flags` are those of `records.differing_flags`."""

    def __init__(self, records: Sequence[RunRecord], flags: Mapping[str, object]):
        self._records = records
        columns = [*_columns(records), *map(_flag_column, flags)]
        self._cells = [[column.cell(record) for record in records] for column in columns]
        # What no run has is there to be chosen, and not shown at first.
        self._columns = [
            dataclasses.replace(column, shown=column.shown and any(cell.value for cell in cells))
            for column, cells in zip(columns, self._cells, strict=True)
        ]

    def html(self) -> str:
        """The table, or a line where there is no run."""
        if not self._records:
            return "<p>There is no run yet: train.py makes the first.</p>"
        numbered = list(enumerate(self._columns, start=1))
        heads = "".join(
            f'<th scope="col" data-column="{place}" data-first="{_DOWN if each.numeric else _UP}"'
            f"{_class('number' if each.numeric else '')}>"
            f'<button type="button">{each.title}</button></th>'
            for place, each in numbered
        )
        rows = "\n".join(
            _row(record, place, list(zip(self._columns, cells, strict=True)))
            for place, (record, cells) in enumerate(
                zip(self._records, zip(*self._cells, strict=True), strict=True)
            )
        )
        hidden = ",".join(f'[data-column="{place}"]' for place, each in numbered if not each.shown)
        return (
            f'<style id="hidden-columns">{hidden and hidden + "{display:none}"}</style>\n'
            '<div class="scroll rows" tabindex="0" role="region" aria-label="Table of runs">\n'
            f'<table id="table"><thead><tr><th scope="col" data-first="{_UP}">'
            f'<button type="button">run</button></th>{heads}</tr></thead>\n'
            f"<tbody>\n{rows}\n</tbody></table></div>"
        )

    def choices(self) -> str:
        """A checkbox for each column, in groups: which the table shows."""
        groups: dict[str, list[str]] = {}
        for place, each in enumerate(self._columns, start=1):
            groups.setdefault(each.group, []).append(
                f'<label><input type="checkbox" value="{place}"{" checked" if each.shown else ""}>'
                f" {each.title}</label>"
            )
        return "\n".join(
            f"<fieldset><legend>{title}</legend>{''.join(choices)}</fieldset>"
            for title, choices in groups.items()
        )


def began(record: RunRecord) -> datetime.datetime | None:
    """When its training began, with the zone of that machine; None where no history says so."""
    return _time(record.history[0].began) if record.history else None


def seconds_trained(record: RunRecord) -> float | None:
    """How long its processes have trained it, the one at work included; None where not known.

    Of a process that was killed nobody knows.
    """
    known = [each.seconds for each in record.history if each.seconds is not None]
    if record.state == RUNNING and record.history:
        known += _so_far(record.history[-1])
    total = sum(known)
    return total if known and math.isfinite(total) else None


def duration(seconds: float) -> str:
    """A time as people read it: `2 d 4 h`, `1 h 05 min`, `12 min`, `45 s`."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if seconds >= 60 else f"{seconds:.0f} s"


def _columns(records: Sequence[RunRecord]) -> list[_Column]:
    """All but the run's name and the flags."""
    results, origin = "Results", "Origin"
    columns = [
        _Column("top-1", results, lambda r: _percent(r.accuracy and r.accuracy[0]), numeric=True),
        _Column("state", results, _state),
        _Column("top-5", results, lambda r: _percent(r.accuracy and r.accuracy[1]), numeric=True),
        _Column("published", results, lambda r: _percent(published_top1(r)), numeric=True),
        _Column("epochs", results, _epochs, numeric=True),
        _Column("net", origin, lambda r: _text(r.net)),
        _Column("parameters", origin, _parameters, numeric=True),
        _Column("began", origin, _began, numeric=True),
        _Column("duration", origin, _duration, numeric=True),
        _Column("images/s", results, lambda r: _number(r.images_per_second, ".0f"), numeric=True),
        _Column("notes", origin, _notes),
        _Column("differs in", results, _differs),
        _Column("best epoch", results, _best_epoch, numeric=True, shown=False),
        _Column("loss", results, _loss, numeric=True, shown=False),
        _Column("data set", origin, lambda r: _text(data_set(r)), shown=False),
        _Column("machine", origin, lambda r: _text(_machine(r)), shown=False),
        _Column("commit", origin, lambda r: _text(_commit(r)), shown=False, code=True),
    ]
    if several_sets(records):
        columns.insert(-5, _Column(VALIDATED_ON, results, lambda r: _text(r.validated_on)))
    return columns


def _flag_column(name: str) -> _Column:
    return _Column(
        escape(name),
        "Flags that differ",
        lambda r: _text(r.flags.get(name, "")),
        shown=False,
        code=True,
    )


def _row(record: RunRecord, place: int, cells: Sequence[tuple[_Column, _Cell]]) -> str:
    name = escape(record.name)
    draw = (
        f'<button type="button" class="draw" aria-pressed="false" aria-label="Draw {name}">'
        '<span class="swatch"></span></button>'
        if record.metrics
        else '<span class="draw"></span>'
    )
    inner = "".join(_cell_html(number, *each) for number, each in enumerate(cells, start=1))
    return (
        f'<tr data-run="{place}"><th scope="row" class="run-name" data-value="{name}">{draw}'
        f'<a href="#{identifier(record)}">{name}</a></th>{inner}</tr>'
    )


def _cell_html(number: int, column: _Column, cell: _Cell) -> str:
    content = f"<code>{cell.html}</code>" if column.code and cell.html else cell.html or "-"
    if column.group == _FLAGS:
        css = "flag"
    else:
        css = "number" if column.numeric else column.title.replace(" ", "-") + "-cell"
    return (
        f'<td data-column="{number}" class="{css}" data-value="{escape(cell.value)}">{content}</td>'
    )


def _text(text: str) -> _Cell:
    return _Cell(escape(text), text)


def _number(value: float | None, form: str) -> _Cell:
    return _Cell("") if value is None else _Cell(format(value, form), repr(value))


def _percent(fraction: float | None) -> _Cell:
    return _Cell("") if fraction is None else _Cell(percent(fraction), repr(fraction))


def _epochs(record: RunRecord) -> _Cell:
    return _Cell(escape(epochs_text(record)), repr(record.epochs) if record.metrics else "")


def _parameters(record: RunRecord) -> _Cell:
    count = checkpoints.parameters(record.run.checkpoints)
    return _Cell("") if count is None else _Cell(f"{count:,}", str(count))


def _state(record: RunRecord) -> _Cell:
    more = len(record.faults) - 1
    said = record.faults[0] + (f" (and {more} more)" if more > 0 else "") if record.faults else ""
    faults = f'<span class="fault">{escape(said)}</span>' if said else ""
    return _Cell(f'<span class="state {record.state}">{record.state}</span>{faults}', record.state)


def _differs(record: RunRecord) -> _Cell:
    found = published.gates(record)
    kinds = found[0].kinds if found else []
    text = ", ".join(kinds)
    shown = text or ("nothing" if found else "")
    return _Cell(f'<span class="line">{shown}</span>' if shown else "", text)


def _began(record: RunRecord) -> _Cell:
    time = began(record)
    return _Cell(f"{time:%Y-%m-%d %H:%M}", repr(time.timestamp())) if time else _Cell("")


def _duration(record: RunRecord) -> _Cell:
    seconds = seconds_trained(record)
    return _Cell("") if seconds is None else _Cell(duration(seconds), repr(seconds))


def _notes(record: RunRecord) -> _Cell:
    lines = _said(notes_text(record).splitlines())
    text = " ".join(" ".join(lines).split()).removeprefix("Purpose: ")
    shown = text if len(text) <= _NOTE_CHARACTERS else text[: _NOTE_CHARACTERS - 1] + "…"
    return _Cell(f'<span class="line">{escape(shown)}</span>' if shown else "", text)


def notes_text(record: RunRecord) -> str:
    """The notes less their heading, which repeats the run's name; empty where they say nothing."""
    lines = record.notes.strip().splitlines()
    lines = lines[1:] if lines and lines[0].startswith("# ") else lines
    return "\n".join(lines).strip() if _said(lines) else ""


def _said(lines: Sequence[str]) -> list[str]:
    """The lines that are more than labels to be filled in."""
    return [line for line in lines if line.strip() and not line.rstrip().endswith(":")]


def _best_epoch(record: RunRecord) -> _Cell:
    return _number(record.best.epoch if record.best else None, "g")


def _loss(record: RunRecord) -> _Cell:
    return _number(record.best.loss if record.best else None, ".4f")


def _machine(record: RunRecord) -> str:
    gpus = record.environment.gpus if record.environment else ()
    host = record.history[-1].host if record.history else ""
    return ", ".join(filter(None, [host, *dict.fromkeys(gpus)]))


def _commit(record: RunRecord) -> str:
    return (record.environment.git_commit or "")[:12] if record.environment else ""


def _so_far(stretch: Stretch) -> list[float]:
    """How long ago a stretch has begun that has no end yet; nothing where it has."""
    start = None if stretch.ended else _time(stretch.began)
    return [(datetime.datetime.now(datetime.UTC) - start).total_seconds()] if start else []


def _time(text: str) -> datetime.datetime | None:
    """An ISO 8601 time with its zone; None where it is none."""
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else None


def _class(css: str) -> str:
    return f' class="{css}"' if css else ""
