"""The rooms import only what WORKSPACE.md allows, and stay small enough to find a line in."""

import ast
import functools
import pathlib
import sys

import pytest

from tests.conftest import ROOT

_TRAINING = {"base", "nets", "pipelines", "data_prep.schema", "trainers.config"}

# Each room and what it may import of ours; a room may import itself. `nets/` stays flat, as a run
# keeps a copy of it.
DIRECTIONS = {
    "base": set(),
    "nets": set(),
    "data_prep": {"base"},
    "data_prep.source": {"base", "data_prep.schema"},
    "data_prep.layouts": {"base", "data_prep.schema", "data_prep.progress", "data_prep.source"},
    "data_prep.image": {"data_prep.schema"},
    "data_prep.job": {
        "base",
        *("data_prep.schema", "data_prep.config", "data_prep.progress"),
        *("data_prep.source", "data_prep.layouts", "data_prep.image"),
    },
    "pipelines": {"base", "data_prep.schema"},
    "pipelines.functions": {"base", "data_prep.schema", "data_prep.image", "pipelines.config"},
    "pipelines.reading": {
        "base",
        *("data_prep.schema", "pipelines.config", "pipelines.functions"),
    },
    "trainers": {"base", "nets", "pipelines", "data_prep.schema"},
    "trainers.run_folder": _TRAINING,
    "trainers.run_folder.loggers": {"base", "trainers.config", "trainers.run_folder"},
    "trainers.training": {
        *_TRAINING,
        *("trainers.run_folder", "trainers.training.devices", "trainers.weights"),
    },
    "trainers.training.devices": {"base", "pipelines"},
    "trainers.training.measuring": {*_TRAINING, "trainers.run_folder", "trainers.training"},
    "trainers.scoring": {*_TRAINING, "trainers.run_folder", "trainers.training"},
    "trainers.report": {*_TRAINING, "trainers.run_folder", "trainers.scoring.mistakes"},
    # Predictions take files the way that a data set takes them.
    "trainers.serving": {
        *_TRAINING,
        *("trainers.run_folder", "trainers.training", "data_prep.image"),
    },
    "trainers.weights": {*_TRAINING, "trainers.run_folder"},
    # Figures are made of trained nets; nothing imports them.
    "insight": {"base", "data_prep.schema", "trainers"},
    # It measures everything, and nothing imports it.
    "benchmarks": {"base", "nets", "pipelines", "data_prep", "trainers"},
}
# Commands of a room that may import more: a run's copy of `nets` is without its command.
COMMANDS = {"nets.__main__": {"base"}}
TOP_ROOMS = {room.split(".")[0] for room in DIRECTIONS}
# The most Python files and folders in one room, less the `__init__.py` which says what it is, and
# the most lines in one file.
MOST_ENTRIES = 16
MOST_LINES = 350
MODULES = sorted(path for room in TOP_ROOMS for path in (ROOT / room).rglob("*.py"))
EVERYTHING = [*MODULES, *sorted((ROOT / "tests").rglob("*.py"))]


def name_of(path: pathlib.Path) -> str:
    """A file's dotted module name; of an `__init__.py`, the package's."""
    dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return dotted.removesuffix(".__init__")


NAMES = {name_of(path) for path in MODULES}


def room_of(path: pathlib.Path) -> str:
    return ".".join(path.parent.relative_to(ROOT).parts)


