"""Exported nets: the same logits by each format's own runtime, and what their users must know."""

import json
import os
import shutil
import sys
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from base.errors import UserError
from data_prep import schema
from data_prep.image import conversion
from tests.conftest import assert_one_line_error, run_command
from tests.making.datasets import pixels, sample_photographs
from tests.making.trained_runs import CLASSES, classifier, random_run, stored_dataset
from trainers.config import TrainedConfig
from trainers.serving import exporting, served_net
from trainers.serving.classifier import Classifier
from trainers.serving.config import FORMATS, ExportConfig

pytestmark = pytest.mark.slow(reason="every format of a net is compiled and run")

# Sizes at which each net is quick and has all its layers.
NETS = {"alexnet": 67, "googlenet": 96, "resnet10": 64}
SIZE = 112


@pytest.fixture(autouse=True)
def _float32_after():
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.fixture(scope="module")
def photographs(sample_dir):
    return sample_photographs(sample_dir, 3)


@pytest.fixture(scope="module")
def data_dir(photographs, tmp_path_factory):
    return stored_dataset(tmp_path_factory.mktemp("data") / "set", photographs, SIZE)


@pytest.fixture(scope="module", params=NETS)
def run(request, data_dir, tmp_path_factory):
    return random_run(tmp_path_factory.mktemp("runs"), data_dir, request.param, NETS[request.param])


def export(run, output, form, **flags):
    done = exporting.export(
        ExportConfig(run=str(run.directory), output=str(output), format=form, **flags)
    )
    return done.output, done.difference, done.images


def test_saved_model_gives_the_runs_logits_from_files_and_from_pixels(run, tmp_path, photographs):
    output, difference, count = export(run, tmp_path / "out", "saved_model")
    assert count == 3 and difference < 1e-4
    made = classifier(run)
    wanted = made.logits(made.crops([made.store(each) for each in photographs]))
    assert np.ptp(wanted, axis=0).max() > 0.01, "the images matter"
    loaded = tf.saved_model.load(str(output)).signatures
    stored = [
        conversion.convert(each, schema.ImageSettings(size=SIZE)).encoded for each in photographs
    ]
    from_files = loaded["jpeg"](jpeg=tf.constant(stored))
    np.testing.assert_allclose(from_files["logits"], wanted, atol=1e-4)
    for index, encoded in enumerate(stored):
        found = loaded["serving_default"](image=tf.constant(pixels(encoded)[None]))
        np.testing.assert_allclose(found["logits"][0], wanted[index], atol=1e-4)
        assert float(tf.reduce_sum(found["probabilities"])) == pytest.approx(1)


def test_tflite_gives_the_runs_logits(run, tmp_path, photographs):
    output, difference, _ = export(run, tmp_path / "out", "tflite")
    assert difference < 1e-4
    check_runner(run, exporting.run_tflite(output / "model.tflite"), photographs)
    with zipfile.ZipFile(output / "model.tflite") as archive:
        inside = json.loads(archive.read("metadata.json"))
    assert inside == json.loads((output / "metadata.json").read_text())


def test_onnx_gives_the_runs_logits(run, tmp_path, photographs):
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    pytest.importorskip("tf2onnx", reason="the extra `export` is not installed")
    output, difference, _ = export(run, tmp_path / "out", "onnx")
    assert difference < 1e-4
    path = output / "model.onnx"
    check_runner(run, exporting.run_onnx(path), photographs)
    found = onnxruntime.InferenceSession(str(path)).get_modelmeta().custom_metadata_map
    assert found["label_order"] == classifier(run).dataset.label_order
    assert json.loads(found["wnids"]) == list(classifier(run).dataset.wnids)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("form", ["tflite", "onnx"])
