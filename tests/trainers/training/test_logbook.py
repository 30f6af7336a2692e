"""What a run shows in TensorBoard, by the flags that ask for it."""

import errno

import pytest

from trainers import config
from trainers.run_folder.metrics import MetricsLog
from trainers.training import session
from trainers.training.logbook import FirstEstimate, Logbook
from trainers.training.validation import Score

FLAGS = (
    "--net=resnet10(width=4)",
    "--train_map=decode_random_crop(32)",
    "--eval_map=decode_center_crop(32)",
    "--train_batch_size=16",
    "--train_steps=4",
    "--log_steps=1",
)


@pytest.mark.slow(reason="it trains under the profiler")
def test_profile_scalars_and_images_are_written(generated_data, tmp_path, capsys):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run, _ = session.train(
        config.parse(
            [
                *FLAGS,
                f"--data_dir={generated_data}",
                f"--runs_dir={tmp_path}",
                "--tensorboard",
                "--tensorboard_images=3",
                "--profile_steps=2:3",
            ]
        )
    )
    directory = run.directory / "tensorboard"
    assert list(directory.glob("plugins/profile/*/*.xplane.pb")), "the profile"
    assert f"profile written to {directory}" in capsys.readouterr().out
    events = EventAccumulator(str(directory), size_guidance={"tensors": 0})
    events.Reload()
    assert len(events.Tensors("train/loss")) == 4
    width, height, *images = events.Tensors("input")[0].tensor_proto.string_val
    assert (width, height, len(images)) == (b"32", b"32", 3)
    assert all(image.startswith(b"\x89PNG") for image in images)


@pytest.fixture
def logbook(tmp_path):
    with Logbook(tmp_path, resumed_step=0, total_steps=4, steps_per_epoch=2) as made:
        yield made


def test_a_net_that_sees_nothing_is_named_at_each_validation(logbook, capsys):
    logbook.validation(2, Score(20, 1.6, 0.2, 0.9))
    assert "warning" not in capsys.readouterr().out
    logbook.validation(4, Score(20, 1.6, 0.0, 0.9, constant=True))
    assert "warning: the net gives the same logits for all images" in capsys.readouterr().out


def test_the_first_estimate_counts_neither_compiling_nor_evaluations():
    estimate = FirstEstimate(total_steps=1000)
    estimate.restart(0.0)
    assert not estimate.after(1, 60.0), "it compiled"
    assert not estimate.after(10, 65.0)
    estimate.restart(400.0)  # an evaluation
    said = estimate.after(20, 405.1)
    assert said == "about 9 min left: 980 steps of 0.532 s, as the last 19 took, evaluations apart"
    assert not estimate.after(30, 500.0), "it is said once"


def test_what_ends_within_a_minute_is_not_estimated():
    estimate = FirstEstimate(total_steps=50)
    assert not any(estimate.after(step, float(step)) for step in range(1, 51))


def test_a_full_disk_loses_no_score(logbook, capsys, monkeypatch):
    def full(self, line):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(MetricsLog, "write", full)
    with pytest.raises(OSError, match="No space"):
        logbook.validation(2, Score(20, 1.6, 0.4, 0.9))
    assert "top-1 40.0 %" in capsys.readouterr().out
