"""Writes a run's net in a format of other programs, and checks that it gives the same logits."""

import dataclasses
import json
import math
import pathlib
import warnings
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from base.errors import UserError
from base.files import atomic_folder
from base.tensorflow_start import without_chatter
from data_prep import schema
from trainers.run_folder.finding import find_run
from trainers.serving import quantizing, served_net, stored_images
from trainers.serving.classifier import Classifier, Stored, UnreadableError
from trainers.serving.config import ONNX, SAVED_MODEL, TFLITE, ExportConfig
from trainers.serving.predictions import find_files

# Logits of the exported net differ from the run's by less than this, times the largest logit where
# that is above 1 (float32 has 7 digits).
TOLERANCE = 1e-4
CHECKED_IMAGES = 8
_OPSET = 17
_MODEL_FILES = {TFLITE: "model.tflite", ONNX: "model.onnx"}
_ONNX_EXTRA = "pip install -e '.[export]'"

# Crops uint8 [b, h, w, 3] to logits float32 [b, N].
Runner = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Export:
    """What `export` wrote.

    Attributes:
        output: the folder.
        difference: the largest one of a logit from the run's, by the largest logit.
        images: how many photographs the logits are of.
        about: what is in metadata.json.
    """

    output: pathlib.Path
    difference: float
    images: int
    about: dict[str, Any]


def export(config: ExportConfig) -> Export:
    """Writes the net to --output and runs it there, by the format's own runtime.

    TFLite and ONNX compute in float32, whatever the run's precision, and so do the run's logits
    that they are compared with.

    Raises:
        UserError: the run cannot be exported, the folder is not empty or cannot be made, there are
            no photographs to check with, or the logits differ; then nothing is written there.
    """
    output = pathlib.Path(config.output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"--output={output} exists and is not an empty folder: name another")
    _refuse_missing_tools(config.format)
    run = find_run(config.run)
    policy = keras.mixed_precision.global_policy()
    try:
        precision = "" if config.format == SAVED_MODEL else "float32"
        classifier = Classifier(run, config.trained, precision)
        images = check_images(classifier, config)
        with atomic_folder(output.resolve()) as unfinished:
            about = served_net.metadata(classifier, run.directory.name)
            difference = _WRITERS[config.format](config, classifier, unfinished, about, images)
            (unfinished / served_net.METADATA_FILE).write_text(json.dumps(about, indent=1) + "\n")
            if not difference < (math.inf if config.quantize else TOLERANCE):
                raise UserError(
                    f"the {config.format} gives other logits than the run, by up to "
                    f"{difference:.2g} of the largest: nothing was kept of {output}"
                )
    except OSError as error:
        if error.filename != str(output.resolve()):
            raise
        raise UserError(f"--output={output} cannot be made: {error.strerror}") from None
    finally:
        keras.mixed_precision.set_global_policy(policy)
    return Export(output, difference, len(images), about)


def check_images(classifier: Classifier, config: ExportConfig) -> list[Stored]:
    """Photographs to check with: of --check_images, or else of the run's validation split.

    Raises:
        UserError: there are none.
    """
    if config.check_images:
        stored = []
        for path in find_files([config.check_images])[:CHECKED_IMAGES]:
            try:
                stored.append(classifier.store(path.read_bytes()))
            except UnreadableError as error:
                raise UserError(f"--check_images: {path}: {error}") from None
        return stored
    try:
        dataset = stored_images.opened(classifier, config.data_dir)
    except UserError as error:
        raise UserError(
            f"no photographs to check the export with: {error}, or give --data_dir=DIR or "
            "--check_images=FOLDER"
        ) from None
    found = stored_images.first_images(dataset, schema.VALIDATION, CHECKED_IMAGES)
    return [stored for stored, _ in found]


