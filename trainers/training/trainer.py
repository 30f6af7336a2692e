"""One run in this process: the loop over the compiled steps, from the first to the last.

The compiled step (`train_step.py`) takes several steps for each call from Python. Between calls the
loop logs, evaluates, saves, and looks whether it was asked to stop.
"""

import math
import signal
import time
from types import FrameType, ModuleType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from base.spec import parse_call
from pipelines import input_pipeline
from pipelines.reading.dataset import Dataset
from trainers.config import TrainConfig
from trainers.run_folder import checkpoints
from trainers.run_folder.files import LoopState, Means, Result
from trainers.run_folder.folder import RESULT_FILE, Run
from trainers.run_folder.metrics import draw_curves
from trainers.training import models
from trainers.training.inquiry import Inquiry
from trainers.training.logbook import Logbook, SilentLogbook
from trainers.training.replicas import Workers
from trainers.training.schedules import SCHEDULES, Progress, with_warmup
from trainers.training.step import COLUMNS, GRADIENT_NORM, IMAGES, LOSS, MAX_STEPS, TrainStep
from trainers.training.validation import CenterCrop, Score

# A call from Python takes as many steps as fit in about this time: rare enough to cost nothing,
# often enough for a progress line and for stopping on a signal.
SECONDS_PER_CALL = 1.0
# More steps in a row with a value that is not finite end a run that skips them.
MAX_SKIPPED_IN_A_ROW = 10
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Trainer:
    """One run in this process: its model, optimizer and compiled steps."""

    def __init__(
        self,
        config: TrainConfig,
        dataset: Dataset,
        package: ModuleType,
        strategy: tf.distribute.Strategy,
        workers: Workers,
    ):
        """Builds the net from `package`: `nets`, or the copy that an interrupted run has of it."""
        self._config, self._dataset, self._strategy = config, dataset, strategy
        self._workers = workers
        self._batch_size = config.pipeline.train_batch_size
        self._steps_per_epoch = input_pipeline.steps_per_epoch(
            dataset, config.pipeline, hosts=workers.count
        )
        self._total_steps = config.train_steps or math.ceil(
            config.train_epochs * self._steps_per_epoch
        )
        keras.utils.set_random_seed(config.pipeline.seed)
        keras.mixed_precision.set_global_policy(config.precision)
        with strategy.scope():
            sizes = [
                input_pipeline.image_size(config.pipeline, epoch=epoch)
                for epoch, _ in config.pipeline.sizes_by_epoch() or [(0, 0)]
            ]
            self._at_sizes = models.AtSizes(
                [models.build(config, dataset, package, image_size=s) for s in dict.fromkeys(sizes)]
            )
            self._model = self._at_sizes.model
            self._evaluated = models.build(config, dataset, package, training=False)
            models.refuse_other_shapes(self._model, self._evaluated, "--train_map and --eval_map")
            self._step = TrainStep(
                config,
                self._model,
                parse_call(config.net).name,
                package,
                input_pipeline.device_map(dataset, config.pipeline, training=True),
                strategy,
                self._at_sizes,
            )
        self._schedule = with_warmup(SCHEDULES.make(config.schedule), config.warmup_epochs)
        self._protocol = CenterCrop(self._evaluated, dataset, config.pipeline, strategy)
        self._state = LoopState(
            step=0,
            label_order=dataset.label_order,
            validation_errors=[],
            window=[0.0] * COLUMNS,
        )
        self._stop_signal: int | None = None
        self._skipped, self._last_skipped = 0, -1

    def train(self, run: Run) -> Score:
        """Takes the steps that are left to the run; see `train`."""
        self._run = run
        self._restore()
        step = self._state.step
        self._logbook: Logbook = SilentLogbook()
        if self._workers.chief:
            self._logbook = Logbook(
                run.directory,
                resumed_step=step,
                total_steps=self._total_steps,
                steps_per_epoch=self._steps_per_epoch,
                tensorboard=self._config.tensorboard or self._config.tensorboard_images > 0,
            )
        self._logbook.say(f"run folder: {run.directory}")
        if step:
            self._logbook.say(f"continuing after step {step} of {self._total_steps}")
        self._inquiry = Inquiry(
            self._config,
            self._dataset,
            self._at_sizes,
            run.directory,
            self._strategy,
            self._workers,
            self._logbook,
        )
        handlers = {number: signal.signal(number, self._on_signal) for number in STOP_SIGNALS}
        try:
            score = self._run_steps()
            self._logbook.say(
                f"{run.directory}: validation {score.line()} over {score.images} images"
            )
        finally:
            self._logbook.close()
            for number, handler in handlers.items():
                signal.signal(number, handler)
        if self._workers.chief:
            draw_curves(run.directory, title=str(run.directory))
            run.write_json(
                RESULT_FILE, Result(step=self._state.step, validation=Means(**vars(score)))
            )
        return score

    def _run_steps(self) -> Score:
        """The loop itself. Ends at the last step, with the score of the last evaluation."""
        config, state, logbook = self._config, self._state, self._logbook
        if not state.step:
            self._inquiry.look_at_first_batch()
        iterator = self._training_batches(start=state.step)
        resized = [
            epoch * self._steps_per_epoch for epoch, _ in config.pipeline.sizes_by_epoch()[1:]
        ]
        profiled = config.profiled_steps() or ()
        evaluate_every = max(1, round(config.eval_epochs * self._steps_per_epoch))
        saved_at, steps_per_call = time.monotonic(), 1
        score: Score | None = None
        logbook.restart_clock()
        while state.step < self._total_steps:
            stops = (config.log_steps, evaluate_every, config.diagnose_steps or self._total_steps)
            next_stop = min(
                self._total_steps,
                *(_next_multiple(state.step, n) for n in stops),
                *(step for step in (*resized, *profiled) if step > state.step),
            )
            if state.step in profiled[:1]:
                logbook.start_profile()
            began = time.monotonic()
            self._steps(iterator, min(steps_per_call, next_stop - state.step))
            now = time.monotonic()
            if now - began < SECONDS_PER_CALL / 2:
                steps_per_call = min(2 * steps_per_call, MAX_STEPS)
            save = now - saved_at > 60 * config.checkpoint_minutes
            save, steps_per_call, stop = self._agreed(save, steps_per_call)

            if state.step in profiled[1:]:
                logbook.stop_profile()
            if state.step in resized:
                iterator = self._training_batches(start=state.step)
            last = state.step == self._total_steps
            if state.step == config.diagnose_steps:
                loss = state.window[LOSS] / state.window[IMAGES]
                self._inquiry.warn_of_chance(state.step, loss, self._learning_rate(state.step))
            if state.step % config.log_steps == 0 or last:
                logbook.train(state.step, state.window, self._learning_rate(state.step - 1))
                state.window = [0.0] * COLUMNS
            evaluated = state.step % evaluate_every == 0 or last
            if evaluated:
                score = self._evaluate()
                logbook.validation(state.step, score)
                state.validation_errors.append(1 - score.top1)
            if evaluated or save or stop:
                self._save(best=evaluated)
                saved_at = time.monotonic()
                logbook.restart_clock()
            if score and evaluated and self._may_stop(score):
                break
            if stop and not last:
                name = signal.Signals(stop).name
                logbook.say(f"{name}: saved at step {state.step}; the same command continues")
                raise SystemExit(0)
        if score is None:  # the run was interrupted after its last step
            score = self._evaluate()
        return score

    def _agreed(self, save: bool, steps_per_call: int) -> tuple[bool, int, int]:
        """What the first worker says of both, and a signal that any worker has got, or 0."""
        chief = self._workers.chief
        got = [self._stop_signal == number for number in STOP_SIGNALS]
        values = [save and chief, steps_per_call if chief else 0, *got]
        save_sum, steps, *counts = self._workers.sums([float(value) for value in values])
        signals = [number for number, count in zip(STOP_SIGNALS, counts, strict=True) if count]
        return save_sum > 0, int(steps), signals[0] if signals else 0

    def _may_stop(self, score: Score) -> bool:
        """Whether the run has reached its target, or has stopped improving."""
        config, errors = self._config, self._state.validation_errors
        if config.stop_at_top1 and score.top1 >= config.stop_at_top1:
            self._logbook.say(f"--stop_at_top1={config.stop_at_top1} is reached")
            return True
        waited = len(errors) - 1 - errors.index(min(errors))
        if config.stop_after_evaluations and waited >= config.stop_after_evaluations:
            self._logbook.say(f"{waited} evaluations in a row have set no new best")
            return True
        return False

    def _evaluate(self) -> Score:
        self._step.average_over_replicas()
        self._step.copy_weights_to(self._evaluated)
        return self._protocol.evaluate()

    def _steps(self, iterator: Any, count: int) -> None:
        """Takes `count` steps and adds their sums to the window."""
        state = self._state
        rates = [self._learning_rate(state.step + index) for index in range(count)]
        rows = self._step.take_steps(iterator, rates)
        finite = np.isfinite(rows[:, LOSS])
        if self._config.precision != "mixed_float16":
            finite &= np.isfinite(rows[:, GRADIENT_NORM])
        if not finite.all():
            self._answer_non_finite(finite)
            rows = np.where(finite[:, np.newaxis], rows, 0.0)
        state.window = (np.asarray(state.window) + rows.sum(axis=0)).tolist()
        state.step += count
        self._logbook.steps(state.step, rows, state.window)

    def _answer_non_finite(self, finite: np.ndarray) -> None:
        """Says what was not finite in the steps just taken; ends the run unless they are skipped.

        Args:
            finite: bool [K], for each step.
        """
        for index in np.flatnonzero(~finite):
            step = self._state.step + int(index)
            self._skipped = self._skipped + 1 if step == self._last_skipped + 1 else 1
            self._last_skipped = step
            if self._config.on_non_finite == "stop" or self._skipped > MAX_SKIPPED_IN_A_ROW:
                self._state.step = step
                self._inquiry.stop_for_non_finite(step)
            self._inquiry.tell_skipped(step)

    def _training_batches(self, start: int) -> Any:
        parts = self._strategy.num_replicas_in_sync * self._config.accumulation_steps
        part = self._batch_size // parts

        def batches_of(context: tf.distribute.InputContext) -> tf.data.Dataset:
            return input_pipeline.train(
                self._dataset,
                self._config.pipeline,
                batch_size=part,
                start=start,
                host=context.input_pipeline_id,
                hosts=context.num_input_pipelines,
            )

        return iter(self._strategy.distribute_datasets_from_function(batches_of))

    def _learning_rate(self, step: int) -> float:
        progress = Progress(
            step, self._steps_per_epoch, self._total_steps, self._state.validation_errors
        )
        return self._config.learning_rate * self._schedule(progress)

    def _save(self, *, best: bool) -> None:
        """Saves a checkpoint; after an evaluation it is also the best one if none was better.

        Where it cannot be written the run goes on, and says so: the one before is still there.
        """
        self._step.average_over_replicas()
        if not self._workers.chief:
            return
        try:
            path = checkpoints.save(
                self._run.checkpoints,
                self._variables(),
                self._state,
                keep=self._config.keep_checkpoints,
            )
        except OSError as error:
            self._logbook.say(
                f"warning: no checkpoint of step {self._state.step} was written to "
                f"{self._run.checkpoints} ({error.strerror}): the training goes on, free some space"
            )
            return
        errors = self._state.validation_errors
        if best and errors[-1] <= min(errors):
            checkpoints.mark_best(path)

    def _restore(self) -> None:
        """Takes up the newest checkpoint, if there is one."""
        checkpoint = checkpoints.load_latest(self._run.checkpoints)
        if checkpoint is None:
            return
        models.refuse_other_labels(checkpoint, self._dataset)
        checkpoint.restore(self._variables(), prefix="")
        self._state = checkpoint.state

    def _variables(self) -> dict[str, Any]:
        """Every variable that a checkpoint keeps, by name."""
        return checkpoints.model_variables(self._model) | self._step.variables()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop_signal = number


def _next_multiple(step: int, interval: int) -> int:
    return (step // interval + 1) * interval
