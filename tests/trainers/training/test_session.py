"""Training from Python: several times in one process, in a thread, on other devices."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.making.datasets import write_dataset

# What a notebook does. Its own prints begin with "> ".
NOTEBOOK = """
import os, sys, threading
from base.errors import UserError
from trainers import config
from trainers.training import session

def train(experiment, *flags):
    return session.train(config.parse([*sys.argv[1:], f"--experiment={experiment}", *flags]))

train("first", "--replicas=cpu:1")
train("second", "--replicas=cpu:1")
thread = threading.Thread(target=train, args=("thread", "--replicas=cpu:1"))
thread.start()
thread.join()
os.environ["TF_CONFIG"] = (
    '{"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": 0}}'
)
for flags in (["--replicas=cpu:2"], ["--replicas=cpu", "--distribution=multi_worker"]):
    try:
        train("late", *flags)
    except UserError as error:
        print(">", error)
"""


@pytest.mark.end_to_end
@pytest.mark.slow(reason="it trains three times in a process of its own")
def test_one_process_trains_again_and_in_a_thread_and_says_what_it_cannot(tmp_path):
    data, runs = write_dataset(tmp_path / "data"), tmp_path / "runs"
    flags = ["--net=resnet10(width=4)", f"--data_dir={data}", f"--runs_dir={runs}"]
    flags += ["--train_map=decode_random_crop(32)", "--eval_map=decode_center_crop(32)"]
    flags += ["--train_batch_size=12", "--train_steps=2", "--eval_batch_size=4"]
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK, *flags],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    refused = [line for line in done.stdout.splitlines() if line.startswith("> ")]
    assert len(refused) == 2
    assert "--replicas=cpu:2, but this process has begun to compute with cpu:1" in refused[0]
    assert "--distribution=multi_worker, but this process has begun" in refused[1]
    assert done.stdout.count("note: training in a thread") == 1
    lines = {}
    for name in ("first", "second", "thread"):
        text = (runs / name / "1" / "metrics.jsonl").read_text()
        lines[name] = [json.loads(line) for line in text.splitlines()]
        for line in lines[name]:
            for timed in ("images_per_second", "input_wait"):
                line.pop(timed, None)
    assert lines["first"] == lines["second"] == lines["thread"]
    assert not (runs / "late").exists()
