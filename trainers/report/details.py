"""The report's part about one run, as HTML: scores, the paper gate, classes, notes, origin.

Every text that comes from a run folder goes through `escape`.
"""

from __future__ import annotations

import pathlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from html import escape
from typing import Any

import msgspec

from trainers.report import published
from trainers.report.identity import identifier
from trainers.report.mistakes import PICTURE_FILE
from trainers.report.mistakes_html import Mistakes
from trainers.report.pictures import Pictures
from trainers.report.reproducing import commands_html, files_html
from trainers.report.runs_table import notes_text
from trainers.report.tables import percent
from trainers.run_folder import history
from trainers.run_folder.files import Data, Environment
from trainers.run_folder.folder import CONTACT_SHEET_FILE, FIGURES_DIR
from trainers.run_folder.records import RunRecord

# How much of the classes is shown: all where there are few, else the worst and the best.
_WORST, _BEST = 8, 4
_CONFUSIONS = 10

# A picture is embedded at most so wide, in pixels.
_PICTURE_WIDTH = 1200


def details_html(
    record: RunRecord, pictures: Pictures, mistakes: Mistakes, place: pathlib.Path
) -> str:
    """One run: an <article>; its pictures and mistakes are added to the page's.

    `place` is the page's folder.
    """
    wrong = list(mistakes.blocks(record))
    best = f", best top-1 {percent(record.accuracy[0])}" if record.accuracy else ""
    name = escape(record.name)
    parts = [
        _block("What is wrong", _items(record.faults)),
        _block("Scores", _scores(record)),
        _block("Beside the paper", _gate(record)),
        *([] if wrong else _classes(record)),
        _block("Run it again", commands_html(record)),
        _block(
            "Notes",
            f'<p class="notes">{escape(notes_text(record))}</p>' if notes_text(record) else "",
        ),
        _block("Data", _pairs(_data(record.data))),
        _block("Began with", _items([record.initial.line()] if record.initial else [])),
        _block("Taught by", _items([record.teacher.line()] if record.teacher else [])),
        _block("Trained", _items(list(map(history.in_words, record.history)))),
        _block("Environment", _pairs(_environment(record.environment))),
        _block("Files", files_html(record, place)),
        *(_block(title, content, css) for title, content, css in wrong),
        *_figures(record, pictures, left_out=(PICTURE_FILE,) if wrong else ()),
        _contact_sheet(record, pictures),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        f'<article class="run" id="{identifier(record)}" tabindex="-1" aria-label="{name}">\n'
        f'<h3 class="run-title">{name} <small>{escape(record.net or "net not known")}{best}, '
        f'<span class="{record.state}">{record.state}</span></small></h3>\n'
        f'<div class="columns">\n{body}\n</div></article>'
    )


def _block(title: str, content: str, css: str = "") -> str:
    return f'<div class="{css}"><h4>{escape(title)}</h4>{content}</div>' if content else ""


