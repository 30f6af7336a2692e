"""A training that is killed at any step and continued is the one that was not, to the bit."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.commands.test_end_to_end import reproducible
from tests.conftest import ROOT
from tests.making.datasets import write_dataset
from tests.making.tiny_net import tiny_net
from tests.trainers.training.devices.test_multi_worker import free_ports

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.slow(reason="it trains three times, in processes of their own"),
]

# Everything that a checkpoint has to bring back: averages of weights, batch norm on replicas, draws
# of pairs, images that have grown, a rate that depends on the step, and a window that is half full.
FLAGS = (
    "--train_map=decode_random_crop({size})|random_flip",
    "--train_sizes=0:24,2:32",
    "--eval_map=decode_center_crop(32)",
    "--train_device_map=mean_std|mixup(0.2)",
    "--eval_device_map=mean_std",
    "--train_batch_size=16",
    "--eval_batch_size=16",
    "--train_epochs=4",
    "--schedule=cosine()",
    "--ema_decay=0.9",
    "--log_steps=2",
)
LINES = 4 * 3 // 2 + 4  # of 12 steps and 4 evaluations


def start(processes: int, *flags: str) -> list[subprocess.Popen[str]]:
    """`train.py` on two replicas, in one process or in two; the first writes."""
    command = [sys.executable, "trainers/train.py", *FLAGS, *flags]
    environments: list[dict[str, str]] = [{}]
    command.append("--replicas=cpu:2" if processes == 1 else "--replicas=cpu")
    if processes == 2:
        command.append("--distribution=multi_worker")
        cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
        environments = [
            {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": i}})}
            for i in range(2)
        ]
    return [
        subprocess.Popen(command, cwd=ROOT, env=os.environ | each, stdout=subprocess.DEVNULL)
        for each in environments
    ]


def kill_at_line(processes: list[subprocess.Popen[str]], metrics: pathlib.Path, line: int) -> None:
    """Ends all of them, as a machine that fails does, once so many lines are written."""
    deadline = time.monotonic() + 120
    while not metrics.exists() or metrics.read_text().count("\n") < line:
        assert time.monotonic() < deadline and processes[0].poll() is None
        time.sleep(0.005)
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.wait()


def arrays(run_dir: pathlib.Path) -> dict[str, dict[str, bytes]]:
    """Every array of every checkpoint, by file and name."""
    found = {}
    for path in sorted((run_dir / "checkpoints").glob("*.npz")):
        with np.load(path) as file:
            found[path.name] = {name: file[name].tobytes() for name in file.files}
    return found


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_at_a_random_step_it_has_the_same_lines_and_arrays(tmp_path, processes):
    data_dir = write_dataset(tmp_path / "data", train=48, validation=10)
    flags = [*tiny_net(tmp_path), f"--data_dir={data_dir}"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for process in start(processes, *flags, f"--runs_dir={whole}"):
        assert process.wait(timeout=120) == 0
    expected = reproducible(whole / "tiny_net" / "1")
    assert len(expected) == LINES

    run_dir = killed / "tiny_net" / "1"
    line = random.randrange(1, LINES - 1)
    print(f"killed at line {line}")
    kill_at_line(start(processes, *flags, f"--runs_dir={killed}"), run_dir / "metrics.jsonl", line)
    assert not (run_dir / "result.json").exists(), "it was killed before its end"
    for process in start(processes, *flags, f"--runs_dir={killed}"):
        assert process.wait(timeout=120) == 0
    assert [path.name for path in run_dir.parent.iterdir()] == ["1"]
    assert reproducible(run_dir) == expected
    found, wanted = arrays(run_dir), arrays(whole / "tiny_net" / "1")
    assert found.keys() == wanted.keys() and len(found) == 3
    for name, content in wanted.items():
        assert found[name] == content, f"{name}, killed at line {line}"