def test_mixed_precision_is_exported_in_float32(data_dir, tmp_path, photographs, form, precision):
    if form == "onnx":
        pytest.importorskip("tf2onnx", reason="the extra `export` is not installed")
    net = "resnet10(width=4)"
    run = random_run(tmp_path / "runs", data_dir, net, 64, f"--precision={precision}")
    output, difference, _ = export(run, tmp_path / "out", form)
    assert difference < 1e-4
    assert json.loads((output / "metadata.json").read_text())["precision"] == "float32"
    runner = getattr(exporting, f"run_{form}")(next(output.glob("model.*")))
    made = Classifier(run, TrainedConfig(), "float32")
    crops = made.crops([made.store(each) for each in photographs])
    # Of any number, also right after another one.
    for batch in (crops[:1], crops, np.repeat(crops, 3, axis=0)):
        np.testing.assert_allclose(runner(batch), made.logits(batch), atol=1e-4)
    assert np.abs(classifier(run).logits(crops) - made.logits(crops)).max() < 0.3, "its own"


@pytest.mark.parametrize("form", ["int8", "float16"])
def test_a_quantized_net_is_smaller_and_its_accuracy_stands_beside(
    small_run, data_dir, tmp_path, photographs, form
):
    plain, _, _ = export(small_run, tmp_path / "plain", "tflite")
    moved = tmp_path / "moved"
    shutil.copytree(data_dir, moved)
    done = exporting.export(
        ExportConfig(
            run=str(small_run.directory),
            output=str(tmp_path / "out"),
            format="tflite",
            quantize=form,
            data_dir=str(moved),
        )
    )
    path = done.output / "model.tflite"
    assert path.stat().st_size < 0.8 * (plain / "model.tflite").stat().st_size
    assert 0 < done.difference < 0.2
    with zipfile.ZipFile(path) as archive:
        inside = json.loads(archive.read("metadata.json"))
    assert inside == done.about and inside["quantized"] == form
    made, runner = classifier(small_run), exporting.run_tflite(path)
    crops = made.crops([made.store(each) for each in photographs])
    labels = np.arange(len(photographs)) % CLASSES
    assert inside["accuracy"]["images"] == len(photographs)
    for name, logits in (("float32", made.logits(crops)), (form, runner(crops))):
        right = float((logits.argmax(axis=1) == labels).mean())
        assert inside["accuracy"][name]["top1"] == pytest.approx(right)
    one_by_one = np.concatenate([runner(crops[i : i + 1]) for i in range(len(crops))])
    np.testing.assert_allclose(one_by_one, runner(crops), atol=1e-3)


def test_what_cannot_be_quantized_is_refused():
    with pytest.raises(UserError, match="--quantize=int8 needs --format=tflite"):
        ExportConfig(quantize="int8", format="onnx")


def test_a_missing_tool_is_named_with_its_extra(small_run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"needs onnxruntime: pip install -e '\.\[export\]'"):
        export(small_run, tmp_path / "out", "onnx")


def check_runner(run, runner, photographs):
    """Another number of images than the check had; all of them differ."""
    made = classifier(run)
    crops = made.crops([made.store(each) for each in photographs[:2]])
    np.testing.assert_allclose(runner(crops), made.logits(crops), atol=1e-4)
    np.testing.assert_allclose(runner(crops[1:]), made.logits(crops[1:]), atol=1e-4)


@pytest.fixture(scope="module")
def small_run(data_dir, tmp_path_factory):
    return random_run(tmp_path_factory.mktemp("runs"), data_dir, "resnet10(width=4)", 64)


def test_metadata_says_classes_order_and_preprocessing(small_run, data_dir, tmp_path):
    output, _, _ = export(small_run, tmp_path / "out", "saved_model")
    manifest = schema.Manifest.load(data_dir)
    for path in (output / "metadata.json", output / "assets.extra" / "metadata.json"):
        about = json.loads(path.read_text())
        assert about["label_order"] == manifest.label_order
        assert (tuple(about["wnids"]), tuple(about["words"])) == (manifest.wnids, manifest.words)
        assert about["crop"] == {"height": 64, "width": 64, "channels": "RGB", "dtype": "uint8"}
        assert about["inside"] == "mean_std"
        assert about["before_the_crop"]["stored_as"]["size"] == SIZE
    assert len(about["wnids"]) == CLASSES


