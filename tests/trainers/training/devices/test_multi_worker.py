"""Several processes under TF_CONFIG on loopback train as the replicas of one process do."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

from base.errors import UserError
from tests.conftest import ROOT
from trainers import config
from trainers.run_folder.metrics import METRICS_FILE, read_metrics
from trainers.training import session
from trainers.training.devices.replicas import MULTI_WORKER, open_devices

pytestmark = pytest.mark.end_to_end

FLAGS = (
    "--net=resnet10(width=4)",
    "--train_map=decode_random_resized_crop(32)|random_flip",
    "--eval_map=decode_center_crop(224)|resize_short_side(32)|center_crop(32)",
    "--train_device_map=mean_std|pca_lighting(0.1)",
    "--eval_device_map=mean_std",
    "--train_batch_size=16",
    "--eval_batch_size=64",
    "--learning_rate=0.01",
    "--log_steps=1",
    "--eval_epochs=0.1",
)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start_workers(*flags: str) -> list[subprocess.Popen[str]]:
    """Two processes, each of one CPU device, the first worker first."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    return [
        subprocess.Popen(
            [
                sys.executable,
                "trainers/train.py",
                *FLAGS,
                "--distribution=multi_worker",
                "--replicas=cpu",
                *flags,
            ],
            env=os.environ
            | {
                "TF_CONFIG": json.dumps(
                    {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
                )
            },
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]


def finish(workers: list[subprocess.Popen[str]]) -> list[tuple[str, str]]:
    """What each printed on stdout and stderr; asserts that each ended well."""
    printed = [worker.communicate(timeout=300) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], printed
    return printed


def wait_for_lines(file: pathlib.Path, count: int) -> None:
    deadline = time.monotonic() + 240
    while not file.exists() or len(file.read_text().splitlines()) < count:
        assert time.monotonic() < deadline, f"{file} has not {count} lines"
        time.sleep(0.1)


def values(run_dir: pathlib.Path) -> list[tuple]:
    return [(line.step, line.split, line.loss) for line in read_metrics(run_dir)]


def test_two_processes_have_the_losses_of_two_replicas_also_when_stopped(generated_data, tmp_path):
    data = f"--data_dir={generated_data}"
    flags = (data, "--train_steps=14")
    one = config.parse([*FLAGS, *flags, f"--runs_dir={tmp_path / 'one'}", "--replicas=cpu:2"])
    run, _ = session.train(one)
    expected = values(run.directory)
    assert len(expected) == 14 + 3, "every step, and an evaluation after every sixth and the last"

    flags += (f"--runs_dir={tmp_path / 'two'}",)
    run_dir = tmp_path / "two" / "resnet10" / "1"
    workers = start_workers(*flags)
    wait_for_lines(run_dir / METRICS_FILE, 3)
    workers[1].send_signal(signal.SIGTERM)  # one of them is told, and both save and stop
    printed = finish(workers)
    assert "SIGTERM: saved at step" in printed[0][0]
    assert printed[1][0] == "", "the first worker alone speaks"
    assert not (run_dir / "result.json").exists()

    printed = finish(start_workers(*flags))
    assert "continuing after step" in printed[0][0]
    assert f"{run_dir}: validation top-1" in printed[0][0]
    assert printed[1][0] == "", "the first worker alone speaks"
    found = values(run_dir)
    assert [line[:2] for line in found] == [line[:2] for line in expected]
    assert [line[2] for line in found] == pytest.approx([line[2] for line in expected], rel=1e-5)


ONE = '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": %d}}'


@pytest.mark.parametrize(
    ("tf_config", "replicas", "says"),
    [
        (None, "auto", "TF_CONFIG is not set"),
        ("{}", "auto", "TF_CONFIG is {}"),
        ("worker", "auto", "TF_CONFIG is worker"),
        (ONE % 1, "auto", '"index": 1'),
        (ONE % 0, "cpu:2", "--replicas=cpu:2"),
    ],
)
def test_what_names_no_machines_is_refused(tf_config, replicas, says, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if tf_config is not None:
        monkeypatch.setenv("TF_CONFIG", tf_config)
    with pytest.raises(UserError) as error:
        open_devices(replicas, MULTI_WORKER)
    assert says in str(error.value)
