"""A spinning disk, by a preloaded library: reading in order is many times quicker."""

import re
import shutil

import pytest

from tests.conftest import run_command


@pytest.mark.slow(reason="random reading waits for a slow disk")
def test_in_order_is_many_times_quicker_than_at_random(tmp_path):
    if not (shutil.which("cc") or shutil.which("gcc")):
        pytest.skip("no C compiler (cc, gcc) for a preloaded library")
    flags = ("--images=4000", "--random_images=1000", "--size=64", f"--work={tmp_path / 'work'}")
    said = run_command("benchmarks/slow_disk.py", *flags).stdout
    (times,) = re.findall(r"--reading=random, ([\d.]+) times that \(worked out from 1,000\)", said)
    assert float(times) > 5, said
    assert not (tmp_path / "work").exists()
