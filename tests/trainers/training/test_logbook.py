"""What a run shows in TensorBoard, by the flags that ask for it."""

import pytest

from trainers import config
from trainers.training import session

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
