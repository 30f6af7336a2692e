"""What a run gets wrong, as the report has it: of the predictions that an evaluation has saved."""

import dataclasses

import numpy as np
import pytest

from tests.making.predictions import picture, predictions_of
from tests.making.run_folders import make_run
from trainers.report.details import details_html
from trainers.report.mistakes_html import Mistakes
from trainers.report.pictures import MOST_BYTES, Pictures
from trainers.run_folder.predictions import beside, save
from trainers.run_folder.records import read_record

EVALUATION = "evaluation_center_crop_validation.json"


def details(run, room=1_000_000):
    """The HTML of a run's details, and what the page knows of its mistakes."""
    pictures = Pictures(MOST_BYTES - room)
    mistakes = Mistakes(pictures)
    record = read_record(run.directory)
    html = details_html(record, pictures, mistakes, run.directory.parent)
    return html, mistakes.data.get(f"{record.name} center_crop_validation")


@pytest.fixture
def run(tmp_path):
    """A run whose evaluation of 60 images in 40 classes is saved: each third is one class off."""
    run = make_run(tmp_path)
    result = {"protocol": "center_crop", "split": "validation", "images": 60}
    run.write_json(EVALUATION, result | {"top1": 2 / 3, "top5": 1, "per_class": {"n0": 0.5}})
    labels = np.arange(60) % 40
    rows = np.full([60, 40], 0.2 / 39)
    rows[range(60), np.where(np.arange(60) % 3 == 0, (labels + 1) % 40, labels)] = 0.8
    said = predictions_of(labels.tolist(), rows)
    words = tuple("crane" if label < 2 else f"<word> {label}, other" for label in range(40))
    named = dataclasses.replace(said, words=words, pictures={0: picture(10), 3: picture(20)})
    save(beside(run.directory / EVALUATION), named)
    return run


def test_matrix_pairs_and_images_are_those_of_the_predictions(run):
    html, found = details(run)
    assert len(found["shown"]) == 30 and found["all"] == 40
    for row, label in zip(found["counts"], found["shown"], strict=True):
        for count, predicted in zip(row, found["shown"], strict=True):
            place = {label: 1 + (label < 20)}
            wrong = sum(at % 3 == 0 for at in (label, label + 40) if at < 60)
            expected = {label: place[label] - wrong, (label + 1) % 40: wrong}
            assert count == expected.get(predicted, 0)
    assert sum(count for *_, count, _ in found["cells"]) == 20
    assert len(found["worst"]) == 20
    image = found["images"][3]
    assert image["label"] == 3 and image["said"][0] == (4, 0.8) and image["name"]
    assert image["picture"] and found["images"][6]["picture"] is None
    assert found["classes"][0] == "crane (n00000000)", "there are two cranes"
    assert found["classes"][2] == "<word> 2"
    assert "&lt;word&gt; 2" in html and "<word>" not in html


def test_classes_have_bars_and_intervals_and_the_diagram_its_error(run):
    html, _ = details(run)
    assert html.count("--share:") == 40, "all classes, in place of the evaluation's worst"
    assert 'right">0.0 %' not in html and "50.0 %" in html
    assert "expected calibration error 13.3 %" in html
    assert "sure of 80.0 % on average, right 66.7 %, 60 images" in html


def test_where_there_is_no_room_a_command_is_said_and_damage_is_named(run):
    html, found = details(run, room=1000)
    assert found is None and f"runs.py report {run.directory}" in html
    beside(run.directory / EVALUATION).write_bytes(b"no zip")
    html, found = details(run)
    assert found is None and "is damaged" in html


def test_figures_in_the_run_folder_are_shown(run):
    folder = run.directory / "figures"
    folder.mkdir()
    (folder / "first_layer_kernels.png").write_bytes(picture(3))
    (folder / "mistakes.png").write_bytes(picture(4))
    (folder / "features.png").write_bytes(b"no picture")
    html, _ = details(run)
    assert "<h4>First layer kernels</h4>" in html and 'alt="First layer kernels: ' in html
    assert "features.png: " in html
    assert "<h4>Mistakes</h4>" not in html, "they are shown already"
