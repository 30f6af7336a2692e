"""An experiment is a flag file, unless it says otherwise; a run's own flags mean the run's."""

import pathlib

import pytest

from tests.conftest import ROOT
from tests.making.run_folders import make_run
from trainers import config
from trainers.config import read_flag_file
from trainers.run_folder.continuing import find_interrupted, numbered_run

RECIPES = [path for path in (ROOT / "flags").rglob("*.cfg") if path.name != "base.cfg"]


def test_all_committed_recipes_have_experiments_of_their_own():
    names = [read_flag_file(path).experiment for path in RECIPES]
    assert len(set(names)) == len(RECIPES) > 40
    assert {"resnet18_narrow", "resnet18_small", "resnet50", "torchvision_resnet50"} <= set(names)


def experiment(*arguments: str) -> str:
    return config.parse(arguments).experiment


def test_the_last_flag_file_of_the_command_line_gives_the_name(tmp_path):
    for name in ("inner", "first", "last"):
        (tmp_path / f"{name}.cfg").write_text("--net=resnet10(width=4)\n")
    (tmp_path / "last.cfg").write_text("--flagfile=inner.cfg\n")
    first, last = (f"--flagfile={tmp_path}/{name}.cfg" for name in ("first", "last"))
    assert experiment(first, last) == "last"
    assert experiment(last, first, "--net=alexnet") == "first"
    assert experiment(first, "--experiment=mine") == "mine"
    assert experiment("--net=resnet10(width=4)") == "resnet10"
    assert experiment() == ""


@pytest.fixture
def unnamed(tmp_path, monkeypatch) -> pathlib.Path:
    """The flags of an interrupted run of the time when experiments were named after the net."""
    monkeypatch.chdir(tmp_path)
    run = make_run(pathlib.Path("runs"), "resnet10/3", finished=False)
    file = run.directory / "flags.cfg"
    file.write_text(file.read_text().replace("--experiment=resnet10", "--experiment="))
    return file


def test_a_runs_own_flags_mean_its_experiment(unnamed, tmp_path, monkeypatch):
    assert experiment(f"--flagfile={unnamed}") == "resnet10"
    nested = make_run(pathlib.Path("runs"), "vgg/wide/1").directory / "flags.cfg"
    nested.write_text(nested.read_text().replace("--experiment=vgg/wide", "--experiment="))
    assert experiment(f"--flagfile={nested}", "--runs_dir=elsewhere") == "vgg/wide"
    monkeypatch.chdir("/")
    assert experiment(f"--flagfile={tmp_path / nested}") == "wide", "its --runs_dir is not there"
    loose = tmp_path / "kept" / "flags.cfg"
    loose.parent.mkdir()
    loose.write_text("--net=alexnet\n")
    assert experiment(f"--flagfile={loose}") == "kept"


def test_an_old_run_without_a_name_is_continued_by_the_same_command(unnamed):
    recipe = unnamed.parent.parent.parent / "recipe.cfg"
    recipe.write_text(unnamed.read_text())
    same = config.read_flag_file(recipe)
    assert same.experiment == "recipe"
    run, lock = find_interrupted(same)
    lock.close()
    assert run.directory == unnamed.parent
    assert numbered_run(same, 3).directory == unnamed.parent, "other workers hear of its number"
    changed = config.parse([f"--flagfile={recipe}", "--seed=1"])
    assert find_interrupted(changed) is None
    named = config.parse([f"--flagfile={recipe}", "--experiment=recipe"])
    assert find_interrupted(named) is None, "this one has a name"
    make_run(pathlib.Path("runs"), "recipe/1")
    assert find_interrupted(same) is None, "since then it has a folder of its own"


def test_a_new_run_is_found_by_its_name(tmp_path):
    recipe = tmp_path / "recipe.cfg"
    recipe.write_text(f"--net=resnet10(width=4)\n--runs_dir={tmp_path}\n--train_epochs=3\n")
    made = make_run(tmp_path, "recipe/1", finished=False)
    run, lock = find_interrupted(read_flag_file(recipe))
    lock.close()
    assert run == made and made.config() == read_flag_file(recipe)
