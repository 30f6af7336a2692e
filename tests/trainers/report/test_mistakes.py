"""Mistakes as people see them: `runs.py mistakes`."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from base.errors import UserError
from tests.making.predictions import CLASSES, picture, predictions_of
from tests.making.run_folders import make_run
from trainers import runs
from trainers.report.mistakes import mistakes_picture
from trainers.run_folder import predictions
from trainers.scoring.mistakes import pictured

RESULT = {"protocol": "center_crop", "images": 40, "top1": 0.5, "top5": 0.9}


def said_by(classes: int):
    rows = np.random.default_rng(0).dirichlet(np.ones(classes), 40)
    said = predictions_of([position % classes for position in range(40)], rows)
    pictures = {position: picture(position) for position in pictured(said)}
    return dataclasses.replace(said, pictures=pictures)


def test_mistakes_are_said_and_drawn(tmp_path, capsys):
    run = make_run(tmp_path, "demo/1")
    config = runs.RunsConfig(runs_dir=str(tmp_path))
    with pytest.raises(UserError, match=r"run evaluate\.py --run=.*demo/1 --save_predictions"):
        runs.show_mistakes(config, ["demo"])
    result = run.directory / "evaluation_center_crop_validation.json"
    run.write_json(result.name, RESULT)
    said = said_by(CLASSES)
    predictions.save(predictions.beside(result), said)
    runs.show_mistakes(config, ["demo"])
    printed = capsys.readouterr().out
    wrong = 40 - said.right.sum()
    assert f"validation, center_crop: {wrong} of 40 images are wrong" in printed
    assert "n00000000 -> n0000000" in printed
    drawn = run.directory / "figures" / "mistakes.png"
    assert str(drawn) in printed
    assert Image.open(drawn).width == 1500
    with pytest.raises(UserError, match=r"--evaluation=ten_crop_.*: center_crop_validation has"):
        runs.show_mistakes(dataclasses.replace(config, evaluation="ten_crop_validation"), ["demo"])


def test_many_classes_and_no_pictures_are_drawn_too():
    # Nothing is confused twice, and there is no image to show: matrix, diagram and bars are left.
    said = dataclasses.replace(said_by(60), pictures={})
    whole = mistakes_picture(said_by(CLASSES), "few")
    assert mistakes_picture(said, "many").height < whole.height
