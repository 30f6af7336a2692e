"""Runs go on where they stopped, wherever they lie now, and say why they stopped."""

import errno
import os
import pathlib
import shutil
import signal
import sys

import pytest
import tensorflow as tf

from base.errors import UserError
from tests.making.datasets import write_dataset
from tests.making.tiny_net import SHORT_STEPS, SHORT_TRAINING
from trainers import config, runs
from trainers.run_folder import history
from trainers.run_folder.continuing import find_interrupted
from trainers.run_folder.folder import Run
from trainers.run_folder.metrics import MetricsLog, read_metrics
from trainers.run_folder.records import read_record
from trainers.training import session
from trainers.training.logbook import SilentLogbook
from trainers.training.loop import _stop_signals
from trainers.training.step import TrainStep
from trainers.training.validation import CenterCrop

pytestmark = pytest.mark.slow(reason="most tests train a net for some steps")

FLAGS = ("--net=resnet10(width=4)", *SHORT_TRAINING)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> pathlib.Path:
    """A workspace with a data set and a finished run, made with relative paths; to be copied."""
    root = tmp_path_factory.mktemp("finished")
    write_dataset(root / "data", train=48)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        session.train(config.parse([*FLAGS, "--experiment=mine", "--tensorboard"]))
    return root


@pytest.fixture
def workspace(finished, tmp_path, monkeypatch) -> pathlib.Path:
    """The same, interrupted after the first of its two epochs; the working directory."""
    root = tmp_path / "workspace"
    shutil.copytree(finished, root)
    interrupt(root / "runs" / "mine" / "1")
    monkeypatch.chdir(root)
    return root


def interrupt(directory: pathlib.Path) -> None:
    (directory / "result.json").unlink()
    (directory / "history.json").unlink()
    (directory / "checkpoints" / f"step-{2 * SHORT_STEPS:08d}.npz").unlink()


def again(*flags: str) -> config.TrainConfig:
    return config.parse([*FLAGS, "--experiment=mine", "--tensorboard", *flags])


def losses(directory: pathlib.Path) -> list[tuple]:
    return [(line.step, line.split, line.loss) for line in read_metrics(directory)]


def resume(name: str, **flags) -> None:
    """`runs.py resume`."""
    runs.resume(runs.RunsConfig(**flags), [name])


def test_a_flag_spelled_otherwise_or_that_trains_nothing_may_change(workspace, finished, capsys):
    other = again(
        "--net=resnet10( width=4 )", "--data_dir=data/", "--log_steps=2", "--keep_checkpoints=5"
    )
    run, _ = session.train(other)
    assert run.number == 1
    said = capsys.readouterr().out
    assert "--log_steps is '2', was '1'" in said and "--net is" not in said
    expected = [line for line in losses(finished / "runs/mine/1") if line[1] == "validation"]
    assert [line for line in losses(run.directory) if line[1] == "validation"] == expected
    assert (run.flags().log_steps, run.flags().keep_checkpoints) == (2, 5), "it is kept"
    [stretch] = history.read(run)
    assert stretch.changed["log_steps"] == "1 -> 2"
    assert (stretch.first_step, stretch.last_step, stretch.outcome) == (3, 6, "finished")
    assert stretch.began <= stretch.ended and stretch.seconds > 0 and stretch.host


def test_on_other_replicas_it_goes_on_where_that_is_asked_for(workspace, finished, capsys):
    assert find_interrupted(again("--replicas=cpu:2")) is None, "batch norm is of other parts"
    assert "--replicas was 'cpu'" in capsys.readouterr().out
    resume("mine", replicas="cpu:2")
    assert "--replicas is 'cpu:2', was 'cpu': the same batches" in capsys.readouterr().out
    found, expected = losses(pathlib.Path("runs/mine/1")), losses(finished / "runs/mine/1")
    assert [line[:2] for line in found] == [line[:2] for line in expected]
    assert [line[2] for line in found] == pytest.approx([line[2] for line in expected], rel=0.1)


def test_where_a_flag_differs_the_line_says_which_and_which_run_it_would_have_continued(
    workspace, capsys
):
    run, _ = session.train(again("--learning_rate=0.02", "--train_steps=1"))
    assert run.number == 2
    said = next(line for line in capsys.readouterr().out.splitlines() if "a new run" in line)
    assert "runs/mine/1" in said and "--learning_rate was '0.01'" in said
    assert "--train_steps was '0'" in said and "runs.py resume runs/mine/1" in said


def test_another_data_set_is_refused_by_name_with_the_way_out(workspace):
    shutil.rmtree("data")
    write_dataset(workspace / "data", train=48, size=41)
    for start in (lambda: session.train(again()), lambda: resume("mine")):
        with pytest.raises(UserError) as raised:
            start()
        said = str(raised.value)
        assert "manifest's hash was" in said and "--data_dir" in said and "--noresume" in said
    write_dataset(workspace / "more", train=52)
    with pytest.raises(UserError, match="train records was 48 and is 52"):
        resume("mine", data_dir="more")


def test_a_moved_and_renamed_run_goes_on_with_moved_data_from_anywhere(
    workspace, finished, tmp_path, monkeypatch
):
    (workspace / "data").rename(tmp_path / "elsewhere")
    moved = tmp_path / "kept" / "other" / "20240101"
    moved.parent.mkdir(parents=True)
    (workspace / "runs" / "mine" / "1").rename(moved)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"--data_dir=data is not a directory"):
        resume(str(moved))
    resume("kept/other/20240101", data_dir="elsewhere")
    assert losses(moved) == losses(finished / "runs/mine/1")
    assert Run(moved).flags().pipeline.data_dir == str(tmp_path / "elsewhere"), "evaluate finds it"


