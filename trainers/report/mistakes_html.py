"""What a run gets wrong, by what an evaluation has saved of each image: for the report's details.

Reliability and classes are HTML; the confusion matrix and the galleries are drawn by mistakes.js of
the data that `Mistakes` collects. Every text that comes from a run folder goes through `escape`.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

import numpy as np

from base.errors import UserError
from trainers.report.pictures import Pictures
from trainers.report.tables import percent
from trainers.run_folder.predictions import Predictions
from trainers.run_folder.records import RunRecord
from trainers.scoring import mistakes

# A matrix of more classes than these has those with the most mistakes.
_MATRIX = 30
# So many images of a cell are shown, and so many of all cells are known to the page.
_CELL_IMAGES, _LISTED_IMAGES = 12, 600
# What an image's caption has of what was said.
_SAID = 3
# What an evaluation takes at least, in bytes of the page: with less room it is not begun.
_LEAST_ROOM = 100_000


class Mistakes:
    """The mistakes of all runs, as long as the page has room for them and their pictures."""

    def __init__(self, pictures: Pictures):
        """`pictures` is the page's."""
        self._pictures = pictures
        self.data: dict[str, dict[str, Any]] = {}

    def blocks(self, record: RunRecord) -> Iterator[tuple[str, str, str]]:
        """The title, HTML and CSS class of each part of a run's details, of all its evaluations."""
        for name in record.saved_predictions:
            title = f"What it gets wrong, {name.replace('_', ' ')}"
            if self._pictures.room < _LEAST_ROOM:
                command = f"python trainers/runs.py report {record.directory}"
                said = "The page has no room for it: a report about fewer runs has, "
                yield title, f"<p>{said}<code>{escape(command)}</code>.</p>", "wide"
                continue
            try:
                found = record.predictions(name)
            except UserError as error:
                yield title, f"<p>{escape(str(error))}</p>", "wide"
                continue
            if not len(found.labels):
                continue
            key = f"{record.name} {name}"
            self.data[key] = self._of(found)
            yield title, f'<div class="mistakes" data-mistakes="{escape(key)}"></div>', "wide"
            yield "How sure it is, and how often it is right", _reliability_html(found), ""
            yield "Its classes, the worst first", _classes_html(found), ""

    def _of(self, found: Predictions) -> dict[str, Any]:
        """One evaluation: classes, the matrix, pairs and galleries; images are listed once."""
        matrix = mistakes.confusion_matrix(found)
        shown = mistakes.most_mistaken(matrix, _MATRIX)
        if len(matrix) <= _MATRIX:
            shown = np.arange(len(matrix))
        counts = matrix[np.ix_(shown, shown)]
        worst = mistakes.worst_images(found).tolist()
        pairs = mistakes.confused_pairs(found)
        cells = [
            (pair.label, pair.predicted, len(pair.images), pair.images[:_CELL_IMAGES].tolist())
            for pair in pairs
        ]
        listed = {*worst, *(position for *_, images in cells for position in images)}
        for cell in _other_cells(found, shown, {(pair.label, pair.predicted) for pair in pairs}):
            if len(listed) + len(cell[-1]) > _LISTED_IMAGES:
                break
            cells.append(cell)
            listed.update(cell[-1])
        images = {position: self._image(found, position) for position in sorted(listed)}
        names = _short_names(found)
        named = {*shown.tolist(), *(label for cell in cells for label in cell[:2])}
        named |= {label for image in images.values() for label, _ in image["said"]}
        named |= {image["label"] for image in images.values()}
        data = {
            "classes": {label: names[label] for label in sorted(named)},
            "all": len(matrix),
            "shown": shown.tolist(),
            "counts": counts.tolist(),
            "cells": cells,
            "pairs": len(pairs),
            "worst": worst,
            "images": images,
        }
        self._pictures.reserve(len(str(data)))
        return data

    def _image(self, found: Predictions, position: int) -> dict[str, Any]:
        picture = found.pictures.get(position)
        said = zip(
            found.top[position].tolist(), found.probabilities[position].tolist(), strict=True
        )
        loss = float(found.losses[position])
        return {
            "name": found.name(position),
            "label": int(found.labels[position]),
            "said": [(label, round(p, 4)) for label, p in [*said][:_SAID] if label >= 0],
            "loss": round(loss, 3) if np.isfinite(loss) else None,
            "picture": self._pictures.keep(picture) if picture is not None else None,
        }


