"""The compiled training step, the same function of the global batch on any number of replicas.

Each replica computes the gradient of its part of loss / global batch; the gradients are summed over
replicas once, before clipping and the optimizer see them, so every replica then takes the same
step. A step whose gradient is not finite changes no weights.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainers.config import TrainConfig
from trainers.run_folder import checkpoints
from trainers.training import losses
from trainers.training.models import TrainedNet
from trainers.training.optimizers import OPTIMIZERS, Optimizer
from trainers.training.replicas import mean_over_replicas

Batch = dict[str, tf.Tensor]

# Columns of what a step reports: sums over the global batch, the number of steps (1), the norm of
# the gradient, and the seconds that the step waited for its data.
LOSS, TOP1, TOP5, IMAGES, STEPS, GRADIENT_NORM, INPUT_WAIT = range(7)
COLUMNS = 7

# Steps that one call takes at most.
MAX_STEPS = 512

# Dynamic loss scaling (Micikevicius et al. 2018, section 3.2): halved when a gradient overflows,
# doubled after this many steps without.
FIRST_LOSS_SCALE = 2.0**15
STEPS_TO_DOUBLE = 2000


class TrainStep:
    """The step of one model: its variables, and the compiled function that takes several steps.

    To be made in the strategy's scope.
    """

    def __init__(
        self,
        config: TrainConfig,
        net: TrainedNet,
        on_device: Callable[[Batch], Batch],
        strategy: tf.distribute.Strategy,
    ):
        """Makes the optimizer's variables.

        Args:
            config: the run's flags.
            net: what is trained.
            on_device: the device chain of training.
            strategy: the strategy, whose scope is the current one.
        """
        self._config, self._net, self._strategy = config, net, strategy
        self._on_device = on_device
        self._model = model = net.model
        nets = net.package
        self._heads: Mapping[str, float] = nets.entry(net.name).auxiliary_weights
        self._loss = losses.LOSSES.make(config.loss)
        self._decayed = nets.decay_variables(net.name, model)
        if config.decayed == "kernels":
            self._decayed = [v for v in self._decayed if v.name == "kernel"]
        self.optimizer = Optimizer(
            OPTIMIZERS.make(config.optimizer),
            model.trainable_variables,
            decay=config.decoupled_weight_decay,
            decayed=self._decayed,
            bias_rate_factor=config.bias_rate_factor,
        )
        self._scaled = config.precision == "mixed_float16"
        self._loss_scale = tf.Variable(FIRST_LOSS_SCALE if self._scaled else 1.0, trainable=False)
        self._steps_at_scale = tf.Variable(0, trainable=False)
        self._averages = [
            tf.Variable(variable.value, trainable=False)
            for variable in (model.weights if config.ema_decay else ())
        ]
        gradients = self._gradients
        if config.jit_compile:
            gradients = tf.function(gradients, jit_compile=True, autograph=False)
        self._compiled_gradients = gradients
        self._average_statistics = tf.function(
            lambda: strategy.run(self._replica_average), autograph=False
        )
        # AutoGraph converts the loop over steps alone: what is inside has nothing to convert, and
        # tracing it took many times longer.
        self._one_step = tf.autograph.experimental.do_not_convert(self._replica_step)
        self._compiled_steps = tf.function(self._take_steps)

    def variables(self) -> dict[str, Any]:
        """Everything beside the model that a checkpoint must keep, by name."""
        named: dict[str, Any] = {
            f"optimizer/{name}": variable for name, variable in self.optimizer.variables().items()
        }
        if self._scaled:
            named["loss_scale/value"] = self._loss_scale
            named["loss_scale/steps"] = self._steps_at_scale
        if self._averages:
            paths = (variable.path for variable in self._model.weights)
            names = (checkpoints.AVERAGES + path for path in paths)
            named |= dict(zip(names, self._averages, strict=True))
        return named

    def average_over_replicas(self) -> None:
        """Makes every replica's batch-normalisation statistics the mean of all replicas'.

        Each replica keeps its own while training (Keras gives them no aggregation); evaluating or
        saving without this would take the first replica's.
        """
        if self._strategy.num_replicas_in_sync > 1:
            self._average_statistics()

    def copy_weights_to(self, model: keras.Model) -> None:
        """Gives another build of the same net the weights to evaluate: the averages, if any."""
        weights = self._averages or [variable.value for variable in self._model.weights]
        for variable, value in zip(model.weights, weights, strict=True):
            variable.assign(value)

    def take_steps(self, iterator: Any, rates: Sequence[float]) -> np.ndarray:
        """Takes one step for each learning rate, up to one with a gradient that is not finite.

        Args:
            iterator: a distributed iterator over the training batches.
            rates: K learning rates, MAX_STEPS at most.

        Returns:
            float64 [K, COLUMNS], a row for each step, zeros for those not taken. With float16 a
            norm that is not finite is an overflow, which the loss scale answers to, and no end;
            with --on_non_finite=skip it is no end either.
        """
        # Always of the same shape: every other one would be traced anew.
        padded = np.zeros(MAX_STEPS, np.float32)
        padded[: len(rates)] = rates
        rows = self._compiled_steps(iterator, tf.constant(padded), tf.constant(len(rates)))
        return rows.numpy().astype(np.float64)

    def _take_steps(self, iterator: Any, rates: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        stops = self._config.on_non_finite == "stop" and not self._scaled
        rows = tf.TensorArray(tf.float32, size=count, element_shape=[COLUMNS])
        ended = tf.timestamp()
        for index in tf.range(count):
            self.optimizer.rate.assign(rates[index])
            batches = [next(iterator) for _ in range(self._config.accumulation_steps)]
            with tf.control_dependencies(tf.nest.flatten(batches, expand_composites=True)):
                waited = tf.maximum(tf.timestamp() - ended, 0.0)
            row = self._strategy.run(self._one_step, args=(batches,))
            row = self._strategy.experimental_local_results(row)[0]
            with tf.device("/cpu:0"), tf.control_dependencies([tf.identity(row)]):
                ended = tf.timestamp()
            rows = rows.write(index, tf.concat([row, [tf.cast(waited, tf.float32)]], axis=0))
            if stops and not tf.math.is_finite(row[GRADIENT_NORM]):
                break
        return rows.stack()

    def _replica_step(self, batches: Sequence[Batch]) -> tf.Tensor:
        """One step in one replica; returns the row of the global batch, the same on each."""
        skips = self._config.on_non_finite == "skip"
        statistics = [v.value for v in self._model.non_trainable_weights] if skips else []
        before = [tf.identity(variable) for variable in statistics]
        sums, gradients = self._compiled_gradients(batches[0])
        for batch in batches[1:]:
            # One after the other: side by side, their activations would fill the memory that
            # accumulation is there to save.
            with tf.control_dependencies(gradients):
                batch = tf.nest.map_structure(tf.identity, batch)
            more_sums, more = self._compiled_gradients(batch)
            sums += more_sums
            gradients = [a + b for a, b in zip(gradients, more, strict=True)]
        context = tf.distribute.get_replica_context()
        sums = context.all_reduce(tf.distribute.ReduceOp.SUM, sums)
        gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        if self._scaled:
            gradients = [gradient / self._loss_scale for gradient in gradients]
        norm = tf.linalg.global_norm(gradients)
        finite = tf.math.is_finite(norm)

        def apply() -> tf.Tensor:
            self.optimizer.apply(self._clipped(gradients, norm))
            if self._averages:
                self._update_averages()
            return tf.constant(True)

        tf.cond(finite, apply, lambda: tf.constant(False))
        for variable, value in zip(statistics, before, strict=True):
            variable.assign(tf.where(finite, variable, value))
        if self._scaled:
            self._update_loss_scale(finite)
        return tf.concat([sums, [1.0, norm]], axis=0)

    def _replica_average(self) -> None:
        statistics = [
            copy[index]
            for copy in ([variable.value for variable in self._model.weights], self._averages)
            for index, variable in enumerate(self._model.weights)
            if copy and not variable.trainable
        ]
        values = [tf.identity(variable) for variable in statistics]
        if values:
            context = tf.distribute.get_replica_context()
            means = context.all_reduce(tf.distribute.ReduceOp.MEAN, values)
            for variable, mean in zip(statistics, means, strict=True):
                variable.assign(mean)

    def _gradients(self, batch: Batch) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The sums of one batch (float32 [4]), and the gradients of its part of the loss."""
        config = self._config
        batch = self._on_device(batch)
        labels = batch["label"]
        replicas = self._strategy.num_replicas_in_sync
        with tf.GradientTape() as tape:
            with (
                self._net.package.example_seeds(batch["seed"]),
                self._net.package.replica_means(mean_over_replicas),
            ):
                outputs = self._net(batch["image"])
            objective, logits = losses.with_auxiliary_heads(
                outputs,
                labels,
                self._heads,
                loss=self._loss,
                label_smoothing=config.label_smoothing,
            )
            penalty = losses.l2_penalty(self._decayed, config.weight_decay)
            loss = tf.reduce_sum(objective) / config.pipeline.train_batch_size
            loss += penalty / (replicas * config.accumulation_steps)
            scaled_loss = loss * self._loss_scale
        gradients = tape.gradient(scaled_loss, self._model.trainable_variables)
        columns = (
            objective,
            losses.correct(logits, labels, 1),
            losses.correct(logits, labels, losses.TOP_K),
            tf.ones_like(objective),
        )
        return tf.stack([tf.reduce_sum(column) for column in columns]), gradients

    def _clipped(self, gradients: Sequence[tf.Tensor], norm: tf.Tensor) -> Sequence[tf.Tensor]:
        """The gradients, scaled down to a global norm of at most --clip_norm."""
        limit = self._config.clip_norm
        if not limit:
            return gradients
        factor = limit / tf.maximum(norm, limit)
        return [gradient * factor for gradient in gradients]

    def _update_averages(self) -> None:
        """average += (1 - decay) * (variable - average), for every float weight of the model."""
        for average, variable in zip(self._averages, self._model.weights, strict=True):
            value = tf.convert_to_tensor(variable.value)
            average.assign_add((1 - self._config.ema_decay) * (value - average))

    def _update_loss_scale(self, finite: tf.Tensor) -> None:
        """Halves the loss scale after an overflow, doubles it after enough steps without."""
        steps = tf.where(finite, self._steps_at_scale + 1, 0)
        double = steps >= STEPS_TO_DOUBLE
        factor = tf.where(finite, tf.where(double, 2.0, 1.0), 0.5)
        self._loss_scale.assign(tf.maximum(1.0, self._loss_scale * factor))
        self._steps_at_scale.assign(tf.where(double, 0, steps))
