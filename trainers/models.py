"""A run's net: built from the run's own copy of its source, with or without trained weights."""

from types import ModuleType

import keras

from data_prep.commandline import UserError
from pipelines import input_pipeline
from pipelines.reader import Source
from pipelines.spec import parse_call
from trainers import checkpoints
from trainers.config import TrainConfig
from trainers.experiment import Run


def build(
    config: TrainConfig, source: Source, nets: ModuleType, *, training: bool = True
) -> keras.Model:
    """The untrained net that --net names, for the size of the pipeline's images.

    Args:
        config: the run's flags.
        source: the data set, for the number of classes.
        nets: the package to build from, `nets` itself or a run's copy.
        training: whether for the images of training or of evaluation, which may differ in size.

    Raises:
        UserError: the net does not exist, or cannot be built so.
    """
    call = parse_call(config.net)
    size = input_pipeline.image_size(config.pipeline, training=training)
    try:
        return nets.build(call.name, source.num_classes, image_size=size, **call.keywords)
    except ValueError as error:
        raise UserError(f"--net={config.net}: {error}") from None


def load_trained(run: Run, config: TrainConfig, source: Source, checkpoint: str) -> keras.Model:
    """The run's net with the weights of its `best` or `last` checkpoint, averaged if it averages.

    Raises:
        UserError: no such checkpoint, a damaged one, or one of another label order.
    """
    keras.mixed_precision.set_global_policy(config.precision)
    model = build(config, source, run.load_nets(), training=False)
    if checkpoint == "best":
        read = checkpoints.load(run.checkpoints / checkpoints.BEST)
    else:
        latest = checkpoints.load_latest(run.checkpoints)
        if latest is None:
            raise UserError(f"{run.directory} has no checkpoint yet")
        read = latest
    refuse_other_labels(read, source)
    averaged = any(name.startswith(checkpoints.AVERAGES) for name in read.arrays)
    prefix = checkpoints.AVERAGES if averaged else checkpoints.MODEL
    read.restore(checkpoints.model_variables(model, prefix), prefix=prefix)
    return model


def refuse_other_labels(checkpoint: checkpoints.Checkpoint, source: Source) -> None:
    """Raises UserError where a checkpoint was trained with another label order than the data's."""
    if checkpoint.state["label_order"] != source.label_order:
        raise UserError(
            f"{checkpoint.path} was trained with the label order "
            f"{checkpoint.state['label_order'][:12]}, {source.directory} has "
            f"{source.label_order[:12]}: name the data set that it was trained on"
        )