@functools.cache
def imports_of(path: pathlib.Path) -> set[str]:
    """Every module of ours that a file imports, dotted, at its top or in its functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= 1, f"{path} climbs up by dots"
            parts = [room_of(path)] if node.level else []
            module = ".".join([*parts, *([node.module] if node.module else [])])
            members = {f"{module}.{alias.name}" for alias in node.names}
            found |= {member if member in NAMES else module for member in members}
    return {name for name in found if name.split(".")[0] in TOP_ROOMS}


def below(name: str, place: str) -> bool:
    return name == place or name.startswith(f"{place}.")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: name_of(path))
def test_imports_stay_within_what_is_allowed(path):
    room = room_of(path)
    for name in imports_of(path):
        allowed = {room, *DIRECTIONS[room], *COMMANDS.get(name_of(path), ())}
        assert any(below(name, place) for place in allowed), f"{path} imports {name}"


def test_every_room_is_in_the_table_and_says_what_it_is():
    rooms = {room_of(path) for path in MODULES}
    assert rooms == DIRECTIONS.keys()
    for room in rooms:
        text = ast.get_docstring(
            ast.parse((ROOT / room.replace(".", "/") / "__init__.py").read_text())
        )
        assert text and "import" in text.lower(), f"{room} does not say who may import it"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: name_of(path))
def test_no_module_hides_one_of_the_standard_library(path):
    # `python trainers/train.py` puts trainers/ first on sys.path.
    assert path.stem not in sys.stdlib_module_names


@pytest.mark.parametrize("path", sorted((ROOT / "nets").glob("*.py")), ids=lambda path: path.name)
def test_nets_do_not_use_tensorflow(path):
    text = path.read_text()
    assert "import tensorflow" not in text
    assert "tf." not in text


def test_commands_import_tensorflow_only_when_they_run():
    commands = [path for path in MODULES if "__main__" in path.read_text()]
    assert len(commands) >= 12
    for path in commands:
        for node in ast.parse(path.read_text()).body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            heavy = [name for name in names if name.split(".")[0] in ("tensorflow", "keras")]
            assert not heavy, f"{path} imports {heavy} at its top"


def circle_of(ways: dict[str, set[str]]) -> list[str]:
    """What is left of a graph of imports once all that lead out of it are taken away."""
    ways = {name: found & ways.keys() - {name} for name, found in ways.items()}
    while free := [name for name in ways if not ways[name] & ways.keys()]:
        for name in free:
            del ways[name]
    return sorted(ways)


def test_no_module_imports_itself_by_way_of_others():
    ways = {name_of(path): imports_of(path) for path in MODULES}
    assert sum(map(len, ways.values())) > len(ways)
    assert circle_of(ways) == []


def test_no_room_imports_itself_by_way_of_others():
    ways: dict[str, set[str]] = {room: set() for room in DIRECTIONS if "." in room}
    for path in MODULES:
        if (room := room_of(path)) in ways:
            for name in imports_of(path):
                above = [other for other in ways if below(name, other)]
                ways[room] |= {max(above, key=len)} if above else set()
    assert circle_of(ways) == []


def test_a_circle_is_found():
    assert circle_of({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == ["a", "b", "c", "d"]
    assert circle_of({"a": {"b"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("path", EVERYTHING, ids=lambda path: name_of(path))
def test_a_file_is_read_in_one_go(path):
    assert len(path.read_text().splitlines()) <= MOST_LINES


def test_no_room_is_too_full_to_find_a_file_in():
    folders = {path.parent for path in EVERYTHING}
    for folder in folders - {ROOT / "nets"}:
        entries = {
            path
            for path in folder.iterdir()
            if path.suffix == ".py" or any(below_.is_relative_to(path) for below_ in folders)
        }
        assert len(entries) <= MOST_ENTRIES, f"{folder} has {len(entries)} entries"


# Numba compiles functions of arrays, and takes no object that holds them.
_COMPILED = {"resample_pixels", "_weigh_lanes"}


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if room_of(path).split(".")[0] != "nets"],
    ids=lambda path: name_of(path),
)
def test_no_function_threads_seven_arguments(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name not in _COMPILED:
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            names = [each.arg for each in arguments if each.arg not in ("self", "cls")]
            assert len(names) < 7, f"{path}: {node.name} takes {names}"


def assigned(method: ast.AST) -> set[str]:
    """The attributes of `self` that a method assigns."""
    return {
        node.attr
        for node in ast.walk(method)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


@pytest.mark.parametrize("path", MODULES, ids=lambda path: name_of(path))
def test_an_object_has_all_its_attributes_from_the_start(path):
    for class_ in ast.walk(ast.parse(path.read_text())):
        if not isinstance(class_, ast.ClassDef):
            continue
        methods = [node for node in class_.body if isinstance(node, ast.FunctionDef)]
        # `build` is Keras's own second half of `__init__`.
        first = [m for m in methods if m.name in ("__init__", "__post_init__", "build")]
        born = {name for method in first for name in assigned(method)}
        for node in class_.body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", 0)]
            born |= {target.id for target in targets if isinstance(target, ast.Name)}
        for method in methods:
            late = assigned(method) - born
            assert not late, f"{path}: {class_.name}.{method.name} adds {late}"
