"""Tests that need no TensorFlow start none, so that they answer at once."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

# Folders all of whose tests do without, and files of folders that have others too.
LIGHT = (
    *("tests/base", "tests/data_prep/source", "tests/data_prep/image", "tests/fuzz"),
    *("tests/trainers/report", "tests/test_architecture.py"),
    *(
        f"tests/trainers/run_folder/test_{name}.py"
        for name in ("metrics", "predictions", "pruning", "records")
    ),
    "tests/trainers/run_folder/test_provenance.py",
)
COLLECT = """
import sys, pytest
code = pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *sys.argv[1:]])
heavy = [name for name in ("tensorflow", "keras", "torch") if name in sys.modules]
sys.exit(f"imported: {heavy}" if code or heavy else 0)
"""


@pytest.mark.slow(reason="collects tests in a process of its own")
def test_light_tests_import_no_tensorflow():
    done = subprocess.run(
        [sys.executable, "-c", COLLECT, *LIGHT],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_whoever_imports_tensorflow_first_gets_it_with_four_devices():
    import tensorflow as tf

    assert len(tf.config.list_logical_devices("CPU")) == 4
    assert tf.__spec__.name == "tensorflow" and tf.__spec__.origin
