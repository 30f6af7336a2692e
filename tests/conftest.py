"""What every test may ask for: the real ILSVRC sample, and quiet TensorFlow."""

import os
import pathlib

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

ROOT = pathlib.Path(__file__).resolve().parent.parent


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
