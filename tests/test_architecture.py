"""The rooms import only what WORKSPACE.md allows, and no module hides a standard one."""

import ast
import pathlib
import sys

import pytest

from tests.conftest import ROOT

ROOMS = ("data_prep", "pipelines", "nets", "trainers")
CONTRACTS = {"data_prep.schema", "data_prep.commandline", "data_prep.speed_table"}
ALLOWED = {
    "data_prep": {"data_prep"},
    "nets": {"nets"},
    "pipelines": {"pipelines", *CONTRACTS},
    # Predictions take files the way that a data set takes them.
    "trainers": {"trainers", "pipelines", "nets", "data_prep.images", *CONTRACTS},
}
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).glob("*.py"))


def imports_of(path: pathlib.Path) -> set[str]:
    """Every module of ours that a file imports, dotted."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = [path.parent.name] if node.level else []
            module = ".".join(parts + ([node.module] if node.module else []))
            names = {f"{module}.{alias.name}" for alias in node.names}
            found |= names if module in ROOMS else {module}
    return {name for name in found if name.split(".")[0] in ROOMS}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_imports_stay_within_what_is_allowed(path):
    room = path.parent.name
    for name in imports_of(path):
        allowed = ALLOWED[room]
        assert name.split(".")[0] in allowed or name in allowed, f"{path} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_module_hides_one_of_the_standard_library(path):
    # `python trainers/train.py` puts trainers/ first on sys.path.
    assert path.stem not in sys.stdlib_module_names


@pytest.mark.parametrize("path", sorted((ROOT / "nets").glob("*.py")), ids=lambda path: path.name)
def test_nets_do_not_use_tensorflow(path):
    text = path.read_text()
    assert "import tensorflow" not in text
    assert "tf." not in text


def test_commands_import_tensorflow_only_when_they_run():
    commands = [path for path in MODULES if "commandline.run(" in path.read_text()]
    assert len(commands) >= 4
    for path in commands:
        for node in ast.parse(path.read_text()).body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            heavy = [name for name in names if name.split(".")[0] in ("tensorflow", "keras")]
            assert not heavy, f"{path} imports {heavy} at its top"


@pytest.mark.parametrize("room", ROOMS)
def test_no_module_imports_itself_by_way_of_others(room):
    paths = {f"{room}.{path.stem}": path for path in MODULES if path.parent.name == room}
    ways = {name: imports_of(path) & paths.keys() for name, path in paths.items()}
    assert sum(map(len, ways.values())) > len(ways)
    while free := [name for name in ways if not ways[name] & ways.keys()]:
        for name in free:
            del ways[name]
    assert not ways
