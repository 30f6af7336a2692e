"""A run's net: built from the run's own copy of its source, with or without trained weights."""

import math
import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import keras

from base.errors import UserError, listed
from base.spec import parse_call
from pipelines.chain import compile_chains
from pipelines.config import Phase
from pipelines.input_pipeline import InputPipeline
from pipelines.reading.dataset import Dataset
from trainers.config import TrainConfig, TrainedConfig
from trainers.run_folder import checkpoints
from trainers.run_folder.files import ScoredWeights
from trainers.run_folder.folder import Run

Size = tuple[int, int]

# What the names of a block's layers begin with; see `blocks_of`.
_BLOCK = re.compile(r".*?\d+[a-z]*\d*(_\d+[a-z]?(?=_|$))?")


def build(
    config: TrainConfig, num_classes: int, package: ModuleType, image_size: Size
) -> keras.Model:
    """The untrained net that --net names.

    Args:
        config: the run's flags.
        num_classes: of the data set.
        package: the package to build from, `nets` itself or a run's copy.
        image_size: of the images that it is given, (height, width) in pixels.

    Raises:
        UserError: the net does not exist, or cannot be built so.
    """
    call = parse_call(config.net)
    try:
        return package.build(call.name, num_classes, image_size=image_size, **call.keywords)
    except ValueError as error:
        raise UserError(f"--net={config.net}: {error}") from None


def logits_only(model: keras.Model) -> keras.Model:
    """The net as it is scored: without its auxiliary heads, and with its classifier in float32."""
    model = _without_heads(model)
    _classify_in_float32(model, keras.layers.Layer)
    return model


def _without_heads(model: keras.Model) -> keras.Model:
    if isinstance(model.output, Mapping):
        return keras.Model(model.input, model.output["logits"])
    return model


def _classify_in_float32(model: keras.Model, kind: type[keras.layers.Layer]) -> None:
    """Has the last layers with weights, those of this kind, computed in float32.

    Under mixed precision its products would have 8 bits (bfloat16), and classes would tie that its
    float32 weights tell apart.
    """
    classifiers, behind = _last_layers(model)
    if all(isinstance(layer, kind) for layer in classifiers):
        for layer in classifiers + behind:
            layer.dtype_policy = "float32"


def _last_layers(
    model: keras.Model,
) -> tuple[list[keras.layers.Layer], list[keras.layers.Layer]]:
    """The last layers with weights, one or one for each of several tokens, and those behind them.

    Found from the logits on backwards.
    """
    makers = {id(tensor): layer for layer in model.layers for tensor in _tensors(layer.output)}
    last: list[keras.layers.Layer] = []
    behind: list[keras.layers.Layer] = []
    seen: set[int] = set()
    ahead = _tensors(model.output)
    while ahead:
        layer = makers[id(ahead.pop())]
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        (last if layer.weights else behind).append(layer)
        if not layer.weights and not isinstance(layer, keras.layers.InputLayer):
            ahead += _tensors(layer.input)
    return last, behind


def _tensors(nested: Any) -> list[Any]:
    return list(keras.tree.flatten(nested))


