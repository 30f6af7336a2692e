"""Gives a net the weights that others have trained: every array used once, or none at all."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Collection

import keras
import numpy as np

import nets
from base.errors import UserError
from base.spec import parse_call
from pipelines.config import Phase
from pipelines.input_pipeline import InputPipeline
from pipelines.reading.dataset import Dataset, open_dataset
from trainers.run_folder import checkpoints, plugins
from trainers.run_folder.files import Imported, LoopState, Result
from trainers.run_folder.finding import place_of
from trainers.run_folder.folder import RESULT_FILE, Run, new_run
from trainers.run_folder.metrics import METRICS_FILE
from trainers.training import models
from trainers.training.step import COLUMNS
from trainers.weights.config import ImportConfig
from trainers.weights.files import WeightFile, read
from trainers.weights.names import ORIGINS, OUR_OWN, REFUSED, Origin, numbered_from_zero

# torch's names of variables, to ours: (of a convolution or fully connected layer, of a norm).
_TORCH_VARIABLES = {
    "weight": ("kernel", "gamma"),
    "bias": ("bias", "beta"),
    "running_mean": ("", "moving_mean"),
    "running_var": ("", "moving_variance"),
}
# How many batches torch has averaged its statistics over: no weight.
_TORCH_COUNTER = "num_batches_tracked"


def import_weights(
    config: ImportConfig, file: str, own_size: Collection[Phase] = ()
) -> tuple[Run, list[str]]:
    """Makes a finished run folder of a net with the weights of a file.

    Args:
        config: the flags.
        file: the file of weights.
        own_size: the phases whose images get the net's own size and plain crops, and not those of
            the flags.

    Returns:
        The run, and what it took, in lines.

    Raises:
        UserError: the file cannot be read; it is not of this net; an array is left over, missing
            or of another shape.
    """
    weights = read(pathlib.Path(file), config.from_key)
    train_config = config.train
    plugins.load(train_config.pipeline.plugins)
    name = parse_call(train_config.net).name
    try:
        entry = nets.entry(name)
    except ValueError as error:
        raise UserError(f"--net={train_config.net}: {error}") from None
    origin = _origin(weights, entry)
    pipeline = train_config.pipeline
    if Phase.TRAIN in own_size:
        train_map = f"decode_random_crop({entry.image_size})|random_flip"
        pipeline = dataclasses.replace(pipeline, train_map=train_map)
    if Phase.EVAL in own_size:
        eval_map = f"decode_center_crop({entry.image_size})"
        pipeline = dataclasses.replace(pipeline, eval_map=eval_map)
    published = bool(origin.device_map) and not config.keep_device_map
    if published:
        pipeline = dataclasses.replace(
            pipeline, eval_device_map=origin.device_map, train_device_map=origin.device_map
        )
    runs_dir, experiment = place_of(config.run, train_config.runs_dir)
    train_config = dataclasses.replace(
        train_config,
        pipeline=pipeline,
        runs_dir=runs_dir,
        experiment=experiment,
        note=train_config.note or f"weights of {weights.path.name}",
    )
    dataset = open_dataset(pipeline)
    batches = InputPipeline(dataset, pipeline)
    chains = batches.chains(Phase.EVAL)
    model = models.build(train_config, dataset.num_classes, nets, chains.image_size)
    assign(model, weights, entry)
    run, lock = new_run(train_config, batches)
    with lock:
        _save(run, model, dataset, weights)
    height, width = chains.image_size
    size_of = "the net's own" if Phase.EVAL in own_size else "by the flags"
    normalised_by = "the publisher's" if published else "by the flags"
    said = [
        f"weights: {weights.taken()}, all {len(model.weights)} variables of {train_config.net}",
        f"images: {height}x{width} pixels, {size_of}: {pipeline.eval_map}",
        f"normalisation: {normalised_by}: {pipeline.eval_device_map}",
    ]
    return run, said + ([f"note: {origin.departures}"] if origin.departures else [])


def assign(model: keras.Model, weights: WeightFile, entry: nets.Net) -> None:
    """Gives every variable of the model its array from the file.

    Raises:
        UserError: as `import_weights`; the model is then as it was.
    """
    origin = _origin(weights, entry)
    arrays = _in_our_layout(weights, origin, entry, model)
    _fold_biases(arrays, model)
    variables = {f"{layer.name}/{v.name}": v for layer in model.layers for v in layer.weights}
    where = f"--from={weights.path} does not fit {entry.name}"
    if left_over := sorted(arrays.keys() - variables.keys()):
        raise UserError(f"{where}: it has {_listed(left_over)}, the net has not")
    if missing := sorted(variables.keys() - arrays.keys()):
        raise UserError(f"{where}: the net has {_listed(missing)}, the file has not")
    for name, variable in variables.items():
        if tuple(variable.shape) != arrays[name].shape:
            raise UserError(
                f"{where}: {name} has shape {arrays[name].shape} in the file, "
                f"{tuple(variable.shape)} in the net (for this number of classes and image size)"
            )
        if not np.isfinite(arrays[name]).all():
            raise UserError(f"{where}: {name} has values that are not finite")
    for name, variable in variables.items():
        variable.assign(arrays[name])


def _origin(weights: WeightFile, entry: nets.Net) -> Origin:
    key = (weights.form, entry.name)
    if key in REFUSED:
        raise UserError(f"--from={weights.path}: {REFUSED[key]}")
    if weights.form == "numpy" and key not in ORIGINS:
        return OUR_OWN
    if key not in ORIGINS:
        known = ", ".join(sorted({name for form, name in ORIGINS if form == weights.form}))
        raise UserError(
            f"--from={weights.path}: no {weights.form} weights are known for --net={entry.name}, "
            f"but for: {known}"
        )
    return ORIGINS[key]


def _in_our_layout(
    weights: WeightFile, origin: Origin, entry: nets.Net, model: keras.Model
) -> dict[str, np.ndarray]:
    """The file's arrays under our names `<layer>/<variable>`, with axes in our order."""
    names = origin.names(entry)
    if weights.form == "numpy":
        names = {layer.name: layer.name for layer in model.layers} | names
    arrays = weights.arrays
    if weights.form == "keras" and any("conv2d" in name for name in arrays):
        arrays = numbered_from_zero(arrays)
    ours: dict[str, np.ndarray] = {}
    unknown = []
    for name, array in arrays.items():
        layer, _, variable = name.rpartition("/" if weights.form == "keras" else ".")
        if variable == _TORCH_COUNTER and weights.form == "torch":
            continue
        target = names.get(layer)
        if target is None:
            unknown.append(name)
            continue
        if weights.form == "torch":
            variable, array = _from_torch(variable, array, target, origin, model)
        if array.ndim == 4 and target in ("fc", "classifier"):
            array = array.reshape(array.shape[2:])  # MobileNet's 1x1 convolution
        key = f"{target}/{variable}"
        if key in ours:
            raise UserError(f"--from={weights.path}: two arrays are {key}, one of them {name}")
        ours[key] = array
    if unknown:
        raise UserError(
            f"--from={weights.path} does not fit {entry.name}: nothing is known of "
            f"{_listed(sorted(unknown))}"
        )
    return ours


