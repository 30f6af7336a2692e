"""Run folders are read as what they are; a broken one says why, and raises nothing."""

import json
import pathlib
import shutil

import pytest

from base.errors import UserError
from tests.conftest import ROOT
from tests.making.run_folders import make_run, write_checkpoint
from trainers.run_folder import history
from trainers.run_folder.records import find_record, find_records, read_record


def test_a_finished_run_says_what_came_of_it(tmp_path):
    record = read_record(make_run(tmp_path, top1s=(0.2, 0.6, 0.5)).directory, tmp_path)
    assert (record.state, record.faults) == ("finished", ())
    assert (record.name, record.experiment, record.net) == ("demo/1", "demo", "resnet10(width=4)")
    assert record.epochs == 3
    assert record.best.top1 == 0.6
    assert record.images_per_second == 175, "the median of 50, 100, ... 300"
    assert record.flags["learning_rate"] == "0.01", "the effective value, also where the default"
    assert record.notes.startswith("# demo, run 1")


def test_a_run_of_imported_weights_has_the_accuracy_of_its_evaluation(tmp_path):
    run = make_run(tmp_path, top1s=())
    write_checkpoint(run.checkpoints, 0).rename(run.checkpoints / "best.npz")
    write_checkpoint(run.checkpoints, 0)
    for split, top1 in (("train", 0.9), ("validation", 0.6)):
        found = {"protocol": "center_crop", "split": split, "top1": top1, "top5": 1, "images": 9}
        run.write_json(f"evaluation_center_crop_{split}.json", found)
    record = read_record(run.directory)
    assert (record.state, record.accuracy) == ("finished", (0.6, 1))


def test_the_best_line_is_the_one_that_best_npz_is_of(tmp_path):
    record = read_record(make_run(tmp_path, top1s=(0.6, 0.6, 0.5)).directory)
    assert record.best.epoch == 2, "of equal ones the later is marked as best"


@pytest.mark.parametrize("cut", [b'{"step": 31, "sp', b'{"step": 31}'])
def test_a_cut_off_last_line_of_an_interrupted_run_is_normal(tmp_path, cut):
    run = make_run(tmp_path, finished=False)
    with (run.directory / "metrics.jsonl").open("ab") as file:
        file.write(cut)
    record = read_record(run.directory)
    assert (record.state, record.faults) == ("interrupted", ())
    assert len(record.metrics) == 9


def test_a_run_whose_lock_is_held_is_running_whatever_is_missing_yet(tmp_path):
    run = make_run(tmp_path, finished=False)
    for file in run.checkpoints.iterdir():
        file.unlink()
    with run.lock():
        record = read_record(run.directory)
        assert (record.state, record.faults) == ("running", ())
    assert read_record(run.directory).state == "broken"


def test_a_run_that_was_killed_before_its_first_checkpoint_is_interrupted(tmp_path):
    run = make_run(tmp_path, finished=False, top1s=())
    assert read_record(run.directory).state == "interrupted"
    (run.directory / "metrics.jsonl").unlink()
    assert read_record(run.directory).state == "interrupted"


def test_what_is_kept_of_a_run_without_its_checkpoints_is_archived(tmp_path):
    directory = make_run(tmp_path).directory
    shutil.rmtree(directory / "checkpoints")
    assert (read_record(directory).state, read_record(directory).faults) == ("archived", ())
    for name in ("data.json", "notes.md", "result.json"):
        (directory / name).unlink()
    shutil.rmtree(directory / "net")
    record = read_record(directory.rename(tmp_path / "alexnet, the best"))
    assert (record.state, record.faults, record.best.top1) == ("archived", (), 0.6)
    states = {each.name: each.state for each in find_records(ROOT / "docs" / "results")}
    assert set(states.values()) == {"archived"} and len(states) >= 2


def test_a_failed_run_says_its_reason(tmp_path):
    run = make_run(tmp_path, finished=False)
    with pytest.raises(ValueError), history.recorded(run, lambda: 7, {}):
        raise ValueError("first\nsecond")
    record = read_record(run.directory)
    assert (record.state, record.faults) == ("failed", ("ValueError: first second",))
    assert "steps 7 to 7, failed" in history.in_words(record.history[0])
    with pytest.raises(SystemExit), history.recorded(run, lambda: 9, {"replicas": "1 -> 2"}):
        raise SystemExit(0)
    record = read_record(run.directory)
    assert (record.state, [each.outcome for each in record.history]) == (
        "interrupted",
        ["failed", "stopped"],
    )


def remove(name):
    return lambda directory: (directory / name).unlink()


def write(name, content):
    return lambda directory: (directory / name).write_bytes(content)


