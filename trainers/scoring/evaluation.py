"""Scores trained runs by one of the papers' protocols: one run, or an ensemble of several."""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from base.errors import UserError
from base.spec import parse_call, parse_chain
from data_prep import schema
from pipelines.config import SYNTHETIC, PipelineConfig
from pipelines.input_pipeline import InputPipeline
from pipelines.reading.dataset import open_dataset
from trainers.config import TrainConfig
from trainers.run_folder import files
from trainers.run_folder.finding import find_run
from trainers.run_folder.folder import Run
from trainers.scoring import protocols
from trainers.scoring.config import EvaluateConfig
from trainers.scoring.probabilities import class_probabilities
from trainers.scoring.protocols import Plan, Views
from trainers.scoring.real_labels import read_real_labels
from trainers.scoring.tally import Tally
from trainers.training import models
from trainers.training.devices.replicas import open_devices
from trainers.training.validation import Score

Scored = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        score: the means.
        result: everything, as in the file.
        file: the JSON file that keeps it, in the folder of the first run.
        table: lines for people: ours beside what is published.
    """

    score: Score
    result: files.Evaluation
    file: pathlib.Path
    table: list[str]


@dataclasses.dataclass(frozen=True)
class Member:
    """One run of an ensemble, opened, with the plan of how images are shown to it."""

    run: Run
    config: TrainConfig
    pipeline: InputPipeline
    plan: Plan


def evaluate(config: EvaluateConfig) -> Evaluation:
    """Scores runs over every image of a split, each exactly once.

    Raises:
        UserError: a run, its checkpoint or the data set is missing, or they do not fit; the
            protocol does not fit the data set or the net.
    """
    strategy = open_devices(config.replicas).strategy
    members = open_members(config)
    dataset = members[0].pipeline.dataset
    images = dataset.num_records(config.split)
    real = read_real_labels(config.real_labels, dataset) if config.real_labels else None
    tally = Tally(images)
    passes = [(member, views) for member in members for views in member.plan.passes]
    bar = tqdm(total=images * len(passes), unit="image", leave=False, disable=None)
    scored = (
        _watched(member_probabilities(member, views, config, strategy), bar)
        for member, views in passes
    )
    if len(passes) == 1:
        for positions, labels, probabilities in next(scored):
            tally.add(positions, labels, probabilities)
    else:
        tally.add(*_mean(scored, images, dataset.num_classes, len(passes)))
    bar.close()
    result = files.Evaluation(**_settings(config, members), **tally.result(dataset.wnids, real))
    prefix = "evaluation" if len(members) == 1 else "ensemble"
    name = f"{prefix}_{config.protocol}_{config.split}.json"
    members[0].run.write_json(name, result)
    assert result.loss is not None  # infinite, perhaps, but counted
    score = Score(images, result.loss, result.top1, result.top5)
    return Evaluation(
        score, result, members[0].run.directory / name, _table(members, config, result)
    )


def open_members(config: EvaluateConfig) -> list[Member]:
    """Opens every run, all of them on one data set. Raises UserError as `evaluate`."""
    members: list[Member] = []
    for directory in config.run:
        run = find_run(directory)
        train_config = run.config()
        first = members[0].pipeline.config.data_dir if members else train_config.pipeline.data_dir
        flags = dataclasses.replace(
            train_config.pipeline,
            data_dir=config.data_dir or first,
            eval_batch_size=config.eval_batch_size or train_config.pipeline.eval_batch_size,
            eval_device_map=config.eval_device_map or train_config.pipeline.eval_device_map,
        )
        if flags.data == SYNTHETIC:
            raise UserError(
                f"{run.directory} was trained with --data={SYNTHETIC}: nothing to score"
            )
        dataset = open_dataset(flags)
        if members and dataset.label_order != members[0].pipeline.dataset.label_order:
            raise UserError(
                f"--run: {run.directory} has {dataset.num_classes} classes in another order than "
                f"{members[0].run.directory}: their probabilities cannot be averaged"
            )
        pipeline = InputPipeline(dataset, flags)
        plan = protocols.plan(config, pipeline)
        _refuse_mean_image(plan, flags)
        members.append(Member(run, train_config, pipeline, plan))
    return members


def _refuse_mean_image(plan: Plan, pipeline: PipelineConfig) -> None:
    """A mean image fits the crops of one size; whole images have other sizes."""
    for call in parse_chain(pipeline.eval_device_map):
        values = (*call.arguments, *call.keywords.values())
        if any(views.whole for views in plan.passes) and "image" in values:
            raise UserError(
                f"--eval_device_map={pipeline.eval_device_map} subtracts a mean image, which whole "
                "images have no place for: give --eval_device_map=subtract_mean"
            )


def member_probabilities(
    member: Member, views: Views, config: EvaluateConfig, strategy: tf.distribute.Strategy
) -> Iterator[Scored]:
    """One pass of one run over the split; see `class_probabilities`."""
    with strategy.scope():
        model = _model(member, views, config)
    flags = dataclasses.replace(member.pipeline.config, eval_map=views.eval_map)
    pipeline = InputPipeline(member.pipeline.dataset, flags)
    return class_probabilities(model, pipeline, views, strategy, config.split)


def _model(member: Member, views: Views, config: EvaluateConfig) -> keras.Model:
    try:
        model = models.load_trained(
            member.run,
            member.config,
            member.pipeline.dataset,
            config.trained,
            image_size=member.plan.image_size,
        )
    except UserError as error:
        if config.image_size:
            raise UserError(f"--image_size={config.image_size}: {error}") from None
        raise
    if not views.whole:
        return model
    call = parse_call(member.config.net)
    try:
        return member.run.load_nets().fully_convolutional(call.name, model, **call.keywords)
    except ValueError as error:
        raise UserError(f"--protocol={config.protocol}: {error}") from None


def _watched(scored: Iterator[Scored], bar: tqdm) -> Iterator[Scored]:
    for positions, labels, probabilities in scored:
        bar.update(len(positions))
        yield positions, labels, probabilities


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
    settings: dict[str, Any] = {
        "protocol": config.protocol,
        "eval_map": first.plan.passes[0].eval_map,
        "eval_device_map": first.pipeline.config.eval_device_map,
        "split": config.split,
        "checkpoint": config.trained.checkpoint,
        "weights": config.trained.weights,
        "image_size": first.plan.image_size,
        "label_order": first.pipeline.dataset.label_order,
    }
    if config.protocol == "crops_144":
        settings["short_sides"] = tuple(first.plan.scales)
    else:
        settings["scales"] = tuple(first.plan.scales)
    if first.plan.enlarged:
        settings["enlarged_scales"] = tuple(first.plan.enlarged)
    if first.pipeline.dataset.manifest is not None:
        settings["stored"] = first.pipeline.dataset.manifest.settings.config_name()
    if len(members) > 1:
        settings["ensemble"] = tuple(str(member.run.directory) for member in members)
    return settings


def _table(
    members: Sequence[Member], config: EvaluateConfig, result: files.Evaluation
) -> list[str]:
    """Ours beside the published errors of the first run's net, in percent; both with protocols."""
    first = members[0]
    nets = f"{len(members)} nets, " if len(members) > 1 else ""
    scales = "".join(f" {scale}" for scale in first.plan.scales)
    rows: list[tuple[Any, ...]] = [
        (f"ours: {nets}{config.protocol}{scales}", 1 - result.top1, 1 - result.top5)
    ]
    entry = first.run.load_nets().entry(parse_call(first.config.net).name)
    if (
        first.pipeline.dataset.num_classes == schema.ILSVRC2012_CLASSES
        and config.split == schema.VALIDATION
    ):
        rows += [
            (
                f"published: {error.protocol}",
                *(None if e is None else e / 100 for e in (error.top1, error.top5)),
            )
            for error in entry.errors
        ]
    lines = [f"{'error':>60}  top-1 %  top-5 %"]
    for name, *errors in rows:
        cells = "".join(f"{'-' if error is None else f'{100 * error:.2f}':>9}" for error in errors)
        lines.append(f"{name:>60}{cells}")
    if first.plan.enlarged:
        enlarged = list(first.plan.enlarged)
        lines.append(f"scales {enlarged} enlarge the stored images ({result.stored})")
    return [first.pipeline.dataset.remark, *lines] if first.pipeline.dataset.remark else lines
