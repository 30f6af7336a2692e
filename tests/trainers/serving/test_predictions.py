"""Predictions on files: the logits of the evaluation, any format, and what cannot be read."""

import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from base.errors import UserError
from data_prep import schema
from data_prep.image import conversion
from tests.conftest import assert_one_line_error, run_command
from tests.making.datasets import jpeg, sample_photographs, smooth_image
from tests.making.trained_runs import CLASSES, classifier, random_run, softmax, stored_dataset
from trainers.scoring import evaluation
from trainers.scoring.config import EvaluateConfig
from trainers.serving import pictures, predictions
from trainers.serving.classifier import Stored
from trainers.serving.config import PredictConfig
from trainers.serving.explanations import explainer
from trainers.training.devices.replicas import open_devices

SIZE, CROP, IMAGES = 96, 64, 6
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def photographs(sample_dir):
    return sample_photographs(sample_dir, IMAGES)


@pytest.fixture(scope="module")
def run(photographs, tmp_path_factory):
    """A run whose data set is gone."""
    directory = tmp_path_factory.mktemp("data") / "set"
    stored_dataset(directory, photographs, SIZE)
    made = random_run(
        tmp_path_factory.mktemp("runs"), directory, "resnet10(width=8)", CROP, "--decoding=fast"
    )
    config = EvaluateConfig(run=(str(made.directory),))
    member = evaluation.open_members(config)[0]
    found = np.zeros([IMAGES, CLASSES])
    strategy = open_devices("cpu:1").strategy
    for positions, _, rows in evaluation.member_probabilities(
        member, member.plan.passes[0], config, strategy
    ):
        found[positions] = rows
    np.save(made.directory / "evaluated.npy", found)
    shutil.rmtree(directory)
    return made


@pytest.fixture(scope="module")
def made(run):
    return classifier(run)


@pytest.mark.slow(reason="it compiles a net for several sizes")
def test_original_files_and_stored_images_give_the_evaluations_probabilities(
    run, made, photographs
):
    evaluated = np.load(run.directory / "evaluated.npy")
    stored = [
        conversion.convert(each, schema.ImageSettings(size=SIZE)).encoded for each in photographs
    ]
    for files in (photographs, stored):
        crops = made.crops([made.store(each) for each in files])
        np.testing.assert_allclose(softmax(made.logits(crops)), evaluated, rtol=1e-4)
    assert np.ptp(evaluated, axis=0).max() > 1e-3, "the images matter"


@pytest.mark.parametrize("form", ["PNG", "BMP", "GIF", "WEBP", "TIFF", "JPEG"])
def test_whatever_pillow_opens_is_predicted(made, tmp_path, form):
    pixels = smooth_image(RNG, 120, 150)
    path = tmp_path / f"picture.{form.lower()}"
    mode = "CMYK" if form == "JPEG" else "P" if form == "GIF" else "RGB"
    Image.fromarray(pixels).convert(mode).save(path, form)
    (found,) = predictions.predict(made, [path], batch_size=4, keep_going=False)
    assert sum(found.probabilities) == pytest.approx(1)
    assert list(found.probabilities) == sorted(found.probabilities, reverse=True)
    assert found.wnids == tuple(made.dataset.wnids[label] for label in found.labels)
    assert found.as_json()["predictions"][0]["words"] == f"class {found.labels[0]}"
    assert len(found.lines()) == 1 + CLASSES


def test_predictions_come_in_the_files_order_whatever_the_batch(made, tmp_path, photographs):
    for index, data in enumerate(photographs):
        (tmp_path / f"{index}.jpg").write_bytes(data)
    files = predictions.find_files([str(tmp_path)])
    assert [file.name for file in files] == [f"{index}.jpg" for index in range(IMAGES)]
    rows = {}
    for batch_size in (1, 4):
        found = list(predictions.predict(made, files, batch_size=batch_size, keep_going=False))
        assert [each.path for each in found] == files
        rows[batch_size] = [each.logits for each in found]
    np.testing.assert_allclose(rows[1], rows[4], rtol=1e-4, atol=1e-5)


