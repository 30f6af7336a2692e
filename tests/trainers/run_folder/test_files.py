"""The files of a run folder: what was once written is read for ever, what is wrong is named."""

import json
import math
import shutil

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base import typed_json
from base.errors import UserError
from data_prep import schema
from tests.conftest import ROOT
from tests.making.run_folders import loop_state, make_run
from trainers.report import curves, page, tables
from trainers.report.diff import diff_text
from trainers.run_folder import checkpoints, files
from trainers.run_folder.files import (
    Data,
    Environment,
    Evaluation,
    History,
    Imported,
    LoopState,
    Means,
    Result,
    Stretch,
    TrainLine,
    ValidationLine,
)
from trainers.run_folder.metrics import MetricsLog, draw_curves, read_metrics
from trainers.run_folder.records import read_record

OLD = ROOT / "tests" / "fixtures" / "format_0" / "runs"
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
FINITE = {
    float: NUMBERS,
    float | None: st.none() | NUMBERS,
    tuple[float, float] | None: st.none() | st.tuples(NUMBERS, NUMBERS),
    dict[str, float]: st.dictionaries(st.text(), NUMBERS),
}


def contents(kind, **values):
    """Every content that a file may have."""
    finite = {
        field.name: FINITE[field.type]
        for field in msgspec.structs.fields(kind)
        if field.type in FINITE
    }
    return st.builds(kind, **finite, **values)


CONTENTS = {
    History: st.builds(History, stretches=st.tuples(contents(Stretch))),
    Environment: contents(Environment),
    Data: contents(Data, statistics=st.none()),
    Result: contents(Result, validation=st.none() | contents(Means)),
    Evaluation: contents(Evaluation),
}


def test_a_finished_run_of_format_0_says_what_it_always_said():
    record = read_record(OLD / "tiny" / "1", OLD)
    assert (record.state, record.faults, record.name) == ("finished", (), "tiny/1")
    assert (record.net, record.config.train_steps) == ("resnet10(width=1)", 3)
    assert record.environment.packages["tensorflow"] == "2.21.0"
    assert record.environment.git_commit.startswith("fba8fda")
    assert (record.data.num_classes, record.data.generated) == (10, True)
    assert record.data.records == {"train": 1000, "validation": 200}
    assert record.data.image_size == {"train": (32, 32), "eval": (32, 32)}
    assert record.data.settings == schema.ImageSettings()
    assert record.data.statistics.channel_mean[0] == 121.00116444771915
    assert [line.step for line in record.train] == [1, 2, 3]
    assert record.train[0].top1 == 0.25 and record.train[0].images_per_second == 2.77
    assert record.best == record.validation[0]
    assert (record.best.images, record.best.top1) == (200, 0.13)
    assert record.result.validation.loss == record.best.loss
    found = record.evaluations["ten_crop_validation"]
    assert (found.top1, found.images, found.image_size) == (0.1, 200, (32, 32))
    assert found.most_confused[0][2] > 0 and len(found.per_class) == 10
    assert record.notes.startswith("# tiny, run 1")


def test_an_interrupted_run_of_format_0_can_be_continued():
    record = read_record(OLD / "stopped" / "1", OLD)
    assert (record.state, record.faults) == ("interrupted", ())
    assert (record.epochs, len(record.metrics)) == (1.0, 7)
    latest = checkpoints.load_latest(record.run.checkpoints)
    assert latest.state == LoopState(
        step=125,
        label_order=record.data.label_order,
        validation_errors=[0.9, 0.9],
        window=[0.0] * 7,
    )
    assert latest.arrays["model/fc/kernel"].shape == (8, 10)


def test_the_net_of_an_old_run_and_all_its_weights_are_there():
    record = read_record(OLD / "tiny" / "1")
    nets = record.run.load_nets()
    model = nets.build("resnet10", 10, (32, 32), width=1)
    arrays = checkpoints.load(record.run.checkpoints / "best.npz").arrays
    assert checkpoints.model_variables(model).keys() <= arrays.keys()


@pytest.mark.parametrize("name", ["alexnet_small", "resnet18_narrow"])
def test_published_results_are_read(name):
    directory = ROOT / "docs" / "results" / name
    environment = (directory / "environment.json").read_text()
    assert typed_json.read(environment, Environment, files.FORMAT).packages["keras"]
    lines = read_metrics(directory)
    assert {line.split for line in lines} == {"train", "validation"}
    found = [
        typed_json.read(path.read_text(), Evaluation, files.FORMAT)
        for path in directory.glob("evaluation_*.json")
    ]
    assert [each.images for each in found] == [1250, 1250]


@pytest.mark.parametrize("kind", CONTENTS)
@given(st.data())
def test_what_is_written_is_read(kind, data):
    content = data.draw(CONTENTS[kind])
    assert typed_json.read(typed_json.write(content, files.FORMAT), kind, files.FORMAT) == content


@given(st.builds(TrainLine, epoch=NUMBERS, top1=NUMBERS, top5=NUMBERS))
def test_a_line_that_is_written_is_read_but_for_what_is_not_finite(line):
    values = msgspec.structs.asdict(line)
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }
    text = files.line_text(line)
    json.loads(text, parse_constant=pytest.fail)
    assert files.read_line(text) == TrainLine(**finite)
    assert files.read_lines(text * 2) == [TrainLine(**finite)] * 2


