"""A run's net: built from the run's own copy of its source, with or without trained weights."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import keras

from base.commandline import UserError
from base.spec import parse_call
from pipelines import input_pipeline
from pipelines.reading.dataset import Dataset
from trainers.config import TrainConfig
from trainers.run_config import TrainedConfig
from trainers.run_folder import checkpoints
from trainers.run_folder.folder import Run

Size = tuple[int, int]


def build(
    config: TrainConfig,
    dataset: Dataset,
    nets: ModuleType,
    *,
    training: bool = True,
    image_size: Size | None = None,
) -> keras.Model:
    """The untrained net that --net names, for the size of the pipeline's images.

    Args:
        config: the run's flags.
        dataset: the data set, for the number of classes.
        nets: the package to build from, `nets` itself or a run's copy.
        training: whether for the images of training or of evaluation, which may differ in size.
        image_size: another size of the images, (height, width).

    Raises:
        UserError: the net does not exist, or cannot be built so.
    """
    call = parse_call(config.net)
    size = image_size or input_pipeline.image_size(config.pipeline, training=training)
    try:
        return nets.build(call.name, dataset.num_classes, image_size=size, **call.keywords)
    except ValueError as error:
        raise UserError(f"--net={config.net}: {error}") from None


class AtSizes:
    """One net for images of several sizes: one set of variables, one build for each size.

    Layers alone could be shared, but padding depends on the size, so each size is built as it would
    be alone, and computed with the variables of the first build.
    """

    def __init__(self, builds: Sequence[keras.Model]):
        """Takes builds of one net, each for another size; the first one's variables count.

        Raises:
            UserError: the net's weights depend on the size of its images.
        """
        self.model = builds[0]
        self._builds = {_size(build.input): build for build in builds}
        for build in builds[1:]:
            refuse_other_shapes(self.model, build, "--train_sizes")

    def __call__(self, images: Any) -> Any:
        """What the net gives in training for images of one of the sizes."""
        build = self._builds[_size(images)]
        if build is self.model:
            return build(images, training=True)
        outputs, states = build.stateless_call(
            [variable.value for variable in self.model.trainable_variables],
            [variable.value for variable in self.model.non_trainable_variables],
            images,
            training=True,
        )
        for variable, state in zip(self.model.non_trainable_variables, states, strict=True):
            variable.assign(state)
        return outputs

    def build_for(self, images: Any) -> keras.Model:
        """The build for images of that size, with the weights as they are now."""
        build = self._builds[_size(images)]
        if build is not self.model:
            build.set_weights(self.model.get_weights())
        return build


def refuse_other_shapes(model: keras.Model, other: keras.Model, flags: str) -> None:
    """Raises UserError, naming the flags, where weights of a net depend on the size of its images.

    Takes two builds of the net, for two sizes.
    """
    for a, b in zip(model.weights, other.weights, strict=True):
        if a.shape != b.shape:
            sizes = " and ".join("x".join(map(str, _size(each.input))) for each in (model, other))
            raise UserError(
                f"{flags}: images of {sizes}, but {a.path} of {model.name} fits one size only: "
                "make them the same"
            )


def _size(images: Any) -> Size:
    _, height, width, _ = images.shape
    return height, width


def load_trained(
    run: Run,
    config: TrainConfig,
    dataset: Dataset,
    which: TrainedConfig,
    *,
    image_size: Size | None = None,
) -> keras.Model:
    """The run's net with trained weights.

    Args:
        run: the run.
        config: its flags.
        dataset: the data set, for the number and the order of the classes.
        which: which of its checkpoints and weights.
        image_size: another size of the images than the run's evaluation has, (height, width).

    Raises:
        UserError: no such checkpoint or weights, a damaged one, one of another label order, or a
            net whose weights do not fit images of this size.
    """
    keras.mixed_precision.set_global_policy(config.precision)
    model = build(config, dataset, run.load_nets(), training=False, image_size=image_size)
    if which.checkpoint == "best":
        read = checkpoints.load(run.checkpoints / checkpoints.BEST)
    else:
        latest = checkpoints.load_latest(run.checkpoints)
        if latest is None:
            raise UserError(f"{run.directory} has no checkpoint yet")
        read = latest
    refuse_other_labels(read, dataset)
    averaged = any(name.startswith(checkpoints.AVERAGES) for name in read.arrays)
    if which.weights == "averaged" and not averaged:
        raise UserError(
            f"{read.path} has no averaged weights, as the run had --ema_decay=0: give "
            "--weights=plain"
        )
    use_averages = averaged and which.weights != "plain"
    prefix = checkpoints.AVERAGES if use_averages else checkpoints.MODEL
    read.restore(checkpoints.model_variables(model, prefix), prefix=prefix)
    return model


def refuse_other_labels(checkpoint: checkpoints.Checkpoint, dataset: Dataset) -> None:
    """Raises UserError where a checkpoint was trained with another label order than the data's."""
    if checkpoint.state.label_order != dataset.label_order:
        raise UserError(
            f"{checkpoint.path} was trained with the label order "
            f"{checkpoint.state.label_order[:12]}, {dataset.directory or 'data.json'} has "
            f"{dataset.label_order[:12]}: name the data set that it was trained on"
        )