def _from_torch(
    variable: str, array: np.ndarray, target: str, origin: Origin, model: keras.Model
) -> tuple[str, np.ndarray]:
    """torch's variable and array as ours: kernels [h, w, in, out], matrices [in, out]."""
    is_norm = isinstance(_layer(model, target), keras.layers.BatchNormalization)
    variable = _TORCH_VARIABLES.get(variable, (variable, variable))[is_norm] or variable
    if variable == "kernel" and array.ndim == 4:
        array = array.transpose(2, 3, 1, 0)
    elif variable == "kernel" and array.ndim == 2:
        if target == origin.flattened:  # torch flattens [channel, height, width]
            flatten = model.get_layer(f"{target}_flatten")
            height, width, channels = flatten.input.shape[1:]
            if array.shape[1] == height * width * channels:
                array = array.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
                array = array.reshape(len(array), -1)
        array = array.T
    return variable, array


def _layer(model: keras.Model, name: str) -> keras.layers.Layer | None:
    return next((layer for layer in model.layers if layer.name == name), None)


def _fold_biases(arrays: dict[str, np.ndarray], model: keras.Model) -> None:
    """A bias before a batch normalisation, which our layers have none of, moves into its mean."""
    layers = {layer.name: layer for layer in model.layers}
    for name in [name for name in arrays if name.endswith("/bias")]:
        layer = name.removesuffix("/bias")
        mean = f"{layer}_bn/moving_mean"
        unused = layer in layers and not getattr(layers[layer], "use_bias", True)
        if unused and mean in arrays:
            arrays[mean] = arrays[mean] - arrays.pop(name)


def _save(run: Run, model: keras.Model, dataset: Dataset, weights: WeightFile) -> None:
    """Writes the checkpoint and what makes the run a finished one, of no steps."""
    state = LoopState(
        step=0, label_order=dataset.label_order, validation_errors=[], window=[0.0] * COLUMNS
    )
    path = checkpoints.save(run.checkpoints, checkpoints.model_variables(model), state, keep=1)
    checkpoints.mark_best(path)
    (run.directory / METRICS_FILE).touch()
    digest = hashlib.sha256(weights.path.read_bytes()).hexdigest()
    imported = Imported(
        file=weights.path.name,
        sha256=digest,
        form=weights.form,
        key=weights.key or None,
        arrays=len(weights.arrays),
    )
    run.write_json(RESULT_FILE, Result(step=0, imported=imported))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{', '.join(names[:4])}{more}"
