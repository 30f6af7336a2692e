"""The paper gate: a run's error beside the published one, and in which ways they were measured
otherwise.

Only what can be read in the run folder and in the net's registry entry is compared: how images are
cropped, how many nets and scales are averaged, the image size, the data, and the flags of the
recipe, which say epochs, batch, optimizer, rate, decay and augmentation.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import nets
from base.errors import UserError
from base.spec import parse_call
from data_prep import schema
from pipelines.config import SYNTHETIC
from trainers.config import TrainConfig, read_flag_file
from trainers.run_folder import files
from trainers.run_folder.files import Evaluation, Size
from trainers.run_folder.records import RunRecord

# What published errors are measured on.
CLASSES = 1000

# What a recipe's epochs may differ by, as a fraction, because the last evaluation comes late.
_EPOCHS_TOLERANCE = 0.01

# What else a recipe says: flags, and the kind of difference that each makes.
_RECIPE = {
    "train_batch_size": "batch",
    "optimizer": "optimizer",
    "learning_rate": "rate",
    "schedule": "rate",
    "warmup_epochs": "rate",
    "layer_decay": "rate",
    "label_smoothing": "loss",
    "weight_decay": "decay",
    "decoupled_weight_decay": "decay",
    "train_map": "augmentation",
    "train_device_map": "augmentation",
    "repeated_augmentation": "augmentation",
}
# Szegedy et al. 2015, section 7: 3 squares, of each 6 views, and all mirrored.
_CROPS_OF_A_SCALE = 3 * 6 * 2

_FLAG_FILES = pathlib.Path(__file__).resolve().parents[2] / "flags"
_OUR_PROTOCOLS = {
    files.CENTER_CROP: nets.CENTER_CROP,
    files.TEN_CROP: "10 crops",
    files.DENSE: "dense",
    files.DENSE_MULTI_SCALE: "dense",
}


@dataclasses.dataclass(frozen=True)
class Difference:
    """One way in which two errors were not measured alike.

    Attributes:
        kind: in a word: crops, nets, scales, images, size, epochs, optimizer, rate, loss, data,
            teacher
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

    views: str
    top1: float
    top5: float
    image_side: int | None
    nets: int = 1
    scales: int = 1

    @property
    def protocol(self) -> str:
        """In the registry's words."""
        counts = {"nets": self.nets, "scales": self.scales}
        several = (f"{count} {noun}" for noun, count in counts.items() if count > 1)
        return ", ".join([self.views, *several])


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


def _gate(
    record: RunRecord, entry: nets.Net, published: nets.PublishedError, results: list[_Result]
) -> Gate:
    def departures(result: _Result) -> list[Difference]:
        measured = (
            ("crops", result.views, published.views),
            ("nets", result.nets, published.nets),
            ("scales", result.scales, published.scales),
        )
        return [
            Difference(kind, str(ours), str(theirs))
            for kind, ours, theirs in measured
            if ours != theirs
        ]

    result = min(results, key=lambda result: (len(departures(result)), result.top1))
    differences = departures(result) + list(_differences_of_training(record, entry))
    if published.subset:
        differences.append(Difference("images", "all", published.subset))
    side = published.size or entry.image_size
    if result.image_side is not None and result.image_side != side:
        differences.append(Difference("size", f"{result.image_side} pixels", f"{side} pixels"))
    differences += _differences_of_recipe(record, entry)
    return Gate(published, result.protocol, result.top1, result.top5, tuple(differences))


def _results(record: RunRecord) -> Iterator[_Result]:
    """Our results on the run's own validation images: the training's best, then evaluate.py's."""
    side = _side(record.data.image_size.get("eval")) if record.data else None
    if record.best is not None:
        best = record.best
        yield _Result(nets.CENTER_CROP, 100 * (1 - best.top1), 100 * (1 - best.top5), side)
    for found in record.evaluations.values():
        if found.split == schema.VALIDATION and found.own_data is not False:
            yield _evaluated(found, side)


def _evaluated(found: Evaluation, side: int | None) -> _Result:
    scales = len(found.scales or ()) or 1
    views = _OUR_PROTOCOLS.get(found.protocol, found.protocol)
    if found.protocol == files.CROPS_144:  # its scales are a part of the number
        views, scales = f"{_CROPS_OF_A_SCALE * len(found.scales or range(4))} crops", 1
    return _Result(
        views,
        100 * (1 - found.top1),
        100 * (1 - found.top5),
        _side(found.image_size) or side,
        nets=len(found.ensemble or ()) or 1,
        scales=scales,
    )


def _differences_of_training(record: RunRecord, entry: nets.Net) -> Iterator[Difference]:
    """How the training departs from one on all of ILSVRC by the net's recipe."""
    file = f"{entry.name}.cfg"
    recipe = _recipe(file)
    if record.imported:
        yield Difference("weights", f"imported from {record.imported}", "trained")
    elif record.initial:
        yield Difference("weights", f"begun with those of {record.initial.source}", "trained")
    elif recipe:
        epochs = _epochs(recipe)
        if abs(record.epochs - epochs) > _EPOCHS_TOLERANCE * epochs:
            yield Difference("epochs", f"{record.epochs:.4g}", f"{epochs:.4g} by flags/{file}")
    if record.teacher and not (recipe and recipe.teacher):
        yield Difference("teacher", record.teacher.source, "none")
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


def _differences_of_recipe(record: RunRecord, entry: nets.Net) -> Iterator[Difference]:
    """Which flags of the training are not those of the net's recipe."""
    file = f"{entry.name}.cfg"
    recipe = _recipe(file)
    if recipe is None or record.config is None or record.imported:
        return
    for name, kind in _RECIPE.items():
        ours, theirs = (_flag(config, name) for config in (record.config, recipe))
        if ours != theirs:
            yield Difference(kind, f"{name} {ours}", f"{theirs} by flags/{file}")


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
def _recipe(name: str) -> TrainConfig | None:
    """What a flag file says; None where there is no such file."""
    try:
        return read_flag_file(_FLAG_FILES / name)
    except UserError:
        return None


def _epochs(recipe: TrainConfig) -> float:
    """How long a recipe trains on all of ILSVRC."""
    images = recipe.train_steps * recipe.pipeline.train_batch_size
    return images / schema.ILSVRC2012_IMAGES[schema.TRAIN] or recipe.train_epochs


def _flag(config: TrainConfig, name: str) -> Any:
    return getattr(config if hasattr(config, name) else config.pipeline, name)


def _side(size: Size | None) -> int | None:
    """The shorter side of (height, width), or a square's one number."""
    return min(size) if isinstance(size, tuple) else size