def head(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers that depend on the classes: the last ones with weights, and auxiliary heads."""
    scored = _without_heads(model)
    main = [layer for layer in scored.layers if layer.weights]
    auxiliary = [layer for layer in model.layers if layer.weights and layer not in main]
    return _last_layers(scored)[0] + auxiliary


def rate_factors(model: keras.Model, config: TrainConfig) -> dict[str, float]:
    """What multiplies the learning rate of each variable, by its path: 1 but for two flags.

    The last layer and the auxiliary heads have --head_rate_factor. With --layer_decay (Clark et al.
    2020, ELECTRA, section 3.1; Bao et al. 2022, BEiT) a block of layers has its power of the number
    of blocks from there on, so that the last block has it once. Frozen blocks count, too.
    """
    blocks = blocks_of(model)
    factors = {layer.name: config.head_rate_factor for layer in head(model)}
    for distance, block in enumerate(reversed(blocks), start=1):
        factors |= {layer.name: config.layer_decay**distance for layer in block}
    return {
        variable.path: factors[layer.name] for layer in model.layers for variable in layer.weights
    }


def blocks_of(model: keras.Model) -> list[list[keras.layers.Layer]]:
    """The layers with weights, less the last one and the auxiliary heads, from the input on.

    A block's layers have names that are the same up to their number, or their two numbers: those of
    `res2a_branch2b` are `res2a`'s, of `dense1_3_conv1` `dense1_3`'s, `conv3_1` is one by itself. A
    layer without a number belongs to the block before it.
    """
    heads = {layer.name for layer in head(model)}
    blocks: dict[str, list[keras.layers.Layer]] = {}
    block = ""
    for layer in model.layers:
        if layer.weights and layer.name not in heads:
            numbered = _BLOCK.match(layer.name)
            block = numbered[0] if numbered else block
            blocks.setdefault(block, []).append(layer)
    return list(blocks.values())


def freeze(model: keras.Model, config: TrainConfig) -> None:
    """Has the layers that --freeze names not be trained.

    Their variables are no longer trainable ones, and their batch normalisation is as in evaluations
    (Keras's `trainable`).

    Raises:
        UserError: there are none, or none are left, or the new head is among them.
    """
    if not config.freeze:
        return
    layers = {layer.name: layer for layer in model.layers if layer.weights}
    frozen = [name for name in layers if re.match(config.freeze, name)]
    said, names = f"--freeze={config.freeze} matches", listed(list(layers))
    if not frozen:
        raise UserError(f"{said} no layer with weights of {model.name}: there are {names}")
    anew = {layer.name for layer in head(model)} if config.new_head else set()
    if chosen := sorted(anew.intersection(frozen)):
        raise UserError(f"{said} {listed(chosen)}, which --new_head begins anew: '$' ends a name")
    for name in frozen:
        layers[name].trainable = False
    if not model.trainable_variables:
        raise UserError(f"{said} every layer of {model.name}: nothing is left to train")


class TrainedNet:
    """The net of a training, for images of one size or several: one set of variables.

    Layers alone could be shared, but padding depends on the size, so each size has a build of its
    own, as it would have alone, that is computed with the variables of the first.

    Attributes:
        name: in the registry.
        package: what it was built from, `nets` itself or a run's copy.
        model: the first build; its variables are what is trained.
    """

    def __init__(self, name: str, package: ModuleType, builds: Sequence[keras.Model]):
        """Takes builds of one net, each for another size; the first one's variables count.

        Raises:
            UserError: the net's weights depend on the size of its images.
        """
        self.name, self.package, self.model = name, package, builds[0]
        self._builds = {size_of(build.input): build for build in builds}
        for build in builds[1:]:
            refuse_other_shapes(self.model, build, "--train_sizes")

    @property
    def parameters(self) -> int:
        """How many numbers of the net are trained."""
        return sum(math.prod(variable.shape) for variable in self.model.trainable_variables)

    def __call__(self, images: Any) -> Any:
        """What the net gives in training for images of one of the sizes."""
        build = self._builds[size_of(images)]
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
        build = self._builds[size_of(images)]
        if build is not self.model:
            build.set_weights(self.model.get_weights())
        return build


def build_to_train(config: TrainConfig, pipeline: InputPipeline, package: ModuleType) -> TrainedNet:
    """The net that --net names, for each size of the training's images.

    Args:
        config: the run's flags.
        pipeline: what makes the images.
        package: the package to build from, `nets` itself or a run's copy.

    Raises:
        UserError: it cannot be built or frozen so, or its weights depend on its images' size.
    """
    classes = pipeline.dataset.num_classes
    builds = [build(config, classes, package, size) for size in train_sizes(config, pipeline)]
    for each in builds:
        # A matrix product costs nothing beside the net; SqueezeNet's last convolution would.
        _classify_in_float32(_without_heads(each), keras.layers.Dense)
        freeze(each, config)
    return TrainedNet(parse_call(config.net).name, package, builds)


def train_sizes(config: TrainConfig, pipeline: InputPipeline) -> list[Size]:
    """The sizes of the training's images, each once: there are several with --train_sizes."""
    epochs = [epoch for epoch, _ in config.pipeline.sizes_by_epoch()] or [0]
    return list(dict.fromkeys(pipeline.chains(Phase.TRAIN, each).image_size for each in epochs))


def refuse_other_shapes(model: keras.Model, other: keras.Model, flags: str) -> None:
    """Raises UserError, naming the flags, where weights of a net depend on the size of its images.

    Takes two builds of the net, for two sizes.
    """
    for a, b in zip(model.weights, other.weights, strict=True):
        if a.shape != b.shape:
            sizes = " and ".join("x".join(map(str, size_of(each.input))) for each in (model, other))
            raise UserError(
                f"{flags}: images of {sizes}, but {a.path} of {model.name} fits one size only: "
                "make them the same"
            )


def size_of(images: Any) -> Size:
    """Height and width of images [b, height, width, 3]."""
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
    """The run's net with trained weights; see `open_trained`."""
    return open_trained(run, config, dataset, which, image_size=image_size)[0]


def open_trained(
    run: Run,
    config: TrainConfig,
    dataset: Dataset,
    which: TrainedConfig,
    *,
    image_size: Size | None = None,
) -> tuple[keras.Model, ScoredWeights]:
    """The run's net with trained weights, and which these are.

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
    size = image_size or compile_chains(dataset, config.pipeline, Phase.EVAL).image_size
    model = build(config, dataset.num_classes, run.load_nets(), size)
    if which.checkpoint == "best":
        best = run.checkpoints / checkpoints.BEST
        if not best.exists() and checkpoints.by_step(run.checkpoints):
            raise UserError(f"there is no checkpoint {best}: --checkpoint=last takes the newest")
        read = checkpoints.load(best)
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
    try:
        read.restore(checkpoints.model_variables(model, prefix), prefix=prefix)
    except UserError as error:
        raise UserError(f"{error} (for images of {'x'.join(map(str, size))})") from None
    return model, ScoredWeights(
        run=str(run.directory),
        checkpoint=read.path.name,
        step=read.state.step,
        averaged=use_averages,
        chosen_by_validation=which.checkpoint == "best" and bool(read.state.validation_errors),
    )


def refuse_other_labels(checkpoint: checkpoints.Checkpoint, dataset: Dataset) -> None:
    """Raises UserError where a checkpoint was trained with another label order than the data's."""
    if checkpoint.state.label_order != dataset.label_order:
        raise UserError(
            f"{checkpoint.path} was trained with the label order "
            f"{checkpoint.state.label_order[:12]}, {dataset.directory or 'data.json'} has "
            f"{dataset.label_order[:12]}: name the data set that it was trained on"
        )
