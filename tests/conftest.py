"""What every test may ask for: the real ILSVRC sample, and quiet TensorFlow."""

import gc
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from base.tensorflow_start import start_tensorflow

start_tensorflow()  # with the settings that the commands have

import tensorflow as tf  # noqa: E402

# Replicas are tested on logical CPU devices, which exist from the start or not at all.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
)

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIBRARY_LOG = re.compile(r"^(WARNING:|[IWEF]\d{4} )", re.MULTILINE)

# The files that take longest, by their minutes. With two files at a time, one of these at the end
# would run alone.
LONG_FILES = (
    "trainers/training/test_step.py",
    "commands/test_end_to_end.py",
    "nets/test_training.py",
    "commands/test_evaluate.py",
    "commands/test_runs.py",
    "commands/test_build.py",
    "nets/test_counts.py",
    "trainers/training/test_multi_worker.py",
    "trainers/serving/test_exporting.py",
    "commands/test_pipelines.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests of the longest files first."""
    order = {ROOT / "tests" / name: place for place, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def forget_traced_nets() -> None:
    """Frees the weights of nets that were traced: TensorFlow keeps each own gradient for ever."""
    from tensorflow.python.framework import ops

    registry = ops.gradient_registry._registry
    for name in [name for name in registry if name.startswith("CustomGradient-")]:
        del registry[name]
    gc.collect()


@pytest.fixture(scope="module", autouse=True)
def _bounded_memory() -> Iterator[None]:
    yield
    forget_traced_nets()


@pytest.fixture(scope="session")
def sample_dir() -> pathlib.Path:
    """The directory of real photographs, from ILSVRC_SAMPLE_DIR or ../shared/data.

    An outsider has none and the test is skipped with a reason; in CI that skip is a failure.
    """
    directory = pathlib.Path(os.environ.get("ILSVRC_SAMPLE_DIR", ROOT.parent / "shared" / "data"))
    if not (directory / "ilsvrc2012_sample").is_dir():
        message = f"no real ILSVRC sample in {directory} (set ILSVRC_SAMPLE_DIR)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return directory


def run_command(script: str, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs one of the workspace's commands in a process of its own, from the project's root.

    Asserts its exit code, showing what it printed if another came, and that no library has put a
    line of its log between the command's own.
    """
    done = subprocess.run(
        [sys.executable, script, *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    printed = f"{script} {arguments}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == code, printed
    assert not LIBRARY_LOG.search(done.stderr), printed
    return done


def assert_one_line_error(done: subprocess.CompletedProcess[str], *says: str) -> None:
    """Asserts that a command failed with a single line on stderr that contains all of `says`."""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error: ")
    for text in says:
        assert text in done.stderr, done.stderr


@pytest.fixture(scope="session")
def real_data(sample_dir, tmp_path_factory) -> pathlib.Path:
    """The data set that build_tfrecords.py makes of the real photographs, with its defaults."""
    data_dir = tmp_path_factory.mktemp("real_data")
    run_command(
        "data_prep/build_tfrecords.py",
        f"--source={sample_dir / 'ilsvrc2012_sample'}",
        f"--data_dir={data_dir}",
    )
    return data_dir


@pytest.fixture(scope="session")
def generated_data(tmp_path_factory) -> pathlib.Path:
    """The data set that build_tfrecords.py makes of the embedded sample."""
    data_dir = tmp_path_factory.mktemp("generated_data")
    run_command("data_prep/build_tfrecords.py", f"--data_dir={data_dir}")
    return data_dir
