"""Distillation: a trained run teaches another (--teacher; Hinton et al. 2015, Touvron et al. 2021).

The teacher sees what the net sees: the same crops with the same draws, mixed alike, but normalised
as its own evaluation normalises. It computes in inference mode, in the --precision of the training,
at the size of the training's images, whichever it was trained with itself; where its weights fit
one size only, it is refused at another. No gradient goes through it, and it stays as it is.
"""

import dataclasses
import hashlib

import keras
import tensorflow as tf

from base.errors import UserError
from data_prep import schema
from pipelines.chain import Batch, Chains, device_chain
from pipelines.config import Phase
from pipelines.input_pipeline import InputPipeline
from trainers.config import TrainConfig, TrainedConfig
from trainers.run_folder import checkpoints, plugins
from trainers.run_folder.files import InitialWeights
from trainers.run_folder.finding import find_run
from trainers.run_folder.folder import Run
from trainers.training import models

# In a batch after the device chain: the teacher's logits, float32 [b, N].
TAUGHT = "taught"


class Teacher:
    """The net of --teacher, and what it is given. To be made in the strategy's scope.

    Attributes:
        weights: which these are, for the run folder.
    """

    def __init__(self, config: TrainConfig, pipeline: InputPipeline):
        """Reads the run's best weights, or its newest; the averaged ones where there are any.

        Args:
            config: the flags of the training that is taught.
            pipeline: what makes its batches.

        Raises:
            UserError: there is no such run, it has no checkpoint, other classes, or a net that
                takes no images of this size; or its normalisation has no place in the device chain.
        """
        run = find_run(config.teacher, config.runs_dir, flag="--teacher")
        self._chains = pipeline.chains(Phase.TRAIN)
        try:
            self._builds, self.weights = _opened(run, config, pipeline)
            self._own_chains = _own_chains(run, self._chains, pipeline)
        except (UserError, ValueError) as error:
            raise UserError(f"--teacher={config.teacher}: {error}") from None
        finally:
            # Of a plugin of the same name the teacher has its own version.
            plugins.load(config.pipeline.plugins)

    def on_device(self, batch: Batch) -> Batch:
        """The device chain of the training, for the inside of a replica's step.

        Returns:
            The batch with TAUGHT, what the teacher says of these images.
        """
        images = self._own_chains.on_device(batch)["image"]
        logits = self._builds[models.size_of(images)](images, training=False)
        return self._chains.on_device(batch) | {TAUGHT: tf.cast(logits, tf.float32)}

    @property
    def bytes(self) -> int:
        """What its weights take of a device's memory."""
        return sum(4 * build.count_params() for build in self._builds.values())


def _opened(
    run: Run, config: TrainConfig, pipeline: InputPipeline
) -> tuple[dict[models.Size, keras.Model], InitialWeights]:
    """A build of the run's net for each size of the training's images, and its weights."""
    flags = dataclasses.replace(run.flags(), precision=config.precision)
    best = (run.checkpoints / checkpoints.BEST).exists()
    which = TrainedConfig(checkpoint="best" if best else "last")
    builds = {}
    for size in models.train_sizes(config, pipeline):
        model, scored = models.open_trained(run, flags, pipeline.dataset, which, image_size=size)
        builds[size] = models.logits_only(model)
        builds[size].trainable = False
    path = run.checkpoints / scored.checkpoint
    return builds, InitialWeights(
        source=str(path),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        device_map=flags.pipeline.eval_device_map,
    )


def _own_chains(run: Run, chains: Chains, pipeline: InputPipeline) -> Chains:
    """The chains of the training, normalised as the run's evaluation normalises.

    Statistics are those that the run has kept, of the data that it was trained on.
    """
    given = pipeline.dataset.given()
    if (run.directory / schema.STATISTICS_FILE).exists():
        given["statistics"] = schema.Statistics.load(run.directory)
    text = run.flags().pipeline.eval_device_map
    own = device_chain(text, "eval_device_map", **given)
    return dataclasses.replace(chains, device=chains.device.normalized_by(own))
