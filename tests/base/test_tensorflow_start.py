"""TensorFlow as it is found by who imports ours from Python: as the commands have it."""

import glob
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

ON_CPU = not glob.glob("/dev/nvidia[0-9]*")
CHECK = """
from tensorflow.python.util import _pywrap_util_port
assert not _pywrap_util_port.IsMklEnabled(), "oneDNN is on"
assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3"
"""


def python(code: str, **environment: str) -> str:
    """What a process of its own says on stderr; TensorFlow's variables are not set for it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-c", "import os, sys\n" + code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=kept | {"PYTHONPATH": str(ROOT)} | environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("package", ["nets", "pipelines", "trainers"])
def test_importing_a_package_imports_nothing_heavy(package):
    python(
        f"import {package}\n"
        "heavy = {'tensorflow', 'keras', 'jax', 'torch', 'absl', 'numpy'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )


@pytest.mark.slow(reason="TensorFlow starts in processes of their own")
@pytest.mark.parametrize("package", ["nets", "pipelines", "trainers"])
def test_whoever_imports_a_package_first_has_tensorflow_as_the_commands_have_it(package):
    said = python(f"import {package}, tensorflow{CHECK}")
    assert not said or package == "nets", "which does not start it, and passes on what it says"
    if package != "nets" and ON_CPU:
        python(
            f"import {package}, keras\n"
            "assert sys.modules['tensorflow'].__spec__.origin\n"
            "assert os.environ['TF_CPU_ALLOCATOR_USE_BFC'] == 'true'"
        )


@pytest.mark.slow(reason="TensorFlow starts in processes of their own")
@pytest.mark.parametrize("package", ["nets", "pipelines, trainers, nets"])
def test_after_tensorflow_one_line_says_what_could_not_be_set(package):
    said = python(f"import tensorflow\nprint('HERE', file=sys.stderr)\nimport {package}")
    lines = said.partition("HERE\n")[2].splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("note: TensorFlow was imported before: oneDNN is on")
    assert ("freed memory is not kept" in lines[0]) == ("trainers" in package and ON_CPU)


@pytest.mark.slow(reason="TensorFlow starts in processes of their own")
def test_what_is_set_already_is_left_and_nothing_is_said():
    said = python("import tensorflow, nets", TF_ENABLE_ONEDNN_OPTS="1")
    assert "note:" not in said
    said = python(
        "import trainers, nets\nassert os.environ['TF_ENABLE_ONEDNN_OPTS'] == '1'",
        TF_ENABLE_ONEDNN_OPTS="1",
    )
    assert "note:" not in said
