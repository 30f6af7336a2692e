"""A run's net: built from the run's own copy of its source, with or without trained weights."""

from collections.abc import Iterable
from types import ModuleType

import keras

from data_prep.commandline import UserError
from pipelines import input_pipeline
from pipelines.reader import Source
from pipelines.spec import parse_call
from trainers import checkpoints
from trainers.config import TrainConfig
from trainers.experiment import Run
from trainers.run_config import TrainedConfig

Size = tuple[int, int]


def build(
    config: TrainConfig,
    source: Source,
    nets: ModuleType,
    *,
    training: bool = True,
    image_size: Size | None = None,
) -> keras.Model:
    """The untrained net that --net names, for the size of the pipeline's images.

    Args:
        config: the run's flags.
        source: the data set, for the number of classes.
        nets: the package to build from, `nets` itself or a run's copy.
        training: whether for the images of training or of evaluation, which may differ in size.
        image_size: another size of the images, (height, width).

    Raises:
        UserError: the net does not exist, or cannot be built so.
    """
    call = parse_call(config.net)
    size = image_size or input_pipeline.image_size(config.pipeline, training=training)
    try:
        return nets.build(call.name, source.num_classes, image_size=size, **call.keywords)
    except ValueError as error:
        raise UserError(f"--net={config.net}: {error}") from None


def at_sizes(model: keras.Model, sizes: Iterable[Size]) -> dict[Size, keras.Model]:
    """The net for images of each size (height, width), with the same layers and variables.

    Raises:
        UserError: the net's weights depend on the size of its images.
    """
    first = tuple(model.input.shape[1:3])
    models = {first: model}
    for size in sizes:
        try:
            models[size] = models.get(size) or keras.models.clone_model(
                model,
                input_tensors=keras.Input((*size, 3)),
                clone_function=lambda layer: layer,
                call_function=lambda layer, *args, **kwargs: layer(*args, **kwargs),
            )
        except ValueError as error:
            raise UserError(
                f"--train_sizes: {model.name}, built for images of {first[0]}x{first[1]}, takes "
                f"none of {size[0]}x{size[1]}: {str(error).splitlines()[0]}"
            ) from None
    return models


def load_trained(
    run: Run,
    config: TrainConfig,
    source: Source,
    which: TrainedConfig,
    *,
    image_size: Size | None = None,
) -> keras.Model:
    """The run's net with trained weights.

    Args:
        run: the run.
        config: its flags.
        source: the data set, for the number and the order of the classes.
        which: which of its checkpoints and weights.
        image_size: another size of the images than the run's evaluation has, (height, width).

    Raises:
        UserError: no such checkpoint or weights, a damaged one, one of another label order, or a
            net whose weights do not fit images of this size.
    """
    keras.mixed_precision.set_global_policy(config.precision)
    model = build(config, source, run.load_nets(), training=False, image_size=image_size)
    if which.checkpoint == "best":
        read = checkpoints.load(run.checkpoints / checkpoints.BEST)
    else:
        latest = checkpoints.load_latest(run.checkpoints)
        if latest is None:
            raise UserError(f"{run.directory} has no checkpoint yet")
        read = latest
    refuse_other_labels(read, source)
    averaged = any(name.startswith(checkpoints.AVERAGES) for name in read.arrays)
    if which.weights == "averaged" and not averaged:
        raise UserError(
            f"{read.path} has no averaged weights, as the run had --ema_decay=0: use --weights=plain"
        )
    use_averages = averaged and which.weights != "plain"
    prefix = checkpoints.AVERAGES if use_averages else checkpoints.MODEL
    read.restore(checkpoints.model_variables(model, prefix), prefix=prefix)
    return model


def refuse_other_labels(checkpoint: checkpoints.Checkpoint, source: Source) -> None:
    """Raises UserError where a checkpoint was trained with another label order than the data's."""
    if checkpoint.state["label_order"] != source.label_order:
        raise UserError(
            f"{checkpoint.path} was trained with the label order "
            f"{checkpoint.state['label_order'][:12]}, {source.directory or 'data.json'} has "
            f"{source.label_order[:12]}: name the data set that it was trained on"
        )
