"""The runs of an evaluation: opened on one data set, and what each says of its images."""

import dataclasses
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from base.errors import UserError
from base.spec import parse_call, parse_chain
from pipelines.config import SYNTHETIC, PipelineConfig
from pipelines.input_pipeline import InputPipeline
from pipelines.reading.dataset import open_dataset
from trainers.config import TrainConfig
from trainers.run_folder.files import ScoredWeights
from trainers.run_folder.finding import find_run
from trainers.run_folder.folder import Run
from trainers.scoring import protocols
from trainers.scoring.config import EvaluateConfig
from trainers.scoring.probabilities import Scored, class_scores, log_softmax
from trainers.scoring.protocols import Plan, Views
from trainers.training import models


@dataclasses.dataclass(frozen=True)
class Member:
    """One run of an ensemble, opened, with the plan of how images are shown to it.

    `scored` are the weights that it was scored with, once it was; `constant` says of each pass
    whether the net gave the same logits for all images.
    """

    run: Run
    config: TrainConfig
    pipeline: InputPipeline
    plan: Plan
    scored: list[ScoredWeights] = dataclasses.field(default_factory=list)
    constant: list[bool] = dataclasses.field(default_factory=list)


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
    """One pass of one run over the split: positions, labels, probabilities float64 [k, N]."""
    for positions, labels, scores in member_scores(member, views, config, strategy):
        yield positions, labels, np.exp(log_softmax(scores))


def member_scores(
    member: Member, views: Views, config: EvaluateConfig, strategy: tf.distribute.Strategy
) -> Iterator[Scored]:
    """One pass of one run over the split; see `class_scores`."""
    with strategy.scope():
        model = _model(member, views, config)
    flags = dataclasses.replace(member.pipeline.config, eval_map=views.eval_map)
    pipeline = InputPipeline(member.pipeline.dataset, flags)
    return class_scores(model, pipeline, views, strategy, config.split)


def _model(member: Member, views: Views, config: EvaluateConfig) -> keras.Model:
    try:
        model, scored = models.open_trained(
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
    member.scored.append(scored)
    if not views.whole:
        return model
    call = parse_call(member.config.net)
    try:
        return member.run.load_nets().fully_convolutional(call.name, model, **call.keywords)
    except ValueError as error:
        raise UserError(f"--protocol={config.protocol}: {error}") from None
