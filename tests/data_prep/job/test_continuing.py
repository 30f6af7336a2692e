"""An interrupted job continues, a finished one is left alone, another one is refused."""

import json
import pathlib

import pytest

from base.errors import UserError
from data_prep import schema
from data_prep.job import build, engines, repair, shards
from data_prep.job.verification import Fault
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


def without_content(directory: pathlib.Path) -> None:
    """As an older version has written the manifest: of all splits, and of names and sizes alone."""
    path = directory / schema.MANIFEST_FILE
    manifest = json.loads(path.read_text())
    del manifest["source"]["content"]
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize("split", ["all", "train"])
def test_what_an_older_version_has_built_is_known(split, source, tmp_path, capsys):
    flags = config(source, tmp_path, split=split)
    opened = opening.open_source(str(source))
    directory = pathlib.Path(build.build(flags, opened, print))
    sha256 = schema.Manifest.load(directory).sha256
    without_content(directory)
    assert schema.Manifest.load(directory).sha256 == sha256
    capsys.readouterr()
    build.build(flags, opening.open_source(str(source), splits=flags.splits), print)
    assert "already built" in capsys.readouterr().out
    shard = next(directory.glob("*train.tfrecord-*"))
    shard.unlink()
    repair.repair(flags.where, directory, [Fault(shard.name, "it is missing")], 2, print)
    assert schema.Manifest.load(directory).sha256 == sha256
    assert shard.exists()


def test_other_images_of_the_same_names_and_sizes_are_refused(tmp_path):
    root = small_sources.folders(tmp_path / "source")
    built(root, tmp_path / "data")
    for path in root.rglob("*.JPEG"):
        data = path.read_bytes()
        path.write_bytes(data[:-40] + bytes(38) + data[-2:])
    with pytest.raises(UserError, match="begun with content="):
        built(root, tmp_path / "data")


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_data_set_of_one_split_is_built(split, source, tmp_path):
    flags = config(source, tmp_path, split=split)
    opened = opening.open_source(str(source), splits=flags.splits)
    directory = pathlib.Path(build.build(flags, opened, print))
    manifest = schema.Manifest.load(directory)
    assert [name for name in schema.SPLITS if manifest.num_records(name)] == [split]