def test_a_run_finds_its_data_from_another_working_directory(workspace, finished, monkeypatch):
    monkeypatch.chdir("/")
    resume(str(workspace / "runs" / "mine"))
    assert losses(workspace / "runs/mine/1") == losses(finished / "runs/mine/1")


def test_resume_falls_back_to_an_older_checkpoint(workspace, finished, capsys):
    damaged = workspace / "runs/mine/1/checkpoints" / f"step-{SHORT_STEPS + 1:08d}.npz"
    damaged.write_bytes(b"half")
    assert read_record(workspace / "runs/mine/1").state == "broken"
    resume("mine")
    assert "falling back to the one before" in capsys.readouterr().out
    assert losses(workspace / "runs/mine/1") == losses(finished / "runs/mine/1")


def test_a_finished_run_is_trained_further(finished, tmp_path, monkeypatch, capsys):
    shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    with pytest.raises(UserError, match=r"is finished.*--train_epochs=N"):
        resume("mine")
    with pytest.raises(UserError, match="has taken 6 steps, and 5 are asked for"):
        resume("mine", train_steps=5)
    assert read_record(pathlib.Path("runs/mine/1")).state == "finished", "nothing has changed"
    resume("mine", train_epochs=3.0)
    assert "from here on the schedule is that of the whole new length" in capsys.readouterr().out
    record = read_record(pathlib.Path("runs/mine/1"))
    assert (record.state, record.result.step, record.config.train_epochs) == ("finished", 9, 3.0)
    assert losses(record.directory)[:8] == losses(finished / "runs/mine/1")
    assert [each.last_step for each in record.history] == [6, 9]


def test_tensorboard_has_each_step_once_after_a_kill(workspace):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    session.train(again())
    events = EventAccumulator("runs/mine/1/tensorboard", size_guidance={"tensors": 0})
    events.Reload()
    assert [each.step for each in events.Tensors("train/loss")] == [1, 2, 3, 4, 5, 6]
    assert [each.step for each in events.Tensors("validation/loss")] == [3, 6]


def failing(monkeypatch, kind: type, name: str, error: Exception, *, after: int) -> None:
    """Lets a method raise once it was called so often."""
    whole, calls = getattr(kind, name), []

    def fails(*arguments):
        calls.append(0)
        if len(calls) > after:
            raise error
        return whole(*arguments)

    monkeypatch.setattr(kind, name, fails)


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "metrics.jsonl")
EXHAUSTED = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")


@pytest.mark.parametrize(
    ("kind", "method", "after", "error", "reason"),
    [
        (TrainStep, "take_steps", 1, EXHAUSTED, "out of memory: 16 images at once"),
        (CenterCrop, "evaluate", 0, EXHAUSTED, "out of memory in the evaluation: lower --eval_ba"),
        (CenterCrop, "evaluate", 0, MemoryError(), "out of memory in the evaluation: lower --eval"),
        (MetricsLog, "write", 1, FULL, "metrics.jsonl: No space left on device"),
    ],
)
def test_a_failed_run_says_why_and_is_continued(
    workspace, monkeypatch, kind, method, after, error, reason
):
    with monkeypatch.context() as patch, pytest.raises((UserError, OSError)):
        failing(patch, kind, method, error, after=after)
        session.train(again())
    record = read_record(workspace / "runs/mine/1")
    assert record.state == "failed" and record.faults[0].startswith(reason)
    session.train(again())
    record = read_record(workspace / "runs/mine/1")
    assert (record.state, record.faults) == ("finished", ())
    assert [each.outcome for each in record.history] == ["failed", "finished"]


def test_a_run_whose_loss_is_not_finite_has_failed_though_at_its_first_step(workspace):
    with pytest.raises(UserError, match="lower --learning_rate"):
        session.train(again("--learning_rate=1e30", "--experiment=wild"))
    record = read_record(workspace / "runs/wild/1")
    assert record.state == "failed" and "lower --learning_rate" in record.faults[0]


def test_on_a_full_disk_the_reason_is_written_over_what_is_there(workspace, monkeypatch):
    run = Run(workspace / "runs/mine/1")
    with pytest.raises(UserError), history.recorded(run, lambda: 3, {}):
        failing(monkeypatch, Run, "write_json", FULL, after=0)
        raise UserError("the disk is full")
    assert read_record(run.directory).faults == ("the disk is full",)


def test_a_refused_start_leaves_no_run(workspace, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UserError, match="pip install tensorboard"):
        session.train(again("--experiment=new"))
    assert not (workspace / "runs" / "new").exists()
    with pytest.raises(UserError, match="pip install tensorboard"):
        session.train(again())
    assert (workspace / "runs/mine/1/checkpoints").exists(), "one that was begun stays"


def test_a_hang_up_asks_to_stop_unless_it_was_ignored_from_the_start():
    with _stop_signals(SilentLogbook()) as received:
        os.kill(os.getpid(), signal.SIGHUP)
        assert received() == signal.SIGHUP
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with _stop_signals(SilentLogbook()) as received:
            os.kill(os.getpid(), signal.SIGHUP)
            assert received() == 0
    finally:
        signal.signal(signal.SIGHUP, before)
