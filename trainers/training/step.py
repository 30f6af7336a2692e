"""The compiled training step, the same function of the global batch on any number of replicas.

Each replica computes the gradient of its part of loss / global batch; the gradients are summed over
replicas once, before clipping and the optimizer see them, so every replica then takes the same
step. A step whose gradient is not finite changes nothing.

Nothing in a step makes the host wait for a GPU, or the GPU would stand idle while the host starts
the next step's kernels: no condition and no end of the loop depends on a value of the device
(`Select` chooses between new and old values instead), the loop's counter lives where the host can
read it, and there is no operation with side effects on the CPU.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainers.config import TrainConfig
from trainers.run_folder import checkpoints
from trainers.run_folder.files import COLUMNS
from trainers.training import losses
from trainers.training.devices import gpus
from trainers.training.devices.pace import READY, waited
from trainers.training.devices.replicas import mean_over_replicas
from trainers.training.models import TrainedNet, rate_factors
from trainers.training.optimizers import OPTIMIZERS, Optimizer, chosen
from trainers.training.teacher import TAUGHT

Batch = dict[str, tf.Tensor]

# Columns of what a step reports: sums over the global batch, the number of steps (1), the norm of
# the gradient, and the seconds that the step waited for its data.
LOSS, TOP1, TOP5, IMAGES, STEPS, GRADIENT_NORM, INPUT_WAIT = range(COLUMNS)

# Steps that one call takes at most.
MAX_STEPS = 512

# Dynamic loss scaling (Micikevicius et al. 2018, section 3.2): halved when a gradient overflows,
# doubled after this many steps without.
FIRST_LOSS_SCALE = 2.0**15
STEPS_TO_DOUBLE = 2000


class TrainStep:
    """The step of one model: its variables, and the compiled function that takes several steps.

    To be made in the strategy's scope.

    Attributes:
        objective: what it minimises, of each example.
        optimizer: what changes the weights.
    """

    def __init__(
        self,
        config: TrainConfig,
        net: TrainedNet,
        on_device: Callable[[Batch], Batch],
        strategy: tf.distribute.Strategy,
        *,
        compiled: bool = False,
    ):
        """Makes the optimizer's variables.

        Args:
            config: the run's flags.
            net: what is trained.
            on_device: the device chain of training; where a teacher teaches, with what it says.
            strategy: the strategy, whose scope is the current one.
            compiled: whether XLA compiles the gradients, and the update.
        """
        self._config, self._net, self._strategy = config, net, strategy
        self._on_device = on_device
        self._model = model = net.model
        nets = net.package
        self.objective = losses.objective(
            config, nets.entry(net.name).auxiliary_weights, model.output_names
        )
        self._decayed = nets.decay_variables(net.name, model)
        if config.decayed == "kernels":
            self._decayed = [v for v in self._decayed if v.name == "kernel"]
        self.optimizer = Optimizer(
            OPTIMIZERS.make(config.optimizer),
            model.trainable_variables,
            decay=config.decoupled_weight_decay,
            decayed=self._decayed,
            bias_rate_factor=config.bias_rate_factor,
            rate_factors=rate_factors(model, config),
        )
        # What moves though it is not trained: statistics, but for those of frozen layers.
        self._statistics = [
            variable
            for layer in model.layers
            if layer.trainable
            for variable in layer.non_trainable_weights
        ]
        self._scaled = config.precision == "mixed_float16"
        self._loss_scale = tf.Variable(FIRST_LOSS_SCALE if self._scaled else 1.0, trainable=False)
        self._steps_at_scale = tf.Variable(0, trainable=False)
        self._averages = [
            tf.Variable(variable.value, trainable=False)
            for variable in (model.weights if config.ema_decay else ())
        ]
        # Whether no gradient was other than finite since the call of take_steps began.
        self._alive = tf.Variable(True, trainable=False)
        self._compiled_gradients = maybe_compiled(self._gradients, compiled)
        self._compiled_update = maybe_compiled(self._update, compiled)
        self._average_statistics = tf.function(
            lambda: strategy.run(self._replica_average), autograph=False
        )
        # Nothing here is for AutoGraph to convert, and with it tracing took many times longer.
        self._compiled_steps = tf.function(self._take_steps, autograph=False)

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

    def begin_averages(self) -> None:
        """Has the averages, if any, be the weights as they are now."""
        for average, variable in zip(self._averages, self._model.weights, strict=False):
            average.assign(variable.value)

    def copy_weights_to(self, model: keras.Model) -> None:
        """Gives another build of the same net the weights to evaluate: the averages, if any."""
        weights = self._averages or [variable.value for variable in self._model.weights]
        for variable, value in zip(model.weights, weights, strict=True):
            variable.assign(value)

    def take_steps(
        self, iterator: Any, rates: Sequence[float], decays: Sequence[float] | None = None
    ) -> np.ndarray:
        """Takes one step for each learning rate, up to one with a gradient that is not finite.

        Args:
            iterator: a distributed iterator over the training batches.
            rates: K learning rates, MAX_STEPS at most.
            decays: of the averaged weights, for each step; None: --ema_decay.

        Returns:
            float64 [K, COLUMNS], a row for each step, zeros for those not taken. With float16 a
            norm that is not finite is an overflow, which the loss scale answers to, and no end;
            with --on_non_finite=skip it is no end either.
        """
        # Always of the same shape: every other one would be traced anew.
        padded = np.zeros([MAX_STEPS, 2], np.float32)
        padded[: len(rates), 0] = rates
        padded[: len(rates), 1] = 1 - np.array(decays or [self._config.ema_decay] * len(rates))
        traces, began = self._traces(), time.time()
        rows, ready = self._compiled_steps(iterator, tf.constant(padded), tf.constant(len(rates)))
        rows = rows.numpy().astype(np.float64)
        if self._traces() == traces:  # else the time went into tracing, and the data was there
            rows[:, INPUT_WAIT] = rows[:, STEPS] * waited(ready.numpy(), began, time.time())
        return rows

    def _traces(self) -> int:
        return self._compiled_steps.experimental_get_tracing_count()

    def _take_steps(
        self, iterator: Any, rates: tf.Tensor, count: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        self._alive.assign(True)
        with tf.device(self._strategy.extended.worker_devices[0]):
            # A GPU's integers of this type lie in the host's memory, so that the host knows them.
            count, rates = tf.identity(count), tf.identity(rates)
            begin = tf.zeros_like(count)
        rows = tf.TensorArray(tf.float32, size=count, element_shape=[COLUMNS])
        ready = tf.TensorArray(tf.float64, size=count, element_shape=[])

        def take_step(
            index: tf.Tensor, rows: tf.TensorArray, ready: tf.TensorArray
        ) -> tuple[tf.Tensor, tf.TensorArray, tf.TensorArray]:
            batches = [next(iterator) for _ in range(self._config.accumulation_steps)]
            results = self._strategy.run(self._replica_step, args=(batches, rates[index]))
            row, there = (self._strategy.experimental_local_results(each)[0] for each in results)
            return index + 1, rows.write(index, row), ready.write(index, there)

        _, rows, ready = tf.while_loop(
            lambda index, *_: index < count, take_step, (begin, rows, ready), parallel_iterations=1
        )
        return rows.stack(), ready.stack()

    def _replica_step(
        self, batches: Sequence[Batch], rate: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """One step in one replica: the row of the global batch, and when its data was there."""
        batches = [dict(batch) for batch in batches]
        ready = [batch.pop(READY) for batch in batches]
        before = [tf.identity(variable.value) for variable in self._statistics]
        sums, gradients = self._compiled_gradients(batches[0])
        for batch in batches[1:]:
            # One after the other: side by side, their activations would fill the memory that
            # accumulation is there to save.
            with tf.control_dependencies(gradients):
                batch = tf.nest.map_structure(tf.identity, batch)
            more_sums, more = self._compiled_gradients(batch)
            sums += more_sums
            gradients = [a + b for a, b in zip(gradients, more, strict=True)]
        sums, gradients = self._over_replicas(sums, gradients)
        return self._compiled_update(sums, gradients, before, rate), ready[-1]

    def _over_replicas(
        self, sums: tf.Tensor, gradients: list[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The sums over all replicas, by one exchange (two, where gradients travel in bfloat16)."""
        context = tf.distribute.get_replica_context()
        sent = tf.as_dtype(self._config.gradient_exchange)
        sent_gradients = [tf.cast(gradient, sent) for gradient in gradients]
        sums, *gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, [sums, *sent_gradients])
        return sums, [tf.cast(gradient, tf.float32) for gradient in gradients]

    def _update(
        self, sums: tf.Tensor, gradients: list[tf.Tensor], before: list[tf.Tensor], rate: tf.Tensor
    ) -> tf.Tensor:
        """Changes the weights by gradients of the global batch; gives the step's row.

        A gradient that is not finite changes nothing; where it ends the training, nor do those
        after it, whose rows are zeros.

        Args:
            sums: float32 [4].
            gradients: times the loss scale, of the global batch.
            before: the net's statistics as they were before the step.
            rate: float32 [2], the learning rate, and what the weights count in their average.
        """
        rate, share = tf.unstack(rate)
        alive = tf.convert_to_tensor(self._alive)
        if self._scaled:
            gradients = [gradient / self._loss_scale for gradient in gradients]
        norm = tf.linalg.global_norm(gradients)
        finite = tf.math.is_finite(norm)
        row = tf.concat([sums, [1.0, norm, 0.0]], axis=0)
        row = tf.where(alive, row, tf.zeros_like(row))
        good = finite & alive
        if self._config.on_non_finite == "stop" and not self._scaled:
            self._alive.assign(good)
        self.optimizer.apply(self._clipped(gradients, norm), rate, good)
        for variable, old in zip(self._statistics, before, strict=True):
            variable.value.assign(chosen(good, variable.value, old))
        if self._averages:
            self._update_averages(good, share)
        if self._scaled:
            self._update_loss_scale(finite)
        return row

    def _replica_average(self) -> None:
        moving = {variable.path for variable in self._statistics}
        statistics = [
            copy[index]
            for copy in ([variable.value for variable in self._model.weights], self._averages)
            for index, variable in enumerate(self._model.weights)
            if copy and variable.path in moving
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
        # Watched by name, so that nothing is computed of the gradient below frozen layers.
        trained = [variable.value for variable in self._model.trainable_variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(trained)
            with (
                self._net.package.example_seeds(batch["seed"]),
                self._net.package.replica_means(mean_over_replicas if replicas > 1 else None),
                self._fused_batch_norm(),
            ):
                outputs = self._net(batch["image"])
            objective = self.objective(outputs, labels, batch.get(TAUGHT))
            penalty = losses.l2_penalty(self._decayed, config.weight_decay)
            loss = tf.reduce_sum(objective) / config.pipeline.train_batch_size
            loss += penalty / (replicas * config.accumulation_steps)
            scaled_loss = loss * self._loss_scale
        gradients = tape.gradient(scaled_loss, trained)
        logits = losses.scored(outputs)
        columns = (
            objective,
            losses.correct(logits, labels, 1),
            losses.correct(logits, labels, losses.TOP_K),
            tf.ones_like(objective),
        )
        return tf.stack([tf.reduce_sum(column) for column in columns]), gradients

    def _fused_batch_norm(self) -> contextlib.AbstractContextManager[None]:
        """The context in which batch normalisation is what is quick on this device."""
        on_gpu = "GPU" in self._strategy.extended.worker_devices[0]
        if not (on_gpu and hasattr(self._net.package, "fused_batch_norm")):  # a run's older copy
            return contextlib.nullcontext()
        return self._net.package.fused_batch_norm(gpus.fused_batch_norm)

    def _clipped(self, gradients: Sequence[tf.Tensor], norm: tf.Tensor) -> Sequence[tf.Tensor]:
        """The gradients, scaled down to a global norm of at most --clip_norm."""
        limit = self._config.clip_norm
        if not limit:
            return gradients
        factor = limit / tf.maximum(norm, limit)
        return [gradient * factor for gradient in gradients]

    def _update_averages(self, good: tf.Tensor, share: tf.Tensor) -> None:
        """average += share * (variable - average), for every float weight of the model."""
        for average, variable in zip(self._averages, self._model.weights, strict=True):
            old, value = tf.convert_to_tensor(average), tf.convert_to_tensor(variable.value)
            new = old + share * (value - old)
            average.assign(chosen(good, new, old))

    def _update_loss_scale(self, finite: tf.Tensor) -> None:
        """Halves the loss scale after an overflow, doubles it after enough steps without."""
        steps = tf.where(finite, self._steps_at_scale + 1, 0)
        double = steps >= STEPS_TO_DOUBLE
        factor = tf.where(finite, tf.where(double, 2.0, 1.0), 0.5)
        self._loss_scale.assign(tf.maximum(1.0, self._loss_scale * factor))
        self._steps_at_scale.assign(tf.where(double, 0, steps))


def maybe_compiled(function: Callable[..., Any], compiled: bool) -> Callable[..., Any]:
    """The function, compiled by XLA or as it is."""
    return tf.function(function, jit_compile=True, autograph=False) if compiled else function
