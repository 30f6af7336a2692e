"""Scores trained runs by one of the papers' protocols: one run, or an ensemble of several."""

import contextlib
import dataclasses
import hashlib
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from base import typed_json
from base.errors import UserError
from base.files import atomic
from base.spec import parse_call
from data_prep import schema
from pipelines.reading.dataset import Dataset
from trainers.run_folder import files, predictions
from trainers.run_folder.folder import DATA_FILE
from trainers.run_folder.predictions import Predictions
from trainers.scoring import mistakes, split_images
from trainers.scoring.config import EvaluateConfig
from trainers.scoring.members import (
    Member,
    member_probabilities,
    member_scores,
    open_members,
)
from trainers.scoring.probabilities import Scored, log_softmax
from trainers.scoring.real_labels import read_real_labels
from trainers.scoring.tally import Tally
from trainers.training.devices.replicas import open_devices
from trainers.training.validation import CONSTANT, Score, same_for_all


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        score: the means.
        result: everything, as in the file.
        file: the JSON file that keeps it: --output, or one in the folder of the first run.
        saved: the file of --save_predictions beside it, or None.
        table: lines for people: which weights, ours beside what is published.
        warnings: why the score may say nothing, one line each.
    """

    score: Score
    result: files.Evaluation
    file: pathlib.Path
    saved: pathlib.Path | None
    table: list[str]
    warnings: list[str]


def evaluate(
    config: EvaluateConfig, say: Callable[[Evaluation], None] = lambda found: None
) -> Evaluation:
    """Scores runs over every image of a split, each exactly once, and writes what it found.

    Args:
        config: the flags.
        say: is told of the score before anything is written, so that no disk can lose it.

    Raises:
        UserError: a run, its checkpoint or the data set is missing, or they do not fit; the
            protocol does not fit the data set or the net; the file cannot be written.
    """
    strategy = open_devices(config.replicas).strategy
    members = open_members(config)
    dataset = members[0].pipeline.dataset
    images = dataset.num_records(config.split)
    real = read_real_labels(config.real_labels, dataset) if config.real_labels else None
    tally = Tally(images, dataset.num_classes)
    passes = [(member, views) for member in members for views in member.plan.passes]
    bar = tqdm(total=images * len(passes), unit="image", leave=False, disable=None)
    single = len(passes) == 1
    rows = member_scores if single else member_probabilities
    scored = (
        _watched(member, rows(member, views, config, strategy), bar) for member, views in passes
    )
    if single:
        for positions, labels, scores in next(scored):
            tally.add(positions, labels, np.exp(log_softmax(scores)), scores)
    else:
        tally.add(*_mean(scored, images, dataset.num_classes, len(passes)))
    bar.close()
    result = files.Evaluation(**_settings(config, members), **tally.result(dataset.wnids, real))
    assert result.loss is not None  # infinite, perhaps, but counted
    place = pathlib.Path(config.output) if config.output else _place(members, result)
    saved = predictions.beside(place)
    found = Evaluation(
        Score(images, result.loss, result.top1, result.top5),
        result,
        place,
        saved if config.save_predictions else None,
        _table(members, config, result),
        [f"{each.run.directory} {CONSTANT}" for each in members if all(each.constant)],
    )
    say(found)
    try:
        found.file.parent.mkdir(parents=True, exist_ok=True)
        # Those of an earlier evaluation are not of this result.
        saved.unlink(missing_ok=True)
        with atomic(found.file, "w") as file:
            file.write(typed_json.write(result, files.FORMAT))
        if config.save_predictions:
            predictions.save(saved, _described(tally.predictions(dataset.wnids), config, dataset))
    except OSError as error:
        place = saved if error.filename == str(saved) else found.file
        raise UserError(
            f"{place} was not written: {error.strerror}; the score is above, and --output=FILE "
            "writes it to another place"
        ) from None
    return found


def _described(said: Predictions, config: EvaluateConfig, dataset: Dataset) -> Predictions:
    """What was said of each image, with the texts and pictures that people know them by."""
    return dataclasses.replace(
        said,
        protocol=config.protocol,
        split=config.split,
        words=dataset.words,
        names=tuple(split_images.file_names(dataset, config.split)),
        pictures=split_images.pictures(dataset, config.split, mistakes.pictured(said)),
    )


def _place(members: Sequence[Member], result: files.Evaluation) -> pathlib.Path:
    """A file for each protocol and split, and for each other data set than the run's own."""
    prefix = "evaluation" if len(members) == 1 else "ensemble"
    name = f"{prefix}_{result.protocol}_{result.split}"
    if not result.own_data:
        named = result.manifest_sha256 or hashlib.sha256(str(result.data_dir).encode()).hexdigest()
        name += f"_on_{named[:8]}"
    return members[0].run.directory / f"{name}.json"


