"""The run that weights become which others have trained."""

import contextlib
import dataclasses
import hashlib
import pathlib
from collections.abc import Collection, Iterator

import keras

import nets
from base.errors import UserError
from base.spec import parse_call
from pipelines.config import Phase
from pipelines.input_pipeline import InputPipeline
from pipelines.reading.dataset import Dataset, open_dataset
from trainers.run_folder import checkpoints, plugins
from trainers.run_folder.files import Imported, Result, first_state
from trainers.run_folder.finding import place_of
from trainers.run_folder.folder import RESULT_FILE, Run, new_run
from trainers.run_folder.metrics import METRICS_FILE
from trainers.weights.assigning import assign, origin_of
from trainers.weights.config import ImportConfig
from trainers.weights.files import WeightFile, read


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
    call = parse_call(train_config.net)
    with _named(train_config.net):
        entry = nets.entry(call.name)
    origin = origin_of(weights, entry)
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
    with _named(train_config.net):
        model = nets.build(call.name, dataset.num_classes, chains.image_size, **call.keywords)
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


@contextlib.contextmanager
def _named(net: str) -> Iterator[None]:
    """Has what the registry refuses end in one line."""
    try:
        yield
    except ValueError as error:
        raise UserError(f"--net={net}: {error}") from None


def _save(run: Run, model: keras.Model, dataset: Dataset, weights: WeightFile) -> None:
    """Writes the checkpoint and what makes the run a finished one, of no steps."""
    state = first_state(dataset.label_order)
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
