"""The data set that the tests of scoring share: a few photographs, and nets that are small."""

import pytest

from tests.making.datasets import sample_photographs
from tests.making.trained_runs import stored_dataset

SIZE, CROP, IMAGES = 96, 64, 6
NET = "resnet10(width=8)"


@pytest.fixture(scope="module")
def data_dir(sample_dir, tmp_path_factory):
    """A data set of IMAGES photographs, stored with a short side of SIZE pixels."""
    photographs = sample_photographs(sample_dir, IMAGES)
    return stored_dataset(tmp_path_factory.mktemp("data") / "set", photographs, SIZE)