def _is_own_data(config: EvaluateConfig, member: Member) -> bool:
    """Whether the data set is the one that the run was trained on, wherever it lies now."""
    manifest = member.pipeline.dataset.manifest
    recorded: str | None = None
    with contextlib.suppress(OSError, typed_json.FileError):
        text = (member.run.directory / DATA_FILE).read_bytes()
        recorded = typed_json.read(text, files.Data, files.FORMAT).manifest_sha256
    if recorded and manifest:
        return recorded == manifest.sha256
    own = pathlib.Path(member.config.pipeline.data_dir)
    return not config.data_dir or own.resolve() == pathlib.Path(config.data_dir).resolve()


def _watched(member: Member, scored: Iterator[Scored], bar: tqdm) -> Iterator[Scored]:
    """The same; shows how far it is, and finds a net that does not tell images apart."""
    low, high = np.array(np.inf), np.array(-np.inf)
    images = 0
    for positions, labels, rows in scored:
        bar.update(len(positions))
        images += len(positions)
        low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
        yield positions, labels, rows
    member.constant.append(images > 1 and same_for_all(low, high))


def _mean(scored: Iterator[Iterator[Scored]], images: int, num_classes: int, passes: int) -> Scored:
    """The mean of several passes, each over all images in an order of its own.

    It holds every probability: 400 MB for ILSVRC's validation images.
    """
    labels = np.full(images, -1, np.int64)
    total = np.zeros([images, num_classes])
    for each in scored:
        for positions, found, probabilities in each:
            known = labels[positions]
            if not ((known == -1) | (known == found)).all():
                raise AssertionError("two runs were given different images")
            labels[positions] = found
            total[positions] += probabilities
    return np.arange(images), labels, total / passes


def _settings(config: EvaluateConfig, members: Sequence[Member]) -> dict[str, Any]:
    """What the result depends on, for its file."""
    first = members[0]
    dataset = first.pipeline.dataset
    settings: dict[str, Any] = {
        "protocol": config.protocol,
        "eval_map": first.plan.passes[0].eval_map,
        "eval_device_map": first.pipeline.config.eval_device_map,
        "split": config.split,
        "checkpoint": config.trained.checkpoint,
        "weights": config.trained.weights,
        "image_size": first.plan.image_size,
        "label_order": dataset.label_order,
        "scored": tuple(member.scored[0] for member in members),
        "data_dir": str(dataset.directory),
        "own_data": _is_own_data(config, first),
    }
    if config.protocol == "crops_144":
        settings["short_sides"] = tuple(first.plan.scales)
    else:
        settings["scales"] = tuple(first.plan.scales)
    if first.plan.enlarged:
        settings["enlarged_scales"] = tuple(first.plan.enlarged)
    if dataset.manifest is not None:
        settings["stored"] = dataset.manifest.settings.config_name()
        settings["manifest_sha256"] = dataset.manifest.sha256
    if len(members) > 1:
        settings["ensemble"] = tuple(str(member.run.directory) for member in members)
    return settings


def _table(
    members: Sequence[Member], config: EvaluateConfig, result: files.Evaluation
) -> list[str]:
    """The weights; ours beside the published errors of the first run's net, if any, in percent."""
    first = members[0]
    chosen = result.own_data and config.split == schema.VALIDATION
    lines = [_said_of(each, chosen=bool(chosen)) for each in result.scored]
    nets = f"{len(members)} nets, " if len(members) > 1 else ""
    scales = "".join(f" {scale}" for scale in first.plan.scales)
    rows: list[tuple[Any, ...]] = [
        (f"ours: {nets}{config.protocol}{scales}", 1 - result.top1, 1 - result.top5)
    ]
    entry = first.run.load_nets().entry(parse_call(first.config.net).name)
    if chosen and first.pipeline.dataset.num_classes == schema.ILSVRC2012_CLASSES:
        rows += [
            (
                f"published: {error.protocol}",
                *(None if e is None else e / 100 for e in (error.top1, error.top5)),
            )
            for error in entry.errors
        ]
    beside_published = len(rows) > 1
    lines += [f"{'error':>60}  top-1 %  top-5 %"] if beside_published else []
    for name, *errors in rows if beside_published else []:
        cells = "".join(f"{'-' if error is None else f'{100 * error:.2f}':>9}" for error in errors)
        lines.append(f"{name:>60}{cells}")
    published = schema.ILSVRC2012_IMAGES[schema.VALIDATION]
    if not result.own_data:
        lines.append(f"these are images of {result.data_dir}, not of the data set of the training")
    elif beside_published and result.images != published:
        lines.append(f"ours are {result.images:,} images, the published {published:,} of ILSVRC's")
    if first.plan.enlarged:
        enlarged = list(first.plan.enlarged)
        lines.append(f"scales {enlarged} enlarge the stored images ({result.stored})")
    remark = first.pipeline.dataset.remark
    return [remark, *lines] if remark else lines


def _said_of(weights: files.ScoredWeights, *, chosen: bool) -> str:
    kind = "averaged weights" if weights.averaged else "weights"
    line = f"{weights.run}: {kind} of step {weights.step} ({weights.checkpoint})"
    if weights.chosen_by_validation and chosen:
        line += ", chosen on these images: others are the fairer test"
    return line
