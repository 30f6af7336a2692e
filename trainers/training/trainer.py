"""A training in this process: its net, its optimizer, its compiled steps, and where they stand.

`loop` decides when each of these is called. The compiled step itself is in `step`.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from base.errors import UserError
from base.spec import parse_chain
from data_prep import schema
from pipelines.config import Phase
from pipelines.input_pipeline import InputPipeline
from trainers.config import TrainConfig
from trainers.run_folder import checkpoints
from trainers.run_folder.continuing import refuse_other_teacher, refuse_other_weights
from trainers.run_folder.files import InitialWeights, first_state
from trainers.run_folder.folder import Run
from trainers.training import models
from trainers.training.agenda import Agenda
from trainers.training.devices import gpus, memory
from trainers.training.devices.pace import stamped
from trainers.training.devices.replicas import Devices
from trainers.training.schedules import SCHEDULES, Position, with_warmup
from trainers.training.step import TrainStep
from trainers.training.teacher import Teacher
from trainers.training.validation import CenterCrop, Score
from trainers.weights.initial import open_source, take

# What TensorFlow and Python raise where there is no memory.
EXHAUSTED = (tf.errors.ResourceExhaustedError, MemoryError)


def average_decay(decay: float, step: int) -> float:
    """The decay of the averaged weights in the step that comes after `step` steps.

    It rises to --ema_decay with the training, so that the average is never mostly of the untrained
    weights: the rule of `tf.train.ExponentialMovingAverage` with `num_updates`, by which TF-Slim
    trained Inception v3.
    """
    return min(decay, (1 + step) / (10 + step))


class Trainer:
    """What one training is made of.

    Attributes:
        config: the run's flags.
        pipeline: where its batches come from.
        devices: what computes its steps.
        agenda: what is due when.
        net: what is trained.
        teacher: what teaches the net besides, by --teacher.
        on_device: the device chain of training; where a teacher teaches, with what it says.
        step: the step.
        compiled: whether XLA compiles it, and what evaluates.
        memory: what a step takes of each GPU's.
        initial: what it has begun with, by --init_from, in this process.
        state: where it stands.
    """

    def __init__(
        self, config: TrainConfig, pipeline: InputPipeline, package: ModuleType, devices: Devices
    ):
        """Builds the net from `package`: `nets`, or the copy that an interrupted run has of it.

        Raises:
            UserError: the flags name what there is not, or what does not fit.
        """
        self.config, self.pipeline, self.devices = config, pipeline, devices
        self.agenda = Agenda.of(config, pipeline.steps_per_epoch)
        with devices.strategy.scope():
            self.teacher = Teacher(config, pipeline) if config.teacher else None
        keras.utils.set_random_seed(config.pipeline.seed)
        keras.mixed_precision.set_global_policy(config.precision)
        with devices.strategy.scope():
            self.net = models.build_to_train(config, pipeline, package)
            self._evaluated = models.build(
                config,
                pipeline.dataset.num_classes,
                package,
                pipeline.chains(Phase.EVAL).image_size,
            )
            models.refuse_other_shapes(
                self.net.model, self._evaluated, "--train_map and --eval_map"
            )
            self.on_device = (self.teacher or pipeline.chains(Phase.TRAIN)).on_device
            self.compiled = devices.compiles(config.jit_compile, self.net.model)
            self.step = TrainStep(
                config, self.net, self.on_device, devices.strategy, compiled=self.compiled
            )
        self.memory = memory.Plan(
            needs=memory.estimate(
                self.net.model,
                self.step.optimizer.slots_per_variable,
                beside=self.teacher.bytes if self.teacher else 0,
            ),
            batch=config.pipeline.train_batch_size,
            replicas=devices.replicas,
            parts=config.accumulation_steps,
            limit=gpus.smallest_memory() if devices.gpus else None,
        )
        self._schedule = with_warmup(SCHEDULES.make(config.schedule), config.warmup_epochs)
        self._protocol = CenterCrop(self._evaluated, pipeline, devices, compiled=self.compiled)
        self.state = first_state(pipeline.dataset.label_order)
        self.initial: InitialWeights | None = None

    def take_initial_weights(self, run: Run | None) -> None:
        """Takes the weights that --init_from names, unless the run goes on from a checkpoint.

        Args:
            run: the one that is continued; None: a new one.

        Raises:
            UserError: there are no such weights, they do not fit, or the run has begun with others.
        """
        config, model = self.config, self.net.model
        if not config.init_from or (run and checkpoints.by_step(run.checkpoints)):
            return
        entry = self.net.package.entry(self.net.name)
        source = open_source(config, model, entry)
        head = tuple(f"{layer.name}/" for layer in models.head(model))
        self.initial = take(
            source,
            model,
            (*head, *entry.auxiliary_weights),
            self.pipeline.dataset.label_order,
            new_head=config.new_head,
        )
        if run:
            refuse_other_weights(run, self.initial)
        self.step.begin_averages()

    def begins_with(self) -> list[str]:
        """What is taken from elsewhere, and what is frozen, in lines."""
        lines = [f"weights: {self.initial.line()}"] if self.initial else []
        lines += [f"teacher: {self.teacher.weights.line()}"] if self.teacher else []
        before, now = self.initial and self.initial.device_map, self.config.pipeline.eval_device_map
        if before and parse_chain(before) != parse_chain(now):
            lines.append(f"note: their images were normalised by {before}, these are by {now}")
        if self.config.freeze:
            layers = [layer for layer in self.net.model.layers if layer.weights]
            frozen = sum(not layer.trainable for layer in layers)
            lines.append(f"frozen: {frozen} of {len(layers)} layers with weights")
        if self.config.layer_decay < 1:
            blocks = len(models.blocks_of(self.net.model))
            lowest = self.config.learning_rate * self.config.layer_decay**blocks
            lines.append(f"layer decay: {blocks} blocks, the first one's rate is {lowest:.2g}")
        return lines

    def announcement(self) -> list[str]:
        """What is about to be trained, on what, and how long, in three lines."""
        dataset, agenda = self.pipeline.dataset, self.agenda
        grows = " at first" if len(self.config.pipeline.sizes_by_epoch()) > 1 else ""
        height, width = self.pipeline.chains(Phase.TRAIN).image_size
        kind = "GPU" if self.devices.gpus else "CPU"
        images = {split: dataset.num_records(split) for split in schema.SPLITS}
        batch = self.config.pipeline.train_batch_size
        counted = "trained parameters" if self.config.freeze else "parameters"
        compiles = "XLA compiles in the first step" if self.compiled else "the first step compiles"
        if self.compiled and self.devices.gpus:
            compiles += ", about half a minute"
        return [
            f"net: {self.config.net}, {self.net.parameters:,} {counted}, {self.config.precision}, "
            f"{self.devices.replicas} x {kind}",
            f"data: {dataset.directory or 'synthetic'}, {images[schema.TRAIN]:,} images of "
            f"{dataset.num_classes} classes, {images[schema.VALIDATION]:,} to validate on, as "
            f"{height}x{width}{grows}",
            f"steps: {agenda.steps_per_epoch:,} an epoch of {batch:,} images each, "
            f"{agenda.total_steps:,} in all; {compiles}",
        ]

    def batches(self, *, repeat_first: bool = False) -> Any:
        """A distributed iterator over the batches that the steps from here on take.

        Args:
            repeat_first: give the first one again and again, from memory.
        """
        parts = self.devices.replicas * self.config.accumulation_steps
        part = self.config.pipeline.train_batch_size // parts

        def made() -> Any:
            batches = self.pipeline.train(part, start=self.state.step)
            batches = batches.take(1).cache().repeat() if repeat_first else batches
            # There is always a next batch; not knowing it, several machines would ask each other.
            endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
            return stamped(batches).apply(endless)

        return self.devices.distribute(made)

    def take_steps(
        self, batches: Any, count: int, rates: Sequence[float] | None = None
    ) -> np.ndarray:
        """Takes the next `count` steps; their rows, as `TrainStep.take_steps` gives them.

        The state is left as it is: the rows may say that a step failed.

        Args:
            batches: what `batches` gave.
            count: how many steps.
            rates: their learning rates; None: as the flags say.

        Raises:
            UserError: a device's memory is not enough.
        """
        first = self.state.step
        steps = range(first, first + count)
        rates = [self.learning_rate(step) for step in steps] if rates is None else rates
        decays = [average_decay(self.config.ema_decay, step) for step in steps]
        try:
            return self.step.take_steps(batches, rates, decays)
        except EXHAUSTED:
            raise self.memory.out_of_memory() from None

    def learning_rate(self, step: int) -> float:
        """The rate of the step that comes after `step` steps."""
        agenda = self.agenda
        position = Position(
            step, agenda.steps_per_epoch, agenda.total_steps, self.state.validation_errors
        )
        return self.config.learning_rate * self._schedule(position)

    def evaluate(self) -> Score:
        """Scores the net as it is now on the validation images.

        Raises:
            UserError: a device's memory is not enough.
        """
        self.step.average_over_replicas()
        self.step.copy_weights_to(self._evaluated)
        try:
            return self._protocol.evaluate()
        except EXHAUSTED:
            raise UserError(
                "out of memory in the evaluation: lower --eval_batch_size "
                f"({self.config.pipeline.eval_batch_size})"
            ) from None

    def save(self, run: Run, *, evaluated: bool) -> None:
        """Saves a checkpoint; one that was evaluated is the best, too, if that is no better.

        What counts is the one that is there: a better one that the disk had no room for is lost.
        All workers have to call it; the first one writes. An OSError leaves those before.
        """
        self.step.average_over_replicas()
        if not self.devices.workers.chief:
            return
        path = checkpoints.save(
            run.checkpoints,
            self._variables(),
            self.state,
            keep=self.config.keep_checkpoints,
        )
        if evaluated:
            best = checkpoints.best_state(run.checkpoints)
            errors = best.validation_errors if best else []
            if not errors or self.state.validation_errors[-1] <= errors[-1]:
                checkpoints.mark_best(path)

    def restore(self, run: Run) -> None:
        """Takes up the run's newest checkpoint, if there is one.

        Raises:
            UserError: it does not fit the net, was trained with another label order, or was taught
                by another teacher.
        """
        if self.teacher:
            refuse_other_teacher(run, self.teacher.weights)
        checkpoint = checkpoints.load_latest(run.checkpoints)
        if checkpoint is None:
            return
        models.refuse_other_labels(checkpoint, self.pipeline.dataset)
        checkpoint.restore(self._variables(), prefix="")
        self.state = checkpoint.state

    def _variables(self) -> dict[str, Any]:
        """Every variable that a checkpoint keeps, by name."""
        return checkpoints.model_variables(self.net.model) | self.step.variables()