def _items(lines: Sequence[Any]) -> str:
    items = "".join(f"<li>{escape(str(line))}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _pairs(pairs: Mapping[str, str]) -> str:
    inner = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs.items() if value
    )
    return f"<dl>{inner}</dl>" if inner else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """A small table; cells are HTML, those after the first are numbers."""
    if not rows:
        return ""
    kinds = ["", *[' class="number"'] * (len(head) - 1)]
    top = "".join(
        f'<th scope="col"{kind}>{name}</th>' for name, kind in zip(head, kinds, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(f"<td{k}>{c}</td>" for c, k in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _scores(record: RunRecord) -> str:
    rows = []
    if record.best is not None:
        where = f"best epoch: {record.best.epoch:g}"
        rows.append((where, percent(record.best.top1), percent(record.best.top5)))
    for name, found in record.evaluations.items():
        top1 = _with_interval(found.top1, found.top1_interval)
        top5 = _with_interval(found.top5, found.top5_interval)
        rows.append((escape(name.replace("_", " ")), top1, top5))
    return _table(("", "top-1", "top-5"), rows, f"Scores of {record.name}")


def _with_interval(accuracy: float, interval: tuple[float, float] | None) -> str:
    """An accuracy, with its confidence interval where the evaluation states one."""
    text = percent(accuracy)
    if interval is not None:
        low, high = (f"{100 * end:.1f}" for end in interval)
        text += f"<br><small>{low} to {high}</small>"
    return text


def _gate(record: RunRecord) -> str:
    found = published.gates(record)
    if not found:
        return ""
    rows = [
        (
            escape(gate.published.protocol),
            "-" if gate.published.top1 is None else f"{gate.published.top1:g} %",
            f"{gate.top1:.2f} %",
            "-" if gate.published.top1 is None else f"{gate.top1 - gate.published.top1:+.2f}",
        )
        for gate in found
    ]
    table = _table(
        ("published, measured by", "theirs", "ours", "difference"), rows, "Published top-1 errors"
    )
    differences = found[0].differences
    said = "The first was measured otherwise:" if differences else "The first was measured alike."
    return f"{table}<p>Top-1 errors. {said}</p>{_items(differences)}"


def _classes(record: RunRecord) -> list[str]:
    """The best and the worst classes and the most confused ones, where an evaluation has them."""
    data = record.data
    words = dict(zip(data.wnids, data.words, strict=False)) if data else {}

    def name(wnid: str) -> str:
        return f"{words.get(wnid, '')} {wnid}".strip() if words.get(wnid) != wnid else wnid

    for evaluation, found in record.evaluations.items():
        per_class, confused = found.per_class, found.most_confused
        if not per_class and not confused:
            continue
        shares = sorted(per_class.items(), key=lambda item: item[1])
        few = len(shares) <= _WORST + _BEST
        bars = [
            (
                f'<div class="share" style="--share:{share:.1%}">'
                f"<span>{escape(name(wnid))}</span></div>",
                percent(share),
            )
            for wnid, share in (shares if few else [*shares[:_WORST], *shares[-_BEST:]])
        ]
        pairs = [
            (f"{escape(name(true))} &rarr; {escape(name(predicted))}", f"{count:g}")
            for true, predicted, count in confused[:_CONFUSIONS]
        ]
        which = "all classes" if few else f"the {_WORST} worst and the {_BEST} best classes"
        return [
            _block(
                f"Top-1 of {which}, {evaluation.replace('_', ' ')}",
                _table(("class", "right"), bars, "Accuracy by class"),
            ),
            _block(
                f"Most confused, {evaluation.replace('_', ' ')}",
                _table(("is, and was taken for", "images"), pairs, "Most confused classes"),
            ),
        ]
    return []


def _data(data: Data | None) -> dict[str, str]:
    if data is None:
        return {}
    sizes = [
        f"{split} {'x'.join(map(str, size))}"
        for split, size in data.image_size.items()
        if isinstance(size, tuple)
    ]
    return {
        "data set": " ".join(filter(None, (data.name, data.config))),
        "classes": f"{data.num_classes:,}",
        "images": ", ".join(f"{count:,} {split}" for split, count in data.records.items()),
        "generated": "yes" if data.generated else "",
        "image size": ", ".join(sizes),
        "label order": data.label_order[:12],
        "manifest": (data.manifest_sha256 or "")[:12],
    }


def _environment(environment: Environment | None) -> dict[str, str]:
    if environment is None:
        return {}
    diff, packages = environment.git_uncommitted, environment.packages
    return {
        "commit": (environment.git_commit or "")[:12],
        "uncommitted": f"{len(diff.splitlines())} lines of diff" if diff else "",
        "machine": environment.machine or "",
        "processor": environment.cpu or "",
        "GPUs": ", ".join(environment.gpus),
        "CUDA": _pairs_text(msgspec.to_builtins(environment.cuda)),
        "variables": _pairs_text(environment.variables),
        "Python": environment.python or "",
        "packages": _pairs_text(packages),
    }


def _pairs_text(pairs: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{name} {value}" for name, value in (pairs or {}).items() if value)


def _contact_sheet(record: RunRecord, pictures: Pictures) -> str:
    """The run's contact sheet as an embedded picture, where its folder has one."""
    path = record.directory / CONTACT_SHEET_FILE
    title = "First training images, after each map function"
    return _picture(record, path, title, pictures) if path.exists() else ""


def _figures(record: RunRecord, pictures: Pictures, left_out: Collection[str]) -> Iterator[str]:
    """What commands have drawn of the run, by the files' names; but some that are shown already."""
    paths = sorted((record.directory / FIGURES_DIR).glob("*.png"))
    for path in (each for each in paths if each.name not in left_out):
        title = path.stem.replace("_", " ").capitalize()
        yield _picture(record, path, title, pictures)


def _picture(record: RunRecord, path: pathlib.Path, title: str, pictures: Pictures) -> str:
    """A picture in the run's folder, or why it is not here."""
    from PIL import Image

    try:
        with Image.open(path) as file:
            image = pictures.embed(file, f"{title}: {record.name}", _PICTURE_WIDTH)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        return _block(title, f"<p>{escape(f'{path.name}: {error}')}</p>", "wide")
    if image is None:
        said = f"{escape(path.name)} is in the run's folder: the page has no room for more."
        return _block(title, f"<p>{said}</p>", "wide")
    region = f'class="scroll" tabindex="0" role="region" aria-label="{escape(title)}"'
    return _block(title, f"<div {region}>{image}</div>", "wide")
