"""What every test may ask for: the real ILSVRC sample, and quiet TensorFlow."""

import gc
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import hypothesis
import pytest

import nets
from base import plugins
from tests.tensorflow_on_import import forget_traced_nets, start_on_import

start_on_import()

# The same examples every time: what a property test finds in CI is found again on a desk.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("repeatable")

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
    "trainers/training/devices/test_gpu_step.py",
    "commands/test_exact_resuming.py",
    "trainers/training/devices/test_multi_worker.py",
    "trainers/serving/test_exporting.py",
    "commands/test_pipelines.py",
    "nets/test_gpu_kernels.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """What tests/fuzz is told."""
    group = parser.getgroup("fuzz", "damaged files (tests/fuzz)")
    group.addoption("--mutations", type=int, default=1000, help="how many of each input")
    group.addoption("--fuzz_seed", type=int, default=0, help="of which seed")
    group.addoption("--mutation", type=int, help="this one alone, by its number")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests of the longest files first."""
    order = {ROOT / "tests" / name: place for place, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def pytest_collection_finish() -> None:
    """Leaves what is imported by now out of every garbage collection: a million objects."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _bounded_memory() -> Iterator[None]:
    yield
    forget_traced_nets()


@pytest.fixture(scope="module", autouse=True)
def _no_plugin_left() -> Iterator[None]:
    """Takes away what the plugins of a module's tests have registered."""
    yield
    for plugin in list(plugins._active.values()):
        plugin._withdraw()
        nets.register((), plugin.name)
    plugins._active.clear()


@pytest.fixture(scope="session")
def sample_dir() -> pathlib.Path:
    """The directory of real photographs, from ILSVRC_SAMPLE_DIR or ../shared/data.

    An outsider has none and the test is skipped with a reason; with REQUIRE_SAMPLE=1 in the
    environment, as our own CI has it, it fails.
    """
    directory = pathlib.Path(os.environ.get("ILSVRC_SAMPLE_DIR", ROOT.parent / "shared" / "data"))
    if not (directory / "ilsvrc2012_sample").is_dir():
        message = f"no real ILSVRC sample in {directory} (set ILSVRC_SAMPLE_DIR)"
        if os.environ.get("REQUIRE_SAMPLE"):
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
