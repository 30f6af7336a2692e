"""Makes run folders for tests, as a training leaves them, without training anything."""

import json
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np

import nets
from base.commandline import flag_lines
from base.spec import parse_call
from trainers.config import TrainConfig
from trainers.run_folder.files import LoopState, state_text
from trainers.run_folder.folder import NOTES, Run

STEPS_PER_EPOCH = 10


def make_run(
    runs_dir: pathlib.Path,
    name: str = "demo/1",
    *,
    top1s: Sequence[float] = (0.2, 0.6, 0.5),
    finished: bool = True,
    data: dict[str, Any] | None = None,
    **flags: Any,
) -> Run:
    """Writes the folder of a run that was evaluated after each epoch, with these accuracies.

    A run that is not `finished` was interrupted after the last of them.
    """
    directory = runs_dir / name
    experiment, _, number = name.rpartition("/")
    settings = {"net": "resnet10(width=4)", "train_epochs": float(len(top1s) or 3), **flags}
    config = TrainConfig(experiment=experiment, runs_dir=str(runs_dir), **settings)
    (directory / "net").mkdir(parents=True)
    for file in nets.source_files(parse_call(config.net).name):
        shutil.copy(file, directory / "net")
    run = Run(directory)
    lines = [line for line, _ in flag_lines(config)]
    (directory / "flags.cfg").write_text("\n".join(["# a comment", *lines, ""]))
    notes = NOTES.format(experiment=experiment, number=number, note=config.note)
    (directory / "notes.md").write_text(notes)
    run.write_json("environment.json", {"python": "3.11", "git_commit": "abc", "gpus": []})
    run.write_json("data.json", make_data() | (data or {}))
    write_metrics(directory, top1s)
    for epoch, top1 in enumerate(top1s, start=1):
        path = write_checkpoint(run.checkpoints, STEPS_PER_EPOCH * epoch)
        if top1 >= max(top1s[:epoch]):
            (run.checkpoints / "best.npz").unlink(missing_ok=True)
            (run.checkpoints / "best.npz").hardlink_to(path)
    if finished:
        run.write_json("result.json", {"step": STEPS_PER_EPOCH * len(top1s)})
    return run


def make_data(classes: int = 5) -> dict[str, Any]:
    """What data.json says of a small generated data set."""
    return {
        "name": "generated",
        "config": "short_side_256_jpeg_q90",
        "generated": True,
        "label_order": "0123456789abcdef",
        "num_classes": classes,
        "wnids": [f"n{label:08d}" for label in range(classes)],
        "words": [f"word {label}" for label in range(classes)],
        "records": {"train": 100, "validation": 20},
        "image_size": {"train": [64, 64], "eval": [64, 64]},
    }


def write_metrics(directory: pathlib.Path, top1s: Sequence[float]) -> None:
    """Two lines of training and one of validation for each epoch."""
    lines = []
    for epoch, top1 in enumerate(top1s, start=1):
        for part in (0.5, 1.0):
            at = epoch - 1 + part
            speed = {"images_per_second": 100 * at}
            lines.append(metrics_line("train", at, top1 / 2, learning_rate=0.1 / epoch, **speed))
        lines.append(metrics_line("validation", epoch, top1, images=20))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (directory / "metrics.jsonl").write_text(text)


def metrics_line(split: str, epoch: float, top1: float, **more: Any) -> dict[str, Any]:
    """One line of metrics.jsonl."""
    return {
        "step": round(STEPS_PER_EPOCH * epoch),
        "epoch": epoch,
        "split": split,
        "loss": 3 - 2 * top1,
        "top1": top1,
        "top5": (1 + top1) / 2,
        **more,
    }


def loop_state(step: int) -> LoopState:
    """What a checkpoint of this step says of the loop."""
    return LoopState(
        step=step, label_order="0123456789abcdef", validation_errors=[], window=[0.0] * 7
    )


def write_checkpoint(directory: pathlib.Path, step: int) -> pathlib.Path:
    """A checkpoint of one small array."""
    directory.mkdir(exist_ok=True)
    path = directory / f"step-{step:08d}.npz"
    state = np.frombuffer(state_text(loop_state(step)).encode(), np.uint8)
    np.savez(path, state=state, **{"model/w": np.full(1000, step, np.float32)})
    return path
