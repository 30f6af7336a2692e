"""What the loop asks when a training looks wrong: it makes the batch again, and looks into it."""

import math
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from base.commandline import UserError
from pipelines import input_pipeline
from pipelines.config import OWN_SHARDS
from pipelines.reading.dataset import Dataset
from trainers.config import TrainConfig
from trainers.training import diagnosis
from trainers.training.logbook import Logbook
from trainers.training.models import AtSizes
from trainers.training.replicas import Workers

NON_FINITE_FILE = "non_finite_step_{}.npz"


class Inquiry:
    """The questions of one run; a batch is a pure function of its number, so any can be asked."""

    def __init__(
        self,
        config: TrainConfig,
        dataset: Dataset,
        at_sizes: AtSizes,
        run_dir: pathlib.Path,
        strategy: tf.distribute.Strategy,
        workers: Workers,
        logbook: Logbook,
    ):
        """Takes what the loop has; asks nothing yet."""
        self._config, self._dataset, self._at_sizes = config, dataset, at_sizes
        self._run_dir, self._logbook = run_dir, logbook
        # Where machines read shards of their own, each can make its own part of a batch only.
        own = config.pipeline.host_reading == OWN_SHARDS
        self._host, self._hosts = (workers.index, workers.count) if own else (0, 1)
        self._replicas = strategy.num_replicas_in_sync // self._hosts
        self._chief = workers.chief
        self._device_map = input_pipeline.device_map(dataset, config.pipeline, training=True)

    def look_at_first_batch(self) -> None:
        """Before the first step: says so where its labels are all alike or its images constant.

        Shows its first images to TensorBoard where the flags ask for it.
        """
        batch = self._global_batch(0)
        self._logbook.images(batch["image"][: self._config.tensorboard_images])
        for finding in diagnosis.degenerate_data(batch["image"].numpy(), batch["label"].numpy()):
            self._logbook.say(f"warning: {finding}")

    def warn_of_chance(self, step: int, loss: float, learning_rate: float) -> None:
        """Says so, and why perhaps, where the mean loss (nats) is still that of guessing."""
        classes = self._dataset.num_classes
        if not diagnosis.at_chance(loss, classes):
            return
        batch = self._global_batch(step)
        self._logbook.say(
            f"warning: after {step} steps the loss is {loss:.3f}, and guessing among {classes} "
            f"classes gives ln({classes}) = {math.log(classes):.3f}. Possible reasons:"
        )
        for finding in diagnosis.why_at_chance(
            self._at_sizes.build_for(batch["image"]),
            batch["image"],
            batch["label"].numpy(),
            learning_rate,
        ):
            self._logbook.say(f"  {finding}")

    def stop_for_non_finite(self, step: int) -> None:
        """Says where the first value that is not finite came from, saves the batch, and stops.

        Args:
            step: steps taken before the one that failed, which changed no weights.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"{self._non_finite(step)}; lower --learning_rate ({self._config.learning_rate}), add "
            "--warmup_epochs or --clip_norm"
        )

    def tell_skipped(self, step: int) -> None:
        """Says the same of a step that was skipped, and saves its batch; for `step` see there."""
        self._logbook.say(f"warning: {self._non_finite(step)}; the step is skipped")

    def _non_finite(self, step: int) -> str:
        """Where the first such value of a step comes from, and where its batch was saved."""
        batch = self._global_batch(step)
        found = diagnosis.locate_non_finite(
            self._at_sizes.build_for(batch["image"]), batch["image"], batch["label"]
        )
        names = input_pipeline.file_names(
            self._dataset, self._config.pipeline, step, self._host, self._hosts
        )
        arrays: dict[str, Any] = {
            name: batch[name].numpy() for name in ("image", "label", "position")
        }
        file = self._run_dir / NON_FINITE_FILE.format(step + 1)
        if self._chief:
            np.savez(file, names=np.asarray(names), **arrays)
        message = f"a value is not finite at step {step + 1}"
        if found is not None:
            message += f", first in {found.place}"
            if found.examples:
                first = self._host * self._replicas
                which = ", ".join(
                    f"{names[index]} (replica {first + index * self._replicas // len(names)})"
                    for index in found.examples[:3]
                )
                message += f", for {len(found.examples)} of {len(names)} images: {which}"
        return f"{message}. The batch is in {file}"

    def _global_batch(self, step: int) -> dict[str, tf.Tensor]:
        """The batch of a step, on one device, after the device chain."""
        pipeline = self._config.pipeline
        batches = input_pipeline.train(
            self._dataset,
            pipeline,
            batch_size=pipeline.train_batch_size // self._hosts,
            start=step,
            host=self._host,
            hosts=self._hosts,
        )
        return self._device_map(next(iter(batches)))