def _short_names(found: Predictions) -> list[str]:
    """What each class is called in a narrow place: its first word, where no other is called so."""
    words = [text.split(",")[0].strip() for text in found.words]
    times = collections.Counter(words)
    return [
        word if word and times[word] == 1 else found.class_name(label)
        for label, word in enumerate(words)
    ]


def _other_cells(
    found: Predictions, shown: np.ndarray, known: Iterable[tuple[int, int]]
) -> Iterator[tuple[int, int, int, list[int]]]:
    """The matrix's other cells of mistakes: truth, prediction, count, images; most first."""
    first = found.top[:, 0]
    wrong = np.flatnonzero(~found.right & np.isin(found.labels, shown) & np.isin(first, shown))
    by_loss = wrong[np.argsort(-np.nan_to_num(found.losses[wrong], nan=np.inf), kind="stable")]
    cells: dict[tuple[int, int], list[int]] = {}
    for position in by_loss.tolist():
        cells.setdefault((int(found.labels[position]), int(first[position])), []).append(position)
    for pair in known:
        cells.pop(pair, None)
    for (label, predicted), images in sorted(cells.items(), key=lambda cell: -len(cell[1])):
        yield label, predicted, len(images), images[:_CELL_IMAGES]


def _classes_html(found: Predictions) -> str:
    """Every class as a bar of its accuracy, with its confidence interval."""
    rows, names = [], _short_names(found)
    for score in mistakes.class_scores(found):
        low, high = (f"{100 * end:.0f}" for end in score.interval)
        rows.append(
            f'<tr><td><div class="share" style="--share:{score.accuracy:.1%}">'
            f"<span>{escape(names[score.label])}</span></div></td>"
            f'<td class="number">{percent(score.accuracy)}</td>'
            f'<td class="number quiet">{low} to {high}</td>'
            f'<td class="number quiet">{score.images:,}</td></tr>'
        )
    head = "".join(
        f'<th scope="col"{kind}>{name}</th>'
        for name, kind in (
            ("class", ""),
            *((each, ' class="number"') for each in ("right", "95 %", "images")),
        )
    )
    return (
        '<div class="scroll rows low" tabindex="0" role="region" aria-label="Accuracy by class">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


# The diagram's square, in units of its own.
_SIDE, _LEFT, _BELOW = 240, 46, 38


def _reliability_html(found: Predictions) -> str:
    """The reliability diagram (Guo et al. 2017, figure 1): accuracy over confidence, in bins."""
    bars = mistakes.reliability(found.confidence, found.right)
    width = _SIDE / len(bars.counts)
    parts = []
    for place, (count, sure, right) in enumerate(
        zip(bars.counts.tolist(), bars.confidence.tolist(), bars.accuracy.tolist(), strict=True)
    ):
        if not count:
            continue
        said = f"sure of {percent(sure)} on average, right {percent(right)}, {count:,} images"
        low, high = sorted((right, sure))
        parts.append(
            f"<g><title>{said}</title>"
            + _rectangle("right", _LEFT + place * width, right, 0.0, width)
            + _rectangle("gap", _LEFT + place * width, high, low, width)
            + "</g>"
        )
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, y, text = _LEFT + share * _SIDE, 8 + (1 - share) * _SIDE, f"{share:.0%}"
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:g}" text-anchor="end">{text}</text>')
        parts.append(f'<text x="{x:g}" y="{_SIDE + 24}" text-anchor="middle">{text}</text>')
    middle = _LEFT + _SIDE / 2
    parts.append(
        f'<path d="M{_LEFT} {_SIDE + 8}L{_LEFT + _SIDE} 8"/>'
        f'<text x="{middle:g}" y="{_SIDE + _BELOW + 4}" text-anchor="middle">confidence</text>'
    )
    error = f"expected calibration error {100 * bars.error:.1f} %"
    label = escape(f"Reliability diagram: {error}", quote=True)
    size = f"0 0 {_SIDE + _LEFT + 20} {_SIDE + _BELOW + 10}"
    return (
        f'<svg class="reliability" viewBox="{size}" role="img" aria-label="{label}">'
        f"{''.join(parts)}</svg>"
        f'<p class="hint">Bars: the share that is right, of the images that it is so sure of; '
        f"the paler part is what lacks to the confidence, or goes beyond it: {error}.</p>"
    )


def _rectangle(css: str, x: float, top: float, bottom: float, width: float) -> str:
    y, height = 8 + (1 - top) * _SIDE, (top - bottom) * _SIDE
    return (
        f'<rect class="{css}" x="{x + 0.5:.2f}" y="{y:.2f}" width="{width - 1:.2f}" '
        f'height="{height:.2f}"/>'
    )
