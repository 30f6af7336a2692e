"""An interrupted job continues, a finished one is left alone, another one is refused."""

import pathlib

import pytest

from base.errors import UserError
from data_prep import schema
from data_prep.job import build, engines, shards
from data_prep.layouts import opening
from tests.making import small_sources
from tests.making.small_builds import Killed, built, config, files


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> pathlib.Path:
    return small_sources.tars(tmp_path_factory.mktemp("source") / "images")


@pytest.fixture(scope="module")
def dataset(source, tmp_path_factory) -> pathlib.Path:
    return built(source, tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("moment", range(1, 12))
def test_it_continues_where_it_was_killed(moment, dataset, source, tmp_path, monkeypatch):
    calls = 0
    replaced = type(tmp_path).replace

    def replace(path, target):
        nonlocal calls
        calls += 1
        if calls == moment:
            raise Killed
        return replaced(path, target)

    with monkeypatch.context() as patch:
        from etils import epath

        for kind in (type(epath.Path(tmp_path)), type(tmp_path)):
            patch.setattr(kind, "replace", replace, raising=False)
        with pytest.raises(Killed):
            built(source, tmp_path)
    finished = list(tmp_path.rglob("dataset_info.json"))
    assert not finished or "metadata" in str(finished[0])  # nobody takes it for finished
    with pytest.raises(UserError, match="no finished data set"):
        schema.find_dataset(tmp_path)
    assert files(built(source, tmp_path)) == files(dataset)


def test_finished_shards_are_not_built_again(source, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(build, "finish", lambda what, parts: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            built(source, tmp_path)

    def refuse(self, refs):
        raise AssertionError("converted again")

    monkeypatch.setattr(shards.ShardJob, "convert", refuse)
    built(source, tmp_path)


def test_a_finished_data_set_is_left_alone(dataset, source):
    before = {path: path.stat().st_mtime_ns for path in dataset.iterdir()}
    said: list[str] = []
    build.build(config(source, dataset.parents[2]), opening.open_source(str(source)), said.append)
    assert any("already built" in line for line in said)
    assert {path: path.stat().st_mtime_ns for path in dataset.iterdir()} == before


@pytest.mark.parametrize(
    "change, words",
    [
        ({"seed": 1}, "seed=0, this command has 1"),
        ({"max_per_class": 2}, "selection.max_per_class=0, this command has 2"),
        ({"train_shards": 4}, "shards.train=3, this command has 4"),
        ({"split": "train"}, r"selection.splits=\['train', 'validation'\], this .* \['train'\]"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_other_settings_in_the_same_directory_are_refused(
    change, words, finished, dataset, source, tmp_path, monkeypatch
):
    data_dir = dataset.parents[2]
    if not finished:
        data_dir = tmp_path
        with monkeypatch.context() as patch:
            patch.setattr(engines, "run_local", lambda *_: (_ for _ in ()).throw(Killed()))
            with pytest.raises(Killed):
                built(source, tmp_path)
    with pytest.raises(UserError, match=f"begun with {words}"):
        built(source, data_dir, **change)


def test_another_source_in_the_same_directory_is_refused(dataset, tmp_path):
    other = small_sources.tars(tmp_path / "images", small_sources.train_images(per_class=2))
    with pytest.raises(UserError, match="begun with source="):
        built(other, dataset.parents[2])