def test_directories_are_searched_and_named_files_always_tried(tmp_path):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    for name in ("x.PNG", "y.jpeg", "notes.txt"):
        (inside / name).touch()
    names = [file.name for file in predictions.find_files([str(tmp_path)])]
    assert names == ["x.PNG", "y.jpeg"]
    assert predictions.find_files([str(inside / "notes.txt")]) == [inside / "notes.txt"]
    for missing in (tmp_path / "no", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(UserError, match=str(missing)):
            predictions.find_files([str(missing)])


def test_an_image_smaller_than_the_crop_is_named(photographs, tmp_path):
    directory = stored_dataset(tmp_path / "data", photographs[:2], 200, geometry="longest_side")
    run = random_run(tmp_path / "runs", directory, "resnet10(width=4)", CROP)
    path = tmp_path / "small.jpg"
    path.write_bytes(jpeg(smooth_image(RNG, 40, 50)))
    with pytest.raises(UserError, match=r"small\.jpg: 50x40 pixels, smaller than the crop of 64"):
        list(predictions.predict(classifier(run), [path], batch_size=1, keep_going=False))


def test_pictures_show_every_image(made, photographs, tmp_path):
    for index, data in enumerate(photographs):
        (tmp_path / f"{index}.jpg").write_bytes(data)
    files = predictions.find_files([str(tmp_path)])
    found = list(predictions.predict(made, files, batch_size=4, keep_going=False))
    sheet = pictures.sheet(found)
    assert sheet.width > 5 * CROP and sheet.height > 2 * CROP
    explainers = [explainer(made, method) for method in ("gradcam", "gradient")]
    rows = pictures.explained_sheet(found, explainers, [each.labels[0] for each in found])
    assert rows.width > 3 * CROP and rows.height > IMAGES * CROP


@pytest.mark.parametrize(
    "flags",
    [
        *({"picture": "x.jpg"}, {"predict_batch_size": 0}, {"top": 0}),
        *({"explain": ("gradcam",)}, {"explain": ("lime",), "picture": "x.png"}),
        {"explain": ("cam",), "explain_layer": "conv1", "picture": "x.png"},
        {"explain_class": "n00000001", "picture": "x.png"},
    ],
)
def test_flags_that_make_no_sense_are_refused(flags):
    with pytest.raises(UserError):
        PredictConfig(**flags)


@pytest.mark.end_to_end
def test_a_corrupt_image_among_a_thousand(run, tmp_path):
    good = jpeg(smooth_image(RNG, 100, 130))
    for index in range(1000):
        (tmp_path / f"{index:04d}.jpg").write_bytes(good if index != 700 else good[:200])
    command = ("trainers/predict.py", f"--run={run.directory}", str(tmp_path), "--json")
    done = run_command(*command, "--keep_going")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 999
    assert all(len(line["predictions"]) == CLASSES for line in lines)
    warnings = done.stderr.splitlines()
    assert len(warnings) == 1
    assert warnings[0].startswith(f"warning: {tmp_path / '0700.jpg'}")
    assert_one_line_error(run_command(*command, code=1), "0700.jpg", "--keep_going")


@pytest.mark.end_to_end
def test_pictures_are_written_by_the_command(run, tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(smooth_image(RNG, 100, 130)).save(path)
    picture = tmp_path / "out" / "picture.png"
    command = ("trainers/predict.py", str(path), f"--run={run.directory}", f"--picture={picture}")
    done = run_command(*command, "--explain=gradcam,occlusion", "--explain_class=n00000003")
    assert str(path) in done.stdout
    assert Image.open(io.BytesIO(picture.read_bytes())).width > 3 * CROP


def say(made, files, **flags):
    settings = {"batch_size": 4, "keep_going": False} | flags
    return predictions.predict(made, files, **settings)


def test_the_other_files_of_a_batch_are_predicted_and_the_bad_ones_named(made, tmp_path):
    good = jpeg(smooth_image(RNG, 100, 130))
    for name in "abcdefg":
        (tmp_path / f"{name}.jpg").write_bytes(good[:200] if name in "bf" else good)
    found = []
    with pytest.raises(UserError, match=r"b\.jpg: .*; 1 more of 7 files .*\(--keep_going") as error:
        for each in say(made, predictions.find_files([str(tmp_path)])):
            found.append(each.path.stem)
    assert found == list("acdeg")
    assert "\n" not in str(error.value)


def test_what_the_pipeline_cannot_decode_spoils_no_batch(made, tmp_path, monkeypatch, capsys):
    images = {name: jpeg(smooth_image(RNG, 100, 130)) for name in "abc"}
    for name, content in images.items():
        (tmp_path / f"{name}.jpg").write_bytes(content)
    store = made.store

    def spoiled(data):
        stored = store(data)
        return Stored(b"no jpeg", stored.pixels) if data == images["b"] else stored

    monkeypatch.setattr(made, "store", spoiled)
    found = list(say(made, predictions.find_files([str(tmp_path)]), keep_going=True))
    assert len(found) == 2
    (warning,) = capsys.readouterr().err.splitlines()
    assert "is passed over: it cannot be decoded" in warning


def test_linked_folders_are_read_once_each(tmp_path):
    photos, named = tmp_path / "photos", tmp_path / "named"
    (photos / "deep").mkdir(parents=True)
    named.mkdir()
    for name in ("x.jpg", "deep/y.jpg"):
        (photos / name).touch()
    (named / "linked").symlink_to(photos)
    (photos / "round").symlink_to(named)
    found = predictions.find_files([str(named)])
    assert [path.name for path in found] == ["y.jpg", "x.jpg"]


@pytest.mark.parametrize("url", ["https://example.com/cat.jpg", "gs://bucket/cat.jpg"])
def test_a_url_is_refused_in_one_line(url):
    with pytest.raises(UserError, match=f"{url}: URLs are not read: download"):
        predictions.find_files([url])


def test_folders_that_are_classes_are_the_truth(made, tmp_path):
    right, wrong = made.dataset.wnids[3], "elsewhere"
    for folder in (right, wrong):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.jpg").write_bytes(jpeg(smooth_image(RNG, 100, 130)))
    found = list(say(made, predictions.find_files([str(tmp_path)]), top=2))
    of_class, other = sorted(found, key=lambda each: each.truth is None)
    assert other.truth is None and "truth" not in other.as_json()
    said = of_class.as_json()
    assert len(said["predictions"]) == 2
    first = of_class.labels[0] == 3
    assert said["truth"] == {"label": 3, "wnid": right, "top1": first, "top5": True}
    assert of_class.lines()[0].endswith(f"x.jpg  ({right})")
    line = predictions.truth_line([of_class.truth])
    assert line.startswith(f"top-1 {100.0 * first} %, top-5 100.0 % of 1 images")


@pytest.mark.end_to_end
def test_the_standard_input_is_a_file_and_the_exit_code_tells_of_a_bad_one(run, tmp_path):
    good = tmp_path / "good.jpg"
    good.write_bytes(jpeg(smooth_image(RNG, 100, 130)))
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    command = [sys.executable, "trainers/predict.py", f"--run={run.directory}", "--json", "--top=1"]
    with good.open("rb") as given:
        done = subprocess.run(
            [*command, "-", str(tmp_path / "bad.jpg"), str(good)],
            stdin=given,
            capture_output=True,
            text=True,
            check=False,
        )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["file"] for line in lines] == ["-", str(good)]
    assert lines[0]["predictions"] == lines[1]["predictions"]
    assert len(lines[0]["predictions"]) == 1
    assert done.returncode == 1
    assert_one_line_error(done, "bad.jpg", "--keep_going")
