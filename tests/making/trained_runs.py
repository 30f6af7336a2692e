"""Makes small data sets of real photographs, and runs whose weights are random but not idle."""

import pathlib
from collections.abc import Sequence

import keras
import numpy as np

import nets
from data_prep import schema
from data_prep.image import conversion
from pipelines.config import Phase
from pipelines.input_pipeline import InputPipeline
from pipelines.reading.dataset import open_dataset
from tests.making.datasets import write_dataset
from trainers import config
from trainers.config import TrainedConfig
from trainers.run_folder import checkpoints, folder
from trainers.run_folder.files import first_state
from trainers.serving.classifier import Classifier
from trainers.training import models

CLASSES = 5


def stored_dataset(
    directory: pathlib.Path, photographs: Sequence[bytes], size: int, geometry: str = "short_side"
) -> pathlib.Path:
    """A data set whose validation split is these photographs, as data_prep stores them."""
    settings = schema.ImageSettings(geometry=geometry, size=size)
    stored = [conversion.convert(data, settings).encoded for data in photographs]
    return write_dataset(
        directory,
        train=4,
        validation=len(stored),
        num_classes=CLASSES,
        size=size,
        settings=settings,
        photographs=stored,
    )


def random_run(
    runs_dir: pathlib.Path,
    data_dir: pathlib.Path,
    net: str,
    crop: int,
    *flags: str,
    seed: int = 0,
    averages: bool = False,
) -> folder.Run:
    """A run of a net with random weights: logits are of the order of 1 and differ by image."""
    read = config.parse(
        [
            f"--net={net}",
            f"--data_dir={data_dir}",
            f"--runs_dir={runs_dir}",
            f"--train_map=decode_random_crop({crop})",
            f"--eval_map=decode_center_crop({crop})",
            "--eval_device_map=mean_std",
            "--decoding=accurate",
            "--eval_batch_size=4",
            *flags,
        ]
    )
    dataset = open_dataset(read.pipeline)
    keras.utils.set_random_seed(seed)
    pipeline = InputPipeline(dataset, read.pipeline)
    size = pipeline.chains(Phase.EVAL).image_size
    model = models.build(read, dataset.num_classes, nets, size)
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        for variable in layer.weights:
            if variable.name == "moving_variance":
                variable.assign(generator.uniform(0.5, 1.5, variable.shape))
            elif variable.name in ("bias", "beta", "moving_mean"):
                variable.assign(generator.normal(0, 0.1, variable.shape))
            elif variable.name == "kernel":
                fan_in = np.prod(variable.shape[:-1])
                variable.assign(generator.normal(0, (2 / fan_in) ** 0.5, variable.shape))
    _make_logits_differ(model, generator)
    run, lock = folder.new_run(read, pipeline)
    with lock:
        variables = checkpoints.model_variables(model)
        if averages:
            averaged = {
                name: keras.ops.convert_to_tensor(1.02 * variable.numpy())
                for name, variable in checkpoints.model_variables(
                    model, checkpoints.AVERAGES
                ).items()
            }
            variables |= averaged
        state = first_state(dataset.label_order)
        path = checkpoints.save(run.checkpoints, variables, state, keep=1)
        checkpoints.mark_best(path)
    return run


def _make_logits_differ(model: keras.Model, generator: np.random.Generator) -> None:
    """Scales the last layer so that logits deviate by 1.5 over classes."""
    coarse = generator.normal(size=(4, 6, 6, 3))
    side = model.input.shape[1]
    places = np.arange(side) * 6 // side
    images = coarse[:, places][:, :, places].astype(np.float32)
    outputs = model(images, training=False)
    logits = np.asarray(outputs["logits"] if isinstance(outputs, dict) else outputs)
    names = ("fc", "fc8", "classifier", "conv10")
    last = next(layer for layer in model.layers if layer.name in names)
    for variable in last.weights:
        variable.assign(variable * 1.5 / logits.std())


def classifier(run: folder.Run) -> Classifier:
    return Classifier(run, TrainedConfig())


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