def test_lines_have_the_keys_and_numbers_that_they_always_had():
    for old in (OLD / "stopped" / "1", OLD / "tiny" / "1", *(ROOT / "docs/results").iterdir()):
        if (old / "metrics.jsonl").exists():
            text = (old / "metrics.jsonl").read_text()
            assert "".join(map(files.line_text, files.read_lines(text))) == text
    small = TrainLine(step=1, epoch=0.1, loss=1e-05, top1=1.0, top5=1e16)
    assert '"loss": 1e-05, "top1": 1.0, "top5": 1e+16' in files.line_text(small)


def test_a_window_that_is_not_finite_comes_back_so():
    state = loop_state(3)
    state.window = [1.0, math.inf, math.nan]
    text = files.state_text(state)
    json.loads(text, parse_constant=pytest.fail)
    window = files.read_state(text).window
    assert window[0] == 1.0 and all(map(math.isnan, window[1:]))
    old = '{"step": 3, "label_order": "x", "validation_errors": [], "window": [1.0, NaN]}'
    assert math.isnan(files.read_state(old).window[1])


def edit(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    "name", ["environment.json", "data.json", "result.json", "evaluation_ten_crop_validation.json"]
)
def test_a_newer_format_is_refused_by_name(tmp_path, name):
    shutil.copytree(OLD / "tiny" / "1", tmp_path / "1")
    edit(tmp_path / "1" / name, format=2)
    record = read_record(tmp_path / "1")
    assert record.state == "broken"
    assert record.faults == (
        f"{name} is of format 2, this version reads formats 0 to 1: update the workspace",
    )


def test_newer_metrics_and_checkpoints_are_refused_by_name(tmp_path):
    run = make_run(tmp_path)
    path = run.directory / "metrics.jsonl"
    lines = path.read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | {"format": 1})
    path.write_text("\n".join(lines) + "\n")
    newest = checkpoints.by_step(run.checkpoints)[-1]
    with np.load(newest) as file:
        arrays = dict(file)
    state = json.loads(arrays["state"].tobytes()) | {"format": 2}
    arrays["state"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    np.savez(newest, **arrays)
    record = read_record(run.directory)
    assert record.state == "broken"
    assert record.faults[0].startswith("metrics.jsonl, line 2 is of format 1, this version reads")
    assert f"{newest.name} is of format 2, this version reads" in record.faults[1]
    with pytest.raises(UserError, match=r"format 2.*update the workspace"):
        checkpoints.load_latest(run.checkpoints)


@pytest.mark.parametrize(
    ("name", "values", "fault"),
    [
        ("environment.json", {"packages": ["numpy"]}, "has a packages that cannot be used"),
        ("data.json", {"records": {"train": "many"}}, "has a records[...] that cannot be used"),
        ("data.json", {"settings": {"size": "big"}}, "has a settings.size that cannot be used"),
        ("result.json", {"validation": {"images": 3}}, "has no loss in its validation"),
        ("result.json", {"imported": "file"}, "has a imported that cannot be used"),
    ],
)
def test_damage_is_one_line_that_names_the_file_and_the_field(tmp_path, name, values, fault):
    run = make_run(tmp_path)
    edit(run.directory / name, **values)
    record = read_record(run.directory)
    assert record.state == "broken"
    (said,) = record.faults
    assert said.startswith(f"{name} {fault}") and "\n" not in said


def test_unknown_keys_break_nothing(tmp_path):
    run = make_run(tmp_path)
    for name in ("environment.json", "data.json", "result.json"):
        edit(run.directory / name, mine={"a": 1})
    lines = (run.directory / "metrics.jsonl").read_text().replace("}", ', "mine": [1]}')
    (run.directory / "metrics.jsonl").write_text(lines)
    assert read_record(run.directory).faults == ()


@pytest.fixture
def diverged(tmp_path):
    """A run whose last losses were not finite, as json once wrote them."""
    run = make_run(tmp_path)
    run.write_json(
        "evaluation_center_crop_validation.json",
        Evaluation(protocol="center_crop", images=20, top1=0.5, top5=0.8, loss=math.inf),
    )
    path = run.directory / "metrics.jsonl"
    *lines, train, validation = path.read_text().splitlines()
    bad = [
        json.dumps(json.loads(line) | {"loss": value})
        for line, value in ((train, math.inf), (validation, math.nan))
    ]
    path.write_text("\n".join([*lines, *bad]) + "\n")
    return run


def test_readers_cope_with_a_loss_that_is_not_finite(diverged, tmp_path):
    record = read_record(diverged.directory, tmp_path)
    assert record.faults == ()
    assert record.train[-1].loss is None and record.validation[-1].loss is None
    assert record.evaluations["center_crop_validation"].loss is None
    assert "loss not finite at epoch 3" in tables.show_text(record)
    assert (
        tables.list_table([record]) and diff_text(record, record) and page.page([record], tmp_path)
    )
    json.loads(curves.embedded(curves.runs_json([record])), parse_constant=pytest.fail)
    assert draw_curves(diverged.directory, "diverged").exists()


def test_a_continued_log_keeps_its_lines_to_the_character_but_for_nan(diverged):
    path = diverged.directory / "metrics.jsonl"
    before = path.read_text().splitlines()
    log = MetricsLog(diverged.directory, 30)
    log.write(ValidationLine(step=31, epoch=3.1, loss=math.nan, top1=0.1, top5=0.5, images=20))
    log.close()
    after = path.read_text().splitlines()
    assert after[:7] == before[:7] and len(after) == 10
    json.loads(f"[{','.join(after)}]", parse_constant=pytest.fail)


def test_an_imported_run_names_its_file_also_without_one(tmp_path):
    run = make_run(tmp_path)
    for imported, name in ((Imported(), "a file"), (Imported(file="net.pth"), "net.pth")):
        run.write_json("result.json", Result(step=0, imported=imported))
        assert read_record(run.directory).imported == name
