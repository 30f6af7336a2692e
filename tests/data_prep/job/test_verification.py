"""A damaged data set is noticed, and repaired to the byte."""

import concurrent.futures
import pathlib
import shutil

import pytest
import tensorflow as tf

from base.errors import UserError
from data_prep import schema
from data_prep.config import BuildConfig, SourceConfig
from data_prep.job import build, repair, verification
from data_prep.job.shards import serialize
from data_prep.layouts import opening
from tests.making import small_sources


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> pathlib.Path:
    return small_sources.tars(tmp_path_factory.mktemp("source") / "images")


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory) -> pathlib.Path:
    config = BuildConfig(
        where=SourceConfig(source=str(source)),
        data_dir=str(tmp_path_factory.mktemp("data")),
        size=32,
        train_shards=4,
    )
    return pathlib.Path(build.build(config, opening.open_source(str(source)), print))


@pytest.fixture
def dataset(whole, tmp_path) -> pathlib.Path:
    directory = tmp_path.joinpath(*whole.parts[-3:])
    shutil.copytree(whole, directory)
    return directory


def faults(directory: pathlib.Path) -> list[verification.Fault]:
    path = schema.find_dataset(directory)
    return verification.faults(path, schema.Manifest.load(path), workers=2)


def mend(directory: pathlib.Path, source: pathlib.Path) -> list[str]:
    said: list[str] = []
    where = SourceConfig(source=str(source))
    repair.repair(where, schema.find_dataset(directory), faults(directory), 2, said.append)
    return said


def contents(directory: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def shard(directory: pathlib.Path, number: int = 1) -> pathlib.Path:
    return sorted(directory.glob("*-train.tfrecord-*"))[number]


def flip(path: pathlib.Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def flip_a_pixel(directory):
    flip(shard(directory), 700)


def flip_a_length(directory):
    flip(shard(directory), 0)


def truncate(directory):
    shard(directory).write_bytes(shard(directory).read_bytes()[:-10])


def delete(directory):
    shard(directory).unlink()


def swap(directory):
    first, second = shard(directory, 0), shard(directory, 1)
    first.rename(directory / "spare")
    second.rename(first)
    (directory / "spare").rename(second)


def empty(directory):
    shard(directory).write_bytes(b"")


def add_one(directory):
    (directory / "images-train.tfrecord-00004-of-00005").write_bytes(b"")


def damage_the_metadata(directory):
    path = directory / "dataset_info.json"
    path.write_text(path.read_text().replace('"3"', '"2"', 1))


def forget_the_features(directory):
    (directory / "features.json").unlink()


DAMAGES = {
    flip_a_pixel: "SHA-256",
    flip_a_length: "record 0: corrupted",
    truncate: "the manifest says",
    delete: "missing",
    swap: "the manifest says",
    empty: "it has 0 bytes",
    add_one: "does not list it",
    damage_the_metadata: "the manifest says",
    forget_the_features: "TensorFlow Datasets cannot read",
}


def test_a_whole_data_set_has_no_faults(whole):
    assert faults(whole) == []


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_each_damage_is_noticed_and_repaired_to_the_byte(damage, dataset, whole, source):
    damage(dataset)
    texts = [fault.text for fault in faults(dataset)]
    assert any(DAMAGES[damage] in text for text in texts), texts
    mend(dataset, source)
    assert faults(dataset) == []
    assert contents(dataset) == contents(whole)


def test_only_the_bad_shards_are_rebuilt(dataset, source):
    flip_a_pixel(dataset)
    before = {path.name: path.stat().st_mtime_ns for path in dataset.glob("*.tfrecord-*")}
    said = mend(dataset, source)
    after = {path.name: path.stat().st_mtime_ns for path in dataset.glob("*.tfrecord-*")}
    changed = [name for name in after if after[name] != before[name]]
    assert changed == [shard(dataset).name]
    assert f"rebuilt {changed[0]}" in said


def test_a_part_of_the_source_in_another_layout_repairs_too(dataset, whole, tmp_path):
    delete(dataset)
    folders = small_sources.folders_with_devkit(tmp_path / "folders")
    mend(dataset, folders)
    assert contents(dataset) == contents(whole)


def test_another_source_is_refused(dataset, tmp_path):
    delete(dataset)
    other = small_sources.tars(tmp_path / "other", small_sources.train_images(per_class=1))
    with pytest.raises(UserError, match="begun with source="):
        mend(dataset, other)


def test_labels_and_sizes_are_checked_record_by_record(dataset):
    manifest = schema.Manifest.load(dataset)
    good = small_sources.encoded(small_sources.picture(0, 32, 40), quality=90)
    other = small_sources.encoded(small_sources.picture(0), "PNG")
    bad = {
        "has label 7": serialize(good, 7, "a", 32, 40),
        "not 33 x 40": serialize(good, 0, "a", 33, 40),
        "no baseline": serialize(other, 0, "a", 32, 40),
        "does not decode": serialize(good[:900], 0, "a", 32, 40),
        "no example": b"\xff\xff\xff",
    }
    for words, record in bad.items():
        with tf.io.TFRecordWriter(str(shard(dataset))) as writer:
            writer.write(record)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            found = verification.shard_faults(
                schema.find_dataset(dataset), manifest.shards["train"][1], manifest, pool
            )
            assert any(words in fault.text for fault in found), words


def test_the_first_bad_record_is_the_one_that_is_named(dataset):
    manifest = schema.Manifest.load(dataset)
    image = small_sources.encoded(small_sources.picture(0, 32, 40), quality=90)
    records = [serialize(image, 7 * (number == 35), "a", 32, 40) for number in range(80)]

    def found() -> list[str]:
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            faults = verification.shard_faults(
                schema.find_dataset(dataset), manifest.shards["train"][1], manifest, pool
            )
            return [fault.text for fault in faults][1:]  # the first is that of its size

    def write(records: list[bytes]) -> None:
        with tf.io.TFRecordWriter(str(shard(dataset))) as writer:
            for record in records:
                writer.write(record)

    write(records)
    assert found() == ["record 35: a has label 7: there are 3 classes"]
    write(records[:35] * 2)
    flip(shard(dataset), -len(records[0]))
    (torn,) = found()
    assert torn.startswith("record 69: corrupted record")


def test_lost_statistics_are_noticed_and_cannot_be_repaired(dataset, source):
    (dataset / schema.STATISTICS_FILE).write_bytes(b"")
    assert [fault.file for fault in faults(dataset)] == [schema.STATISTICS_FILE]
    with pytest.raises(UserError, match=r"delete .* and build it again"):
        mend(dataset, source)


def test_a_repaired_source_of_rejected_images(tmp_path):
    train = small_sources.train_images()
    train["n00000022"]["n00000022_1.JPEG"] = b""
    source = small_sources.tars(tmp_path / "images", train)
    where = SourceConfig(source=str(source))
    config = BuildConfig(where=where, data_dir=str(tmp_path), size=32, max_rejected=0.1)
    directory = pathlib.Path(build.build(config, opening.open_source(str(source)), print))
    expected = contents(directory)
    delete_all = list(directory.glob("*.tfrecord-*"))
    for path in delete_all:
        path.unlink()
    mend(directory, source)
    assert contents(directory) == expected
    assert opening.open_source(str(source)).fingerprint in (directory / "manifest.json").read_text()
