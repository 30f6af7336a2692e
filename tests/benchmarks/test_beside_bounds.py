"""Benchmarks that need no peers: that they measure, and what they refuse."""

import pytest

from base.comparison import load
from tests.conftest import assert_one_line_error, run_command
from tests.making.datasets import write_dataset


@pytest.mark.end_to_end
def test_an_evaluation_is_measured_beside_its_forward_pass(tmp_path):
    write_dataset(tmp_path / "data")
    figures = tmp_path / "speed.jsonl"
    done = run_command(
        "benchmarks/evaluation.py",
        *(f"--data_dir={tmp_path}/data", "--net=resnet10(width=8)", "--eval_batch_size=20"),
        "--train_batch_size=20",
        *("--train_map=decode_random_crop(32)", "--eval_map=decode_center_crop(32)"),
        *("--rounds=2", f"--figures={figures}"),
    )
    (comparison,) = load(str(figures))
    assert comparison.title == "scoring resnet10(width=8)"
    assert [len(rates) for rates in comparison.rates.values()] == [2, 2]
    assert done.stdout.splitlines() == comparison.lines()


@pytest.mark.end_to_end
def test_peers_have_the_same_images(tmp_path):
    write_dataset(tmp_path / "ours")
    write_dataset(tmp_path / "theirs", train=10)
    done = run_command(
        "benchmarks/input_pipelines.py",
        *(f"--data_dir={tmp_path}/ours", f"--peers_data_dir={tmp_path}/theirs"),
        code=1,
    )
    assert_one_line_error(done, "--peers_data_dir=", "has other images than")