@pytest.mark.parametrize("size", [100, 600])
@pytest.mark.parametrize("geometry", ["short_side", "square_crop", "warp", "longest_side", "none"])
def test_images_are_resized_as_the_data_set_is(photographs, geometry, size):
    settings = schema.ImageSettings(geometry=geometry, size=size)
    for photograph in photographs:
        image = pixels(photograph)
        wanted = conversion.convert(photograph, settings).pixels[..., :3]
        found = served_net.as_stored(tf.constant(image), settings).numpy()
        assert found.shape == wanted.shape
        assert np.abs(found.astype(int) - wanted).mean() < 0.5, "levels"


def test_an_export_with_other_logits_is_refused_and_removed(small_run, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "TOLERANCE", 0.0)
    with pytest.raises(UserError, match="gives other logits than the run"):
        export(small_run, tmp_path / "out", "saved_model")
    assert list(tmp_path.iterdir()) == []


def test_an_export_is_there_whole_or_not_at_all(small_run, tmp_path, monkeypatch):
    output = tmp_path / "out"
    output.mkdir()
    left_by_a_kill = tmp_path / "out.0123456789abcdef.tmp"
    left_by_a_kill.mkdir()
    (left_by_a_kill / "half").touch()
    os.utime(left_by_a_kill, (0, 0))
    write = exporting._WRITERS["tflite"]

    def watched(*arguments):
        difference = write(*arguments)
        assert list(output.iterdir()) == []
        return difference

    monkeypatch.setitem(exporting._WRITERS, "tflite", watched)
    export(small_run, output, "tflite")
    assert {path.name for path in output.iterdir()} == {"metadata.json", "model.tflite"}
    assert list(tmp_path.iterdir()) == [output]


def test_a_folder_that_cannot_be_made_is_named(small_run, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be made: Not a directory"):
        export(small_run, tmp_path / "file" / "out", "tflite")


def test_without_the_data_set_photographs_are_asked_for(data_dir, photographs, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(data_dir, copy)
    run = random_run(tmp_path / "runs", copy, "resnet10(width=4)", 64)
    shutil.rmtree(copy)
    with pytest.raises(UserError, match="--check_images"):
        export(run, tmp_path / "out", "saved_model")
    folder = tmp_path / "photographs"
    folder.mkdir()
    for index, photograph in enumerate(photographs):
        (folder / f"{index}.jpg").write_bytes(photograph)
    _, _, count = export(run, tmp_path / "out", "saved_model", check_images=str(folder))
    assert count == 3


def test_a_folder_that_holds_something_is_left_alone(small_run, tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(UserError, match="not an empty folder"):
        export(small_run, tmp_path, "saved_model")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_every_format_has_a_writer():
    assert set(exporting._WRITERS) == set(FORMATS)


@pytest.mark.end_to_end
def test_the_command_says_what_it_wrote_and_checked(small_run, tmp_path):
    arguments = (f"--run={small_run.directory}", "--format=tflite")
    done = run_command("trainers/export.py", *arguments, f"--output={tmp_path / 'out'}")
    assert "the same logits as the run's on 3 photographs" in done.stdout
    assert not done.stderr  # neither TensorFlow's nor TFLite's announcements
    assert (tmp_path / "out" / "model.tflite").stat().st_size > 1000
    assert_one_line_error(run_command("trainers/export.py", *arguments, code=1), "--output")
    quantized = (f"--output={tmp_path / 'small'}", "--quantize=int8")
    done = run_command("trainers/export.py", *arguments, *quantized)
    assert " int8: top-1 " in done.stdout and "over 3 validation images" in done.stdout
    assert "float32: top-1 " in done.stdout and not done.stderr
