"""The report: one HTML file about all runs, which needs no server, no network and no other file.

The page's looks and behaviour are in `static/` beside this module; here its parts are put together.
Every text that comes from a run folder goes through `escape`.
"""

from __future__ import annotations

import datetime
import pathlib
import string
from collections.abc import Sequence
from html import escape

from base.errors import UserError
from base.files import atomic
from trainers.report import runs_table, summary
from trainers.report.curves import embedded, runs_json
from trainers.report.details import details_html
from trainers.report.mistakes_html import Mistakes
from trainers.report.pictures import Pictures
from trainers.run_folder.metrics import FEW_LOSSES, SPIKE, USUAL_SHARE
from trainers.run_folder.records import RunRecord, differing_flags

# What a run's details take without their pictures, about.
_BYTES_OF_DETAILS = 10_000

_STATIC = pathlib.Path(__file__).parent / "static"
_STYLES = ("uplot/uPlot.min.css", "page.css", "parts.css", "mistakes.css")
# In the order in which each uses those before it; all are one function's body.
_SCRIPTS = (
    "view.js",
    "theme.js",
    "filters.js",
    "series.js",
    "reading.js",
    "gestures.js",
    "charts.js",
    "legend.js",
    "table.js",
    "flags.js",
    "mistakes.js",
    "details.js",
    "reload.js",
)


def write(path: pathlib.Path, records: Sequence[RunRecord], *, reload: int = 0) -> None:
    """Writes the report about these runs, whole or not at all.

    Args:
        path: the HTML file; its links to the runs' files are relative to its folder.
        records: the runs.
        reload: after how many seconds the page loads itself anew; 0: never.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path, "w") as file:
            file.write(page(records, path.parent, reload=reload))
    except OSError as error:
        raise UserError(f"--output={path} cannot be written: {error.strerror}") from None


def page(records: Sequence[RunRecord], place: pathlib.Path, *, reload: int = 0) -> str:
    """The report about these runs, as the text of an HTML file that is to lie in `place`."""
    flags = differing_flags(records)
    table = runs_table.RunsTable(records, flags)
    runs = table.html()
    settings = {"spike": SPIKE, "usualShare": USUAL_SHARE, "few": FEW_LOSSES}
    data = embedded({"runs": runs_json(records), "flags": flags, "settings": settings})
    pictures = Pictures(len(runs) + len(data) + _BYTES_OF_DETAILS * len(records))
    mistakes = Mistakes(pictures)
    return string.Template(_static("page.html")).substitute(
        title="ILSVRC runs",
        summary=escape(summary.counted(records)),
        written=f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S}",
        reload=reload,
        tiles=summary.tiles_html(records),
        runs=runs,
        columns=table.choices(),
        details=_details(records, pictures, mistakes, place),
        data=data,
        mistakes=embedded(mistakes.data),
        pictures=pictures.json(),
        style="\n".join(map(_static, _STYLES)),
        library=f"/*\n{_static('uplot/LICENSE')}*/\n{_static('uplot/uPlot.iife.min.js')}",
        script="\n".join(map(_static, _SCRIPTS)),
    )


def _details(
    records: Sequence[RunRecord], pictures: Pictures, mistakes: Mistakes, place: pathlib.Path
) -> str:
    """Every run's details; where there is no room for all pictures, the newest runs have theirs."""

    def age(at: int) -> tuple[float, int]:
        time = runs_table.began(records[at])
        return (-time.timestamp() if time else 0.0, -at)

    found: dict[int, str] = {}
    for at in sorted(range(len(records)), key=age):
        found[at] = details_html(records[at], pictures, mistakes, place)
    return "\n".join(found[at] for at in range(len(records)))


def _static(name: str) -> str:
    return (_STATIC / name).read_text(encoding="utf-8")