def _write_saved_model(
    config: ExportConfig,
    classifier: Classifier,
    output: pathlib.Path,
    about: dict[str, Any],
    images: Sequence[Stored],
) -> float:
    served = served_net.ServedNet(classifier)
    tf.saved_model.save(served, str(output), signatures=served.signatures())
    extra = output / "assets.extra"
    extra.mkdir()
    (extra / served_net.METADATA_FILE).write_text(json.dumps(about))
    loaded = tf.saved_model.load(str(output)).signatures
    wanted = classifier.logits(classifier.crops(images))
    # One by one, as the images differ in size.
    decoded = [classifier.dataset.decoder.decode(_example(image)).numpy() for image in images]
    by_pixels = [loaded["serving_default"](image=tf.constant(each[None])) for each in decoded]
    found = [by_pixels]
    if classifier.settings.encoding == "jpeg":
        found.append([loaded["jpeg"](jpeg=tf.constant([image.encoded])) for image in images])
    return max(
        _difference(np.concatenate([one["logits"].numpy() for one in each]), wanted)
        for each in found
    )


def _write_tflite(
    config: ExportConfig,
    classifier: Classifier,
    output: pathlib.Path,
    about: dict[str, Any],
    images: Sequence[Stored],
) -> float:
    from tensorflow.python.framework import convert_to_constants

    # Variables that are not constants would be read as resources, which the runtime has not set.
    function = served_net.net_on_crops(classifier)
    frozen = convert_to_constants.convert_variables_to_constants_v2(function)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen], function)
    path = output / _MODEL_FILES[TFLITE]
    runner = run_tflite(path)
    if config.quantize:
        dataset = stored_images.opened(classifier, config.data_dir)
        quantizing.quantize(converter, config.quantize, classifier, dataset)
        # Of uint8 crops it would like to have statistics.
        with without_chatter(), warnings.catch_warnings(action="ignore"):
            path.write_bytes(converter.convert())
        about |= quantizing.described(config, classifier, dataset, runner)
    else:
        path.write_bytes(converter.convert())
    # TFLite's way of adding files: a zip archive after the model.
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(served_net.METADATA_FILE, json.dumps(about))
    return _checked(classifier, runner, images)


def _write_onnx(
    config: ExportConfig,
    classifier: Classifier,
    output: pathlib.Path,
    about: dict[str, Any],
    images: Sequence[Stored],
) -> float:
    import onnx
    import tf2onnx

    function = served_net.net_on_crops(classifier)
    path = output / _MODEL_FILES[ONNX]
    model, _ = tf2onnx.convert.from_function(
        tf.function(lambda image: function(image=image), autograph=False),
        input_signature=[tf.TensorSpec([None, *classifier.image_size, 3], tf.uint8, name="image")],
        opset=_OPSET,
    )
    onnx.helper.set_model_props(
        model,
        {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in about.items()
        },
    )
    onnx.save(model, str(path))
    return _checked(classifier, run_onnx(path), images)


_Writer = Callable[
    [ExportConfig, Classifier, pathlib.Path, dict[str, Any], Sequence[Stored]], float
]
_WRITERS: dict[str, _Writer]
_WRITERS = {SAVED_MODEL: _write_saved_model, TFLITE: _write_tflite, ONNX: _write_onnx}


def run_tflite(path: pathlib.Path) -> Runner:
    """The exported net, by TensorFlow Lite's interpreter."""

    def run(crops: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it will move to a package of its own
            # Without the delegate that announces itself on the standard error.
            plain = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            interpreter = tf.lite.Interpreter(
                model_path=str(path), experimental_op_resolver_type=plain
            )
        given = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(given, crops.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given, crops)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return run


def run_onnx(path: pathlib.Path) -> Runner:
    """The exported net, by ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda crops: session.run(["logits"], {"image": crops})[0]


def _example(image: Stored) -> dict[str, tf.Tensor]:
    height, width = image.pixels.shape[:2]
    return {"image": tf.constant(image.encoded), "height": height, "width": width}


def _checked(classifier: Classifier, runner: Runner, images: Sequence[Stored]) -> float:
    crops = classifier.crops(images)
    return _difference(runner(crops), classifier.logits(crops))


def _difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference, by the largest logit where that is above 1; NaN counts as inf."""
    difference = np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max())
    return float(difference) if np.isfinite(difference) else float("inf")


def _refuse_missing_tools(form: str) -> None:
    if form != ONNX:
        return
    try:
        import onnxruntime  # noqa: F401
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise UserError(f"--format={ONNX} needs {error.name}: {_ONNX_EXTRA}") from None
