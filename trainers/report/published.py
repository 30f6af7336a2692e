"""The paper gate: a run's error beside the published one, and in which ways they were measured
otherwise.

Only what can be read in the run folder and in the net's registry entry is compared: how images are
cropped, how many nets and scales are averaged, the epochs of the recipe, the data, the image size.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import re
import sys
from collections.abc import Iterator

import nets
from base.errors import UserError
from base.spec import parse_call
from data_prep import schema
from pipelines.config import SYNTHETIC
from trainers.config import read_flag_file
from trainers.run_folder import files
from trainers.run_folder.files import Evaluation, Size
from trainers.run_folder.records import RunRecord

# What published errors are measured on.
CLASSES = 1000

# What a recipe's epochs may differ by, as a fraction, because the last evaluation comes late.
_EPOCHS_TOLERANCE = 0.01

_FLAG_FILES = pathlib.Path(__file__).resolve().parents[2] / "flags"
_OUR_PROTOCOLS = {
    files.CENTER_CROP: "center crop",
    files.TEN_CROP: "10 crops",
    files.CROPS_144: "144 crops",
    files.DENSE: "dense",
    files.DENSE_MULTI_SCALE: "dense",
}


@dataclasses.dataclass(frozen=True)
class Difference:
    """One way in which two errors were not measured alike.

    Attributes:
        kind: in a word: crops, nets, scales, epochs, data, size, options.
        ours: how it was here.
        theirs: how it was there.
    """

    kind: str
    ours: str
    theirs: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.ours} here, {self.theirs} there"


@dataclasses.dataclass(frozen=True)
class Gate:
    """A run beside one published figure; errors are in percent, None where not known.

    Attributes:
        published: the registry's figure.
        protocol: how ours was measured, in the words of the registry.
        top1: our top-1 error.
        top5: our top-5 error.
        differences: why the two cannot be compared as they are.
    """

    published: nets.PublishedError
    protocol: str
    top1: float
    top5: float
    differences: tuple[Difference, ...]

    @property
    def kinds(self) -> list[str]:
        """The kinds of the differences, each once."""
        return list(dict.fromkeys(difference.kind for difference in self.differences))

    def __str__(self) -> str:
        """The comparison, in one line."""
        published = self.published
        theirs = ", ".join(
            f"{name} {error} %"
            for name, error in (("top-1", published.top1), ("top-5", published.top5))
            if error is not None
        )
        return (
            f"error: ours top-1 {self.top1:.2f} %, top-5 {self.top5:.2f} % ({self.protocol}); "
            f"theirs {theirs} ({published.protocol})"
        )


@dataclasses.dataclass(frozen=True)
class _Result:
    """One of our own results: how it was measured, and errors in percent."""

    protocol: str
    top1: float
    top5: float
    image_side: int | None


def published_errors(record: RunRecord) -> tuple[nets.PublishedError, ...]:
    """What the registry says of the run's net; nothing where it does not know the net."""
    entry = _entry(record)
    return entry.errors if entry else ()


def gates(record: RunRecord) -> list[Gate]:
    """The run beside each published figure of its net, the one to compare with first.

    Empty where nothing is published, or nothing was evaluated yet.
    """
    entry, results = _entry(record), list(_results(record))
    if entry is None or not results:
        return []
    return [_gate(record, entry, published, results) for published in entry.errors]


def facets(protocol: str) -> dict[str, str]:
    """What a protocol in the registry's words says of `crops`, `nets` and `scales`."""

    def count(noun: str) -> str:
        found = re.search(rf"(\d+) {noun}", protocol)
        return found[1] if found else "1"

    crops = re.search(r"center crop|\d+ crops|dense and multi-crop|dense|\w+ stride", protocol)
    return {
        "crops": crops[0] if crops else protocol,
        "nets": count("nets?"),
        "scales": count("scales?"),
    }


