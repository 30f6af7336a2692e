"""The notebooks run from beginning to end, here with the shortest trainings."""

import json
import os

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder of their data and runs, which they share."""
    return tmp_path_factory.mktemp("demo")


@pytest.mark.end_to_end
@pytest.mark.slow(reason="each has a kernel of its own, and most train")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, demo, monkeypatch):
    settings = {"DEMO": str(demo), "EPOCHS": "1", "PYTHONPATH": str(ROOT)}
    for name, value in settings.items():
        monkeypatch.setitem(os.environ, name, value)
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": path.parent}})
    client.execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_what_it_printed(path):
    cells = json.loads(path.read_text())["cells"]
    assert len(cells) > 5
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
