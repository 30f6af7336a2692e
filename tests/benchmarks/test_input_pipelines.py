"""What the comparison of input pipelines refuses."""

import pytest

from tests.conftest import assert_one_line_error, run_command
from tests.making.datasets import write_dataset


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
    done = run_command(
        "benchmarks/input_pipelines.py",
        *(f"--data_dir={tmp_path}/ours", "--peers_data_dir=/none"),
        code=1,
    )
    assert_one_line_error(done, "--peers_data_dir=/none is not a directory")