def _gate(
    record: RunRecord, entry: nets.Net, published: nets.PublishedError, results: list[_Result]
) -> Gate:
    wanted = facets(published.protocol)

    def distance(result: _Result) -> int:
        return sum(value != wanted[kind] for kind, value in facets(result.protocol).items())

    result = min(results, key=lambda result: (distance(result), result.top1))
    measured = facets(result.protocol)
    differences = [
        Difference(kind, ours, wanted[kind])
        for kind, ours in measured.items()
        if ours != wanted[kind]
    ]
    differences += _differences_of_training(record, entry)
    if result.image_side is not None and result.image_side != entry.image_size:
        differences.append(
            Difference("size", f"{result.image_side} pixels", f"{entry.image_size} pixels")
        )
    return Gate(published, result.protocol, result.top1, result.top5, tuple(differences))


def _results(record: RunRecord) -> Iterator[_Result]:
    """Our results on the run's own validation images: the training's best, then evaluate.py's."""
    side = _side(record.data.image_size.get("eval")) if record.data else None
    if record.best is not None:
        best = record.best
        yield _Result("center crop", 100 * (1 - best.top1), 100 * (1 - best.top5), side)
    for found in record.evaluations.values():
        if found.split != schema.VALIDATION or found.own_data is False:
            continue
        top1, top5 = 100 * (1 - found.top1), 100 * (1 - found.top5)
        yield _Result(_protocol_of(found), top1, top5, _side(found.image_size) or side)


def _protocol_of(evaluation: Evaluation) -> str:
    """How an evaluation was done, in the registry's words."""
    words = _OUR_PROTOCOLS.get(evaluation.protocol, evaluation.protocol)
    for members, noun in ((evaluation.ensemble, "nets"), (evaluation.scales, "scales")):
        if members and len(members) > 1:
            words += f", {len(members)} {noun}"
    return words


def _differences_of_training(record: RunRecord, entry: nets.Net) -> Iterator[Difference]:
    """How the training departs from one on all of ILSVRC by the net's recipe."""
    recipe = f"{entry.name}.cfg"
    epochs = _recipe_epochs(recipe)
    if record.imported:
        yield Difference("weights", f"imported from {record.imported}", "trained")
    elif record.initial:
        yield Difference("weights", f"begun with those of {record.initial.source}", "trained")
    elif epochs is not None and abs(record.epochs - epochs) > _EPOCHS_TOLERANCE * epochs:
        yield Difference("epochs", f"{record.epochs:.4g}", f"{epochs:.4g} by flags/{recipe}")
    data = record.data
    if data and data.num_classes != CLASSES:
        yield Difference("data", f"{data.num_classes:,} classes", f"{CLASSES:,}")
    records = data.records if data else {}
    for split, count in schema.ILSVRC2012_IMAGES.items():
        if records.get(split, count) != count:
            yield Difference("data", f"{records[split]:,} {split} images", f"{count:,}")
    if (data and data.generated) or record.flags.get("data") == SYNTHETIC:
        yield Difference("data", "generated images", "photographs")
    if record.flags.get("overfit_batches", "0") != "0":
        yield Difference("data", f"{record.flags['overfit_batches']} batches only", "all")
    written = parse_call(record.net)
    if written.keywords:
        yield Difference("options", str(written), entry.name)


def _entry(record: RunRecord) -> nets.Net | None:
    """The registry's entry for the run's net, if it has one."""
    if record.config is None:
        return None
    return _registered().get(parse_call(record.net).name)


@functools.cache
def _registered() -> dict[str, nets.Net]:
    try:
        return {name: nets.entry(name) for name in nets.names()}
    except Exception as error:
        # Run folders can be read while a file in nets/ is being written and cannot be imported.
        print(f"warning: no published errors: nets/ cannot be imported ({error})", file=sys.stderr)
        return {}


@functools.cache
def _recipe_epochs(name: str) -> float | None:
    """For how many epochs a flag file trains; None where there is no such file."""
    try:
        return read_flag_file(_FLAG_FILES / name).train_epochs
    except UserError:
        return None


def _side(size: Size | None) -> int | None:
    """The shorter side of (height, width), or a square's one number."""
    return min(size) if isinstance(size, tuple) else size
