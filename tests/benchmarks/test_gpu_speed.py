"""The rows of the table of GPU speeds, from what the commands print."""

import subprocess

import pytest

from base.comparison import OURS, Comparison
from base.errors import UserError
from benchmarks import gpu_speed


def answering(monkeypatch, code: int, stdout: str = "", stderr: str = "") -> list[list[str]]:
    commands = []

    def answer(command, **options):
        commands.append(command)
        return subprocess.CompletedProcess(command, code, stdout, stderr)

    monkeypatch.setattr(subprocess, "run", answer)
    return commands


def test_a_row_has_the_median_the_operations_and_the_memory(monkeypatch, tmp_path):
    figures = str(tmp_path / "gpu.jsonl")
    Comparison("the loop", {OURS: [10.0, 6429.0, 7000.0]}, {}).save(figures)
    printed = (
        "model operations           157.5  TFLOP/s a GPU (NVIDIA H200), 16% of its peak\n"
        "peak memory                 4.99  GiB, of the whole process\n"
        "peak memory                10.31  GiB, of GPU:0\n"
    )
    commands = answering(monkeypatch, 0, printed)
    config = gpu_speed.GpuSpeedConfig(nets=("alexnet",), figures=figures)
    row = gpu_speed.row(config, "alexnet", "bfloat16", "by XLA")
    operations = "157.5 TFLOP/s a GPU (NVIDIA H200), 16% of its peak"
    assert row == f"| alexnet | bfloat16 | by XLA | 6,429 | {operations} | 10.31 GiB |"
    assert {"--precision=mixed_bfloat16", "--jit_compile=true"} < set(commands[0])


def test_a_row_that_fails_says_why(monkeypatch, tmp_path):
    answering(monkeypatch, 1, stderr="error: out of memory: 256 images at once")
    config = gpu_speed.GpuSpeedConfig(nets=("alexnet",), figures=str(tmp_path / "none"))
    row = gpu_speed.row(config, "alexnet", "float32 (TF32)", "without")
    assert "| failed: error: out of memory: 256 images at once |" in row


def test_a_flag_file_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="--nets: there is no"):
        gpu_speed.GpuSpeedConfig(nets=("alexnett",))
