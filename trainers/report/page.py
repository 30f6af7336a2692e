"""The report: one HTML file about all runs, which needs no server, no network and no other file.

The page's looks and behaviour are in page.html, page.css and page.js beside this module; here its
tables are written. Every text that comes from a run folder goes through `escape`.
"""

from __future__ import annotations

import collections
import datetime
import pathlib
import string
from collections.abc import Sequence
from html import escape

from base.errors import UserError
from base.files import atomic
from trainers.report import published
from trainers.report.curves import color, curves_json
from trainers.report.details import details_html, identifier
from trainers.report.tables import VALIDATED_ON, epochs_text, percent, published_top1, several_sets
from trainers.run_folder.records import RunRecord

_PARTS = pathlib.Path(__file__).parent

# Flags that say where a run went and why, not what it did.
_UNINTERESTING = ("experiment", "runs_dir", "note", "resume")


def write(path: pathlib.Path, records: Sequence[RunRecord]) -> None:
    """Writes the report about these runs, whole or not at all.

    Raises UserError where the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path, "w") as file:
            file.write(page(records))
    except OSError as error:
        raise UserError(f"--output={path} cannot be written: {error.strerror}") from None


def page(records: Sequence[RunRecord]) -> str:
    """The report about these runs, as the text of an HTML file."""
    experiments = len({record.experiment for record in records})
    counts = collections.Counter(record.state for record in records)
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    template = string.Template((_PARTS / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title="ILSVRC runs",
        summary=f"{_count(len(records), 'run')} of {_count(experiments, 'experiment')}"
        + (f": {states}" if states else "")
        + f". Written on {datetime.date.today()}.",
        runs=_runs_table(records),
        flags=_flags_table(records),
        details="\n".join(map(details_html, records)) or "<p>There is no run yet.</p>",
        data=curves_json(records),
        style=(_PARTS / "page.css").read_text(encoding="utf-8"),
        script=(_PARTS / "page.js").read_text(encoding="utf-8"),
    )


# Header, whether it is a number, and the order of the first click.
_COLUMNS = (
    ("run", False, "ascending"),
    ("net", False, "ascending"),
    ("epochs", True, "descending"),
    ("top-1", True, "descending"),
    ("top-5", True, "descending"),
    ("published", True, "descending"),
    ("differs in", False, "ascending"),
    ("images/s", True, "descending"),
    ("state", False, "ascending"),
)


def _runs_table(records: Sequence[RunRecord]) -> str:
    if not records:
        return "<p>There is no run yet: train.py makes the first.</p>"
    sets = several_sets(records)
    columns = [*_COLUMNS, *([(VALIDATED_ON, False, "ascending")] if sets else [])]
    heads = "".join(
        f'<th scope="col" data-first="{first}"{_class("number" if number else "")}>'
        f'<button type="button">{name}</button></th>'
        for name, number, first in columns
    )
    rows = "\n".join(_run_row(record, place, sets) for place, record in enumerate(records))
    return f"<table><thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>"


def _run_row(record: RunRecord, place: int, sets: bool) -> str:
    top1, top5 = record.accuracy or (None, None)
    published_error = published_top1(record)
    gates, speed = published.gates(record), record.images_per_second
    chips = "".join(f'<span class="chip">{kind}</span>' for kind in gates[0].kinds) if gates else ""
    faults = "".join(f'<span class="fault">{escape(fault)}</span>' for fault in record.faults)
    swatch = (
        f'<span class="swatch" style="--color:{color(place)}"></span>' if record.metrics else ""
    )
    name = (
        f'<th scope="row" class="run-name" data-value="{escape(record.name)}">'
        f'{swatch}<a href="#{identifier(record)}">{escape(record.name)}</a></th>'
    )
    cells = [
        _cell("net", escape(record.net), record.net, "net-cell"),
        _number("epochs", epochs_text(record), record.epochs if record.metrics else None),
        _number("top-1", percent(top1), top1),
        _number("top-5", percent(top5), top5),
        _number("published", percent(published_error), published_error),
        _cell("differs in", chips or ("nothing" if gates else ""), _kinds(gates), "differs-cell"),
        _number("images/s", "-" if speed is None else f"{speed:.0f}", speed),
        _cell(
            "state",
            f'<span class="state {record.state}">{record.state}</span>{faults}',
            record.state,
            "state-cell",
        ),
    ]
    if sets:
        cells.append(_cell(VALIDATED_ON, escape(record.validated_on), record.validated_on))
    return f"<tr>{name}{''.join(cells)}</tr>"


def _kinds(gates: Sequence[published.Gate]) -> str:
    return ", ".join(gates[0].kinds) if gates else ""


def _cell(label: str, content: str, value: str, css: str = "") -> str:
    return (
        f'<td{_class(css)} data-label="{label}" data-value="{escape(value)}">{content or "-"}</td>'
    )


def _number(label: str, text: str, value: float | None) -> str:
    return _cell(label, escape(text), "" if value is None else repr(value), "number")


def _class(css: str) -> str:
    return f' class="{css}"' if css else ""


def _flags_table(records: Sequence[RunRecord]) -> str:
    """The flags in which runs differ; what most runs have is set back."""
    described = [record for record in records if record.flags]
    names = sorted({name for record in described for name in record.flags} - {*_UNINTERESTING})
    rows = []
    for name in names:
        values = [record.flags.get(name) for record in described]
        if len(set(values)) == 1:
            continue
        usual, times = collections.Counter(values).most_common(1)[0]
        usual = usual if times > len(values) / 2 else None
        cells = "".join(
            f'<td class="{"usual" if value == usual else "other"}">'
            f"<code>{'-' if value is None else escape(value) or '(empty)'}</code></td>"
            for value in values
        )
        rows.append(f'<tr><th scope="row"><code>{escape(name)}</code></th>{cells}</tr>')
    if not rows:
        return "<p>No two runs have different flags.</p>"
    heads = "".join(f'<th scope="col">{escape(record.name)}</th>' for record in described)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Flags that differ">\n'
        f'<table><thead><tr><th scope="col">flag</th>{heads}</tr></thead>\n'
        f"<tbody>\n{chr(10).join(rows)}\n</tbody></table></div>"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
