"""One way to name a run, whatever the command: folders, experiments, nested ones, numbers."""

import pathlib

import pytest

from base.errors import UserError
from tests.making.run_folders import make_run
from trainers.run_folder.finding import find_run, locate, place_of
from trainers.run_folder.records import find_records


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> pathlib.Path:
    """A directory with a runs/ in it, in which commands are started."""
    for name in ("demo/2", "demo/10", "vgg/wide/deep/3", "20240101/1", "20240101/2", "a/7/1"):
        make_run(tmp_path / "runs", name)
    make_run(tmp_path / "elsewhere", "demo/1")
    (tmp_path / "demo" / "data").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("runs/demo/2", "runs/demo/2"),
        ("runs/demo", "runs/demo/10"),
        ("demo/2", "runs/demo/2"),
        ("demo", "runs/demo/10"),
        ("vgg/wide/deep", "runs/vgg/wide/deep/3"),
        ("vgg/wide/deep/3", "runs/vgg/wide/deep/3"),
        ("20240101", "runs/20240101/2"),
        ("runs/20240101", "runs/20240101/2"),
        ("20240101/1", "runs/20240101/1"),
        ("a/7", "runs/a/7/1"),
        ("elsewhere/demo", "elsewhere/demo/1"),
    ],
)
def test_a_run_has_one_name_for_every_command(workspace, name, found):
    assert find_run(name).directory == pathlib.Path(found)
    assert locate(name, workspace / "runs").resolve() == workspace / found
    assert find_run(str(workspace / found)).directory == workspace / found


@pytest.mark.parametrize("name", ["dmeo", "demo/3", "runs", "vgg", "a", "", "/no/such/place"])
def test_what_is_no_run_is_refused_by_one_line_that_says_what_there_is(workspace, name):
    with pytest.raises(UserError) as raised:
        find_run(name)
    said = str(raised.value)
    assert said.startswith(f"--run={name} is neither a run folder")
    assert " nor a run in runs/: there are " in said
    assert ("(no flags.cfg in it)" in said) == bool(name and pathlib.Path(name).is_dir())
    assert "demo/10" in said and "vgg/wide/deep/3" in said and "20240101/2" in said
    assert "\n" not in said


def test_of_many_runs_the_last_are_named_and_a_folder_without_runs_names_none(tmp_path):
    for number in range(1, 31):
        make_run(tmp_path, f"demo/{number}", top1s=())
    with pytest.raises(UserError, match=r"demo/19, .*demo/30 and 18 more"):
        find_run("x", str(tmp_path))
    with pytest.raises(UserError, match=r"a run in .*nowhere/$"):
        find_run("x", str(tmp_path / "nowhere"))


def test_a_run_that_was_never_described_is_named(workspace):
    (workspace / "runs/demo/11").mkdir()
    with pytest.raises(UserError, match=r"runs/demo/11 is not a run folder \(no flags\.cfg in it"):
        find_run("demo")


def test_experiments_that_are_nested_or_numbers_are_listed(workspace):
    found = {record.name: record.state for record in find_records(workspace / "runs")}
    assert set(found.values()) == {"finished"}
    assert list(found) == [
        *("a/7/1", "demo/2", "demo/10", "vgg/wide/deep/3", "20240101/1", "20240101/2"),
    ]


@pytest.mark.parametrize(
    ("experiment", "place"),
    [
        ("mine", ("runs", "mine")),
        ("runs/mine", ("runs", "mine")),
        ("runs/vgg/mine", ("runs", "vgg/mine")),
        ("other/mine", ("other", "mine")),
        ("/tmp/other/mine", ("/tmp/other", "mine")),
    ],
)
def test_a_new_run_goes_where_it_is_found_afterwards(experiment, place):
    assert place_of(experiment) == place
