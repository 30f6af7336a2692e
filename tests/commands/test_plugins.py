"""A net, a map function and a schedule of one's own, from the first step to a lost original."""

import json
import pathlib
import re

import pytest

from tests.conftest import assert_one_line_error, run_command
from tests.making.datasets import write_dataset
from trainers.run_folder.files import TrainLine
from trainers.run_folder.folder import Run
from trainers.run_folder.metrics import read_metrics

pytestmark = pytest.mark.end_to_end

PLUGIN = '''
"""Everything that one may add, in one file."""
import tensorflow as tf

import nets
from pipelines.functions.map_function import MAP_FUNCTIONS, MapFunction, Place, on_image
from trainers.training.schedules import SCHEDULES


def body(nn, x, num_classes, *, width=4):
    x = nn.conv_relu(x, width, 3, strides=4, name="conv1")
    return nn.fc(x, num_classes, name="fc2")


NETS = (nets.Net(name="two_layers", body=body),)


@MAP_FUNCTIONS.register
def darker(levels: int = 8) -> MapFunction:
    """Takes levels off. Source: plain."""
    return MapFunction(on_image(lambda image: tf.maximum(image, levels) - levels), Place.IMAGE)


@SCHEDULES.register
def half():
    """Half of the rate. Source: plain."""
    return lambda progress: 0.5
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> pathlib.Path:
    """A data set, and a plugin with which two steps were trained, whose original is gone."""
    directory = tmp_path_factory.mktemp("place")
    write_dataset(directory / "data")
    (directory / "mine.py").write_text(PLUGIN)
    preview = train(directory, "--images=2", f"--output={directory}/a.png", script=PREVIEW)
    assert "2 images" in preview.stdout
    train(directory, "--train_steps=2")
    (directory / "mine.py").rename(directory / "gone.py")
    return directory


PREVIEW = "pipelines/preview.py"


def train(directory: pathlib.Path, *more: str, script="trainers/train.py", code=0):
    own = (
        "--net=two_layers(width=3)",
        "--schedule=half()",
        "--learning_rate=0.2",
        f"--runs_dir={directory}/runs",
        "--log_steps=1",
    )
    return run_command(
        script,
        f"--plugins={directory}/mine.py",
        f"--data_dir={directory}/data",
        "--train_map=decode_random_crop(32)|darker(16)",
        "--eval_map=decode_center_crop(32)|darker(16)",
        "--train_batch_size=8",
        *(own if script != PREVIEW else ()),
        *more,
        code=code,
    )


def test_the_run_has_copies_that_later_commands_use(place):
    run = Run(place / "runs" / "two_layers" / "1")
    assert (run.directory / "plugins" / "mine.py").read_text() == PLUGIN
    assert not list((run.directory / "plugins").rglob("__pycache__"))
    assert f"--plugins={place}/mine.py" in (run.directory / "flags.cfg").read_text()
    assert run.config().pipeline.plugins == (str(run.directory / "plugins" / "mine.py"),)
    assert run.load_nets().entry("two_layers").options == {"width": 4}
    assert any(isinstance(line, TrainLine) for line in read_metrics(run.directory))
    evaluated = run_command("trainers/evaluate.py", f"--run={run.directory}")
    assert "over 10 images" in evaluated.stdout
    flags = f"--flagfile={run.directory}/flags.cfg"
    run_command(PREVIEW, flags, "--images=2", f"--output={place}/b.png")
    assert (place / "a.png").read_bytes() == (place / "b.png").read_bytes()
    listed = run_command("trainers/runs.py", "list", f"--runs_dir={place}/runs").stdout
    assert "two_layers" in listed
    run_command("trainers/runs.py", "report", f"--runs_dir={place}/runs")
    train(place, f"{flags}", "--experiment=again", f"--plugins={run.directory}/plugins/mine.py")
    again = Run(place / "runs" / "again" / "1")
    assert (again.directory / "plugins" / "mine.py").read_text() == PLUGIN


def interrupted(place: pathlib.Path, experiment: str) -> Run:
    """The first run again, as if it had been stopped after its first checkpoint."""
    first = place / "runs" / "two_layers" / "1"
    run_command(
        "trainers/train.py",
        f"--flagfile={first}/flags.cfg",
        f"--experiment={experiment}",
        "--train_steps=3",
        "--eval_epochs=0.1",
    )
    run = Run(place / "runs" / experiment / "1")
    (run.directory / "result.json").unlink()
    (run.directory / "checkpoints" / "step-00000003.npz").unlink()
    return run


def test_a_run_is_resumed_from_its_copy(place):
    run = interrupted(place, "resumed")
    flags = run.directory / "flags.cfg"
    original = f"--plugins={place}/changed/mine.py"
    flags.write_text(re.sub("--plugins=.*", original, flags.read_text()))
    (place / "changed").mkdir()
    (place / "changed" / "mine.py").write_text("no Python")
    done = run_command("trainers/runs.py", "resume", str(run.directory))
    assert "plugin mine.py has changed since this run began: its copy is used" in done.stderr
    assert json.loads((run.directory / "result.json").read_text())


def test_an_original_that_has_changed_does_not_change_the_run(place):
    run = interrupted(place, "changed")
    same = (f"--flagfile={run.directory}/flags.cfg", f"--plugins={place}/mine.py")
    (place / "mine.py").write_text("raise ValueError('half written')\n")
    try:
        done = run_command("trainers/train.py", *same)
        said = "plugin mine.py has changed since this run began: its copy is used"
        assert said in done.stderr
        assert json.loads((run.directory / "result.json").read_text())
        failed = train(place, "--experiment=new", code=1)
        assert_one_line_error(failed, f"{place}/mine.py, line 1: ValueError: half written")
    finally:
        (place / "mine.py").unlink()


def test_the_catalogues_take_plugins(place):
    gone = f"--plugins={place}/gone.py"
    listed = run_command("-m", "nets", gone).stdout
    assert [line.split() for line in listed.splitlines() if line.startswith("two_layers")] == [
        ["two_layers", "-", "224", "-", "-", "-"]
    ]
    table = run_command("-m", "nets", "two_layers", gone).stdout
    assert "To pin in its entry: params=12_545_112, macs=" in table
    assert "darker(levels=8)   [host]" in run_command("-m", "pipelines", gone).stdout
    assert "Half of the rate." in run_command("-m", "trainers", "half", gone).stdout


def test_a_net_whose_name_is_taken_is_refused_in_one_line(tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN.replace("two_layers", "alexnet"))
    for command in (["-m", "nets"], ["trainers/train.py", "--net=alexnet", "--data=synthetic"]):
        done = run_command(*command, f"--plugins={tmp_path}/mine.py", code=1)
        assert_one_line_error(done, "there is a net alexnet already: take another name")
