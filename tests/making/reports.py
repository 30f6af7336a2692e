"""Makes reports for the tests in a browser: about one run, five and a hundred."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
from PIL import Image

from tests.making.predictions import picture, predictions_of
from tests.making.run_folders import make_run
from trainers.report.page import write
from trainers.run_folder.predictions import beside, save
from trainers.run_folder.records import find_records
from trainers.scoring import mistakes


def write_reports(folder: pathlib.Path) -> dict[int, str]:
    """Writes them into `folder`; their addresses by the number of runs."""
    runs = folder / "runs"
    alexnet = make_run(
        runs, "alexnet/1", net="alexnet", top1s=(0.1, 0.25, 0.42), learning_rate=0.02
    )
    make_run(runs, "demo/1", top1s=(0.3, 0.6, 0.8), note="Does a wider stem help?")
    make_run(runs, "demo/2", top1s=(0.4, 0.85, 0.9), weight_decay=1e-4, schedule="cosine()")
    make_run(runs, "demo/10", top1s=(0.2, 0.3), finished=False, train_epochs=3.0)
    (runs / "demo" / "11").mkdir()
    _save_mistakes(runs / "demo" / "2")
    Image.new("RGB", (900, 500), (40, 120, 200)).save(alexnet.directory / "contact_sheet.png")
    alexnet.write_json(
        "evaluation_center_crop_validation.json",
        {
            "protocol": "center_crop",
            "split": "validation",
            "images": 20,
            "top1": 0.42,
            "top5": 0.71,
            "per_class": {f"n{label:08d}": 0.2 * label for label in range(5)},
            "most_confused": [["n00000000", "n00000003", 7]],
        },
    )
    many = folder / "many"
    for number in range(1, 101):
        place = many / f"experiment_of_{number % 9}" / str(number)
        shutil.copytree(runs / ("alexnet/1" if number % 2 else "demo/2"), place)
        flags = (place / "flags.cfg").read_text().replace("=0.02", f"={number / 1000}")
        (place / "flags.cfg").write_text(flags)
    one = folder / "one"
    shutil.copytree(runs / "demo" / "1", one / "demo" / "1")
    found = {}
    for each in (one, runs, many):
        records = find_records(each)
        write(each / "report.html", records)
        found[len(records)] = (each / "report.html").as_uri()
    return found


def _save_mistakes(directory: pathlib.Path) -> None:
    """Of 5 classes and 20 images, three of class 1 were taken for class 3, one of 2 for 0."""
    labels = [*range(5)] * 4
    said = [3 if label == 1 and place > 5 else label for place, label in enumerate(labels)]
    said[2] = 0
    rows = np.full([20, 5], 0.05)
    rows[range(20), said] = 0.8
    found = predictions_of(labels, rows)
    shown = {each: picture(40 * each) for each in mistakes.pictured(found)[:3]}
    words = ("tench", "goldfish", "shark", "<b>ray</b>", "cock")
    result = directory / "evaluation_center_crop_validation.json"
    result.write_text(json.dumps({"protocol": "center_crop", "images": 20, "top1": 0.8, "top5": 1}))
    save(beside(result), dataclasses.replace(found, words=words, pictures=shown))
