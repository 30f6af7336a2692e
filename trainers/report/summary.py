"""The report's first lines: how many runs there are, and those to look at first."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence
from html import escape

from trainers.report.identity import data_set, identifier
from trainers.report.runs_table import began, duration, seconds_trained
from trainers.report.tables import epochs_text, percent
from trainers.run_folder.records import BROKEN, FAILED, RUNNING, RunRecord

# So many data sets have their best run at the top.
_MOST_SETS = 2
_MOST_RUNNING = 3


def counted(records: Sequence[RunRecord]) -> str:
    """How many runs there are, of how many experiments, and in which states."""
    experiments = len({record.experiment for record in records})
    counts = collections.Counter(record.state for record in records)
    states = ", ".join(f"{count} {state}" for state, count in counts.most_common())
    text = f"{_count(len(records), 'run')} of {_count(experiments, 'experiment')}"
    return f"{text}: {states}" if states else text


def tiles_html(records: Sequence[RunRecord]) -> str:
    """The best runs on the most used data sets, those at work, the newest, what went wrong."""
    tiles = [f"<li>{tile}</li>" for tile in _tiles(records)]
    return f'<ul class="tiles">{"".join(tiles)}</ul>' if tiles else ""


def _tiles(records: Sequence[RunRecord]) -> Iterator[str]:
    sets = collections.Counter(data_set(record) for record in records if record.accuracy)
    for name, _ in sets.most_common(_MOST_SETS):
        scored = [r for r in records if r.accuracy and data_set(r) == name]
        best = max(scored, key=lambda r: r.accuracy or (0.0, 0.0))
        where = f"Best on {name}" if name and len(sets) > 1 else "Best"
        yield _tile(where, percent(best.accuracy[0] if best.accuracy else None), best, "top-1")
    running = [record for record in records if record.state == RUNNING]
    for record in running[:_MOST_RUNNING]:
        done = epochs_text(record) if record.metrics else "starting"
        yield _tile("Running", done, record, f"epochs{_left(record)}" if record.metrics else "")
    if len(running) > _MOST_RUNNING:
        yield f"<small>Running</small><strong>{len(running)} runs in all</strong>"
    dated = [(time, record) for record in records if (time := began(record))]
    if dated:
        time, newest = max(dated, key=lambda pair: pair[0])
        yield _tile("Newest", f"{time:%Y-%m-%d %H:%M}", newest, newest.state)
    wrong = [record for record in records if record.state in (FAILED, BROKEN)]
    if wrong:
        text = wrong[0].faults[0] if wrong[0].faults else ""
        yield _tile("Failed or broken", _count(len(wrong), "run"), wrong[0], text)


def _left(record: RunRecord) -> str:
    """How long a running run will take, if it goes on as it did on the whole."""
    seconds = seconds_trained(record)
    if not (seconds and record.epochs and record.config) or record.config.train_steps:
        return ""
    left = record.config.train_epochs - record.epochs
    return f", about {duration(seconds * left / record.epochs)} left" if left > 0 else ""


def _tile(title: str, value: str, record: RunRecord, said: str) -> str:
    link = f'<a href="#{identifier(record)}">{escape(record.name)}</a>'
    return (
        f"<small>{escape(title)}</small><strong>{escape(value)}</strong>"
        f'<span class="tile-run">{link} {escape(said)}</span>'
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