def truncate(name):
    def damage(directory):
        content = (directory / name).read_bytes()
        (directory / name).write_bytes(content[: len(content) // 2])

    return damage


def replace_line(number, text):
    def damage(directory):
        lines = (directory / "metrics.jsonl").read_text().splitlines()
        lines[number - 1] = text
        (directory / "metrics.jsonl").write_text("\n".join(lines) + "\n")

    return damage


def remove_checkpoints(directory):
    for path in (directory / "checkpoints").iterdir():
        path.unlink()


NAN = json.dumps({"step": 1, "epoch": 0.1, "split": "train", "loss": "x", "top1": 0, "top5": 0})
BAD_EVALUATION = b'{"protocol": "center_crop", "top1": 0.5, "top5": 1, "images": 2, "per_class": 3}'


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (replace_line(4, '{"step": 20, "epo'), ["metrics.jsonl", "line 4", "not whole"]),
        (replace_line(2, "[1, 2]"), ["metrics.jsonl", "line 2", "not a JSON object"]),
        (replace_line(2, NAN), ["metrics.jsonl", "line 2", "loss"]),
        (replace_line(9, '{"step"'), ["metrics.jsonl", "line 9", "not whole"]),
        (remove("metrics.jsonl"), ["metrics.jsonl is missing"]),
        (write("metrics.jsonl", b"\xff\xfe\x00"), ["metrics.jsonl is not text"]),
        (remove_checkpoints, ["checkpoints/ holds no checkpoint"]),
        (remove("checkpoints/best.npz"), ["checkpoints/best.npz is missing"]),
        (truncate("checkpoints/step-00000030.npz"), ["step-00000030.npz is damaged"]),
        (write("checkpoints/step-00000030.npz", b""), ["step-00000030.npz is damaged"]),
        (write("flags.cfg", b"--net=resnet10\n--nosuchflag=3\n"), ["flags.cfg", "nosuchflag"]),
        (write("flags.cfg", b"--net=resnet10(\n"), ["flags.cfg", "resnet10("]),
        (write("flags.cfg", b"\xff\xfe"), ["flags.cfg is not text"]),
        (write("flags.cfg", b"--train_epochs=many\n"), ["flags.cfg", "many"]),
        (remove("flags.cfg"), ["no flags.cfg", "holds", "data.json"]),
        (remove("data.json"), ["data.json is missing"]),
        (write("data.json", b'{"num_classes": 3'), ["data.json is not JSON"]),
        (write("data.json", b'{"num_classes": "three"}'), ["data.json", "num_classes"]),
        (write("environment.json", b"[]"), ["environment.json is not a JSON object"]),
        (write("history.json", b'{"stretches": 3}'), ["history.json", "stretches"]),
        (write("result.json", b""), ["result.json is not JSON"]),
        (write("result.json", b"[" * 5000), ["result.json is not a JSON object"]),
        (replace_line(2, "[" * 5000), ["metrics.jsonl", "line 2", "not a JSON object"]),
        (remove("net/__init__.py"), ["net/__init__.py is missing"]),
        (write("evaluation_x_validation.json", b"{}"), ["evaluation_x", "protocol"]),
        (write("evaluation_y_validation.json", BAD_EVALUATION), ["evaluation_y", "per_class"]),
    ],
)
def test_a_broken_folder_says_what_is_broken(tmp_path, damage, says):
    run = make_run(tmp_path)
    damage(run.directory)
    record = read_record(run.directory)
    assert record.state == "broken"
    assert any(all(text in fault for text in says) for fault in record.faults), record.faults
    assert not any("\n" in fault for fault in record.faults)


def test_folders_that_are_no_runs_are_listed_as_broken_with_what_they_hold(tmp_path):
    make_run(tmp_path, "demo/1")
    make_run(tmp_path, "vgg/wide/2")
    (tmp_path / "demo" / "7").mkdir()
    (tmp_path / "holiday" / "2012").mkdir(parents=True)
    (tmp_path / "holiday" / "2012" / "beach.jpg").touch()
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "alexnet.pdf").touch()
    (tmp_path / "report.html").touch()
    (tmp_path / "demo" / "notes.txt").touch()
    make_run(tmp_path, "demo/9").directory.rename(tmp_path / "demo" / "good one")
    found = {record.name: record for record in find_records(tmp_path)}
    assert {name: record.state for name, record in found.items()} == {
        "demo/1": "finished",
        "demo/7": "broken",
        "demo/good one": "broken",
        "vgg/wide/2": "finished",
        "holiday/2012": "broken",
        "papers": "broken",
    }
    assert "is empty" in found["demo/7"].faults[0]
    assert "beach.jpg" in found["holiday/2012"].faults[0]
    assert "alexnet.pdf" in found["papers"].faults[0]
    assert "not a number" in found["demo/good one"].faults[0]


def test_looking_changes_nothing(tmp_path):
    run = make_run(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    find_records(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert not (run.directory / ".lock").exists()


def test_a_run_is_found_by_folder_by_name_and_as_the_newest(tmp_path, monkeypatch):
    for number in (1, 2, 10):
        make_run(tmp_path, f"demo/{number}")
    for name, wanted in (
        ("demo/2", "demo/2"),
        ("demo", "demo/10"),
        (str(tmp_path / "demo" / "1"), "demo/1"),
        (str(tmp_path / "demo"), "demo/10"),
    ):
        assert find_record(name, tmp_path).name == wanted
    monkeypatch.chdir(tmp_path / "demo")
    assert find_record("2", pathlib.Path("..")).name == "demo/2"
    for name in ("demo/3", "dmeo", "/no/such/place"):
        with pytest.raises(UserError, match="demo/10"):
            find_record(name, tmp_path)
    with pytest.raises(UserError, match="not a directory"):
        find_records(tmp_path / "nowhere")


def test_the_best_is_the_checkpoint_that_is_there(tmp_path):
    """Where the disk had no room for the best one, list says what evaluate.py will find."""
    run = make_run(tmp_path, top1s=(0.2, 0.6, 0.5))
    best = run.checkpoints / "best.npz"
    best.unlink()
    best.hardlink_to(run.checkpoints / "step-00000030.npz")
    record = read_record(run.directory)
    assert (record.best.step, record.accuracy[0]) == (30, 0.5)
    best.unlink()
    assert read_record(run.directory).accuracy is None
    shutil.rmtree(run.checkpoints)  # an archive
    assert read_record(run.directory).accuracy[0] == 0.6
