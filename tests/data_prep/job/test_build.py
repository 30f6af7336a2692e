"""The whole job in this process: what it makes, that it continues, what it refuses."""

import collections
import dataclasses
import errno
import io
import json
import pathlib
import tempfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from base.errors import UserError
from data_prep import schema
from data_prep.job import build, engines, request, shards
from data_prep.layouts import opening
from tests.making import small_sources
from tests.making.small_builds import Killed, built, config, files, records


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> pathlib.Path:
    return small_sources.tars(tmp_path_factory.mktemp("source") / "images")


@pytest.fixture(scope="module")
def dataset(source, tmp_path_factory) -> pathlib.Path:
    return built(source, tmp_path_factory.mktemp("data"))


def test_every_image_is_there_once_with_its_label(dataset):
    found = collections.Counter(
        (item["split"], item["label"], item["name"]) for item in records(dataset)
    )
    expected = collections.Counter(
        (split, small_sources.WNIDS.index(wnid), name)
        for split, wnid, name in small_sources.everything()
    )
    assert found == expected


def test_tensorflow_datasets_reads_it_without_this_project(dataset):
    builder = tfds.builder_from_directory(dataset)
    assert builder.info.splits["train"].num_examples == 12
    assert builder.info.splits["validation"].num_examples == 5
    assert builder.info.splits["train"].num_shards == 3
    assert builder.info.features["label"].names == list(small_sources.WNIDS)
    for item in builder.as_dataset("train").as_numpy_iterator():
        assert item["image"].shape == (item["height"], item["width"], 3)
        assert min(item["image"].shape[:2]) == 32
        name = item["file_name"].decode()
        original = small_sources.train_images()[name[:9]][name]
        small = Image.open(io.BytesIO(original)).resize((item["width"], item["height"]))
        assert np.abs(np.asarray(small).astype(int) - item["image"]).mean() < 6


def test_the_directory_holds_what_the_contract_says(dataset, source):
    assert dataset.parts[-2:] == ("short_side_32_jpeg_q90", "1.0.0")
    assert not (dataset / ".build").exists()
    manifest = schema.Manifest.load(dataset)
    assert manifest.wnids == small_sources.WNIDS
    assert manifest.words == small_sources.WORDS
    assert manifest.label_order == schema.label_order_hash(small_sources.WNIDS)
    assert manifest.source["fingerprint"] == opening.open_source(str(source)).fingerprint
    assert [shard.records for shard in manifest.shards["train"]] == [4, 4, 4]
    assert str(source) not in (dataset / "manifest.json").read_text()
    named = {"manifest.json", "statistics.npz", "dataset_info.json", "features.json"}
    assert named <= {path.name for path in dataset.iterdir()}


def test_the_statistics_are_those_of_the_stored_pixels(source, tmp_path):
    directory = built(source, tmp_path, encoding="raw")
    found = schema.Statistics.load(directory)
    images = [
        np.frombuffer(item["image"], np.uint8).reshape(item["height"], item["width"], 3)
        for item in records(directory)
        if item["split"] == "train"
    ]
    pixels = np.concatenate([image.reshape(-1, 3) for image in images]).astype(float)
    np.testing.assert_allclose(found.channel_mean, pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.channel_std, pixels.std(0), rtol=1e-10)
    lefts = [(image.shape[1] - 32) // 2 for image in images]
    squares = [image[:, left : left + 32] for image, left in zip(images, lefts, strict=True)]
    np.testing.assert_array_equal(found.mean_image, np.mean(squares, axis=0))
    assert found.class_counts.tolist() == [4, 4, 4]
    assert found.size_counts.sum() == 12


@pytest.mark.slow(reason="it builds data sets of photographs")
def test_jpegs_loss_hardly_moves_the_statistics_of_photographs(sample_dir, tmp_path):
    source = sample_dir / "ilsvrc2012_sample"
    directory = built(source, tmp_path, size=256, classes="100", split="train")
    found = schema.Statistics.load(directory)
    # TensorFlow's default, the fast DCT, would move red and blue by more than a level.
    images = [
        tf.io.decode_jpeg(item["image"], dct_method="INTEGER_ACCURATE").numpy()
        for item in records(directory)
    ]
    pixels = np.concatenate([image.reshape(-1, 3) for image in images]).astype(float)
    np.testing.assert_allclose(found.channel_mean, pixels.mean(0), atol=0.1)
    np.testing.assert_allclose(found.channel_std, pixels.std(0), atol=0.25)
    values = np.linalg.eigvalsh(np.cov(pixels.T))[::-1]
    np.testing.assert_allclose(found.eigenvalues, values, rtol=0.08)


def test_workers_chunks_and_layouts_change_no_byte(dataset, tmp_path, monkeypatch):
    expected = files(dataset)
    one = small_sources.tars(tmp_path / "images")
    assert files(built(one, tmp_path / "one", workers=1)) == expected
    monkeypatch.setattr(shards, "CHUNK_IMAGES", 3)
    assert files(built(one, tmp_path / "three", workers=7)) == expected
    folders = built(
        small_sources.folders_with_devkit(tmp_path / "f" / "images"), tmp_path / "folders"
    )
    assert [item["image"] for item in records(folders)] == [
        item["image"] for item in records(dataset)
    ]
    of_folders = files(folders)
    for name in expected:  # but for the name of the layout
        if name != "manifest.json":
            assert of_folders[name] == expected[name], name


@pytest.mark.slow(reason="Beam starts")
def test_beam_makes_the_same_bytes(dataset, source, tmp_path):
    pytest.importorskip("apache_beam", reason="the beam extra is not installed")
    assert files(built(source, tmp_path, engine="beam")) == files(dataset)


def test_parquet_gives_the_same_images(dataset, tmp_path):
    directory = built(small_sources.parquet(tmp_path / "images"), tmp_path / "data")
    assert records(directory) == records(dataset)
    assert not (directory / ".build").exists()


def test_subsets_keep_the_labels_of_all_classes(source, tmp_path):
    listed = tmp_path / "classes.txt"
    listed.write_text("n00000033\nn00000022\n")
    for number, classes in enumerate(("n00000022,n00000033", str(listed))):
        directory = built(source, tmp_path / f"{number}", classes=classes, max_per_class=2)
        labels = collections.Counter(
            item["label"] for item in records(directory) if item["split"] == "train"
        )
        assert labels == {1: 2, 2: 2}
        assert schema.Manifest.load(directory).wnids == small_sources.WNIDS
    first = built(source, tmp_path / "count", classes="1")
    assert {item["label"] for item in records(first)} == {0}
    for wrong in ("n00000099", "4", "0"):
        with pytest.raises(UserError, match="--classes"):
            built(source, tmp_path / "wrong", classes=wrong)


def test_a_holdout_is_labelled_and_built_as_train_was(source, tmp_path):
    whole = {item["name"]: item for item in records(built(source, tmp_path / "whole"))}
    directory = built(source, tmp_path / "held", holdout=1)
    held = [item for item in records(directory) if item["split"] == "validation"]
    assert sorted(item["label"] for item in held) == [0, 1, 2]
    for item in held:
        same = whole[item["name"]]
        assert same["split"] == "train"
        assert (item["label"], item["image"]) == (same["label"], same["image"])
    with pytest.raises(UserError, match="--holdout=99 leaves no training images"):
        built(source, tmp_path / "none", holdout=99)


def test_one_split_alone(source, tmp_path):
    directory = built(source, tmp_path, split="validation")
    assert {item["split"] for item in records(directory)} == {"validation"}
    assert schema.Manifest.load(directory).num_records("train") == 0
    assert list(tfds.builder_from_directory(directory).info.splits) == ["validation"]


def test_the_shard_count_follows_the_size(source, tmp_path):
    what = build.plan_build(
        config(source, tmp_path, train_shards=0, val_shards=0, geometry="none", shard_megabytes=1),
        opening.open_source(str(source)),
    )
    assert [task.count for task in what.tasks] == [1, 1]
    large = {
        wnid: {f"{wnid}_{i}.JPEG": noise(i) for i in range(12)} for wnid in small_sources.WNIDS
    }
    other = small_sources.tars(tmp_path / "large", large)
    what = build.plan_build(
        config(other, tmp_path, train_shards=0, geometry="none", shard_megabytes=1),
        opening.open_source(str(other)),
    )
    train = [task for task in what.tasks if task.split == "train"]
    total = sum(len(data) for group in large.values() for data in group.values())
    assert len(train) == round(total / 1e6) > 2


def noise(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    return small_sources.encoded(pixels, quality=90)


def test_raw_pixels(source, tmp_path):
    directory = built(source, tmp_path, encoding="raw", geometry="square_crop")
    for item in records(directory):
        assert len(item["image"]) == item["height"] * item["width"] * 3 == 32 * 32 * 3
    found = next(tfds.builder_from_directory(directory).as_dataset("train").as_numpy_iterator())
    assert len(found["image"]) == 32 * 32 * 3


QUIRKS = {
    "jpeg": lambda pixels: small_sources.encoded(pixels),
    "gray": lambda pixels: small_sources.encoded(Image.fromarray(pixels).convert("L")),
    "cmyk": lambda pixels: small_sources.encoded(Image.fromarray(pixels).convert("CMYK")),
    "png": lambda pixels: small_sources.encoded(pixels, "PNG"),
    "gif": lambda pixels: small_sources.encoded(Image.fromarray(pixels).convert("P"), "GIF"),
    "empty": lambda pixels: b"",
    "text": lambda pixels: b"404 not found",
    "truncated": lambda pixels: small_sources.encoded(pixels)[:600],
}
BAD = {"empty", "text", "truncated"}


@pytest.mark.slow(reason="it builds the data set of every photograph")
@given(
    st.lists(st.lists(st.sampled_from(sorted(QUIRKS)), max_size=6), min_size=1, max_size=3).filter(
        any
    ),
    st.integers(1, 4),
    st.integers(0, 5),
)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_image_is_in_one_shard_or_rejected(quirks, shard_count, seed):
    images = {
        small_sources.WNIDS[label]: {
            f"{small_sources.WNIDS[label]}_{i}.JPEG": (kind, QUIRKS[kind](small_sources.picture(i)))
            for i, kind in enumerate(kinds)
        }
        for label, kinds in enumerate(quirks)
    }
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        content = {
            wnid: {name: data for name, (_, data) in group.items()}
            for wnid, group in images.items()
        }
        made = small_sources.tars(root / "source", content)
        directory = built(
            made, root / "data", train_shards=shard_count, seed=seed, max_rejected=1, split="train"
        )
        stored = {item["name"]: item["label"] for item in records(directory)}
        assert len(stored) == len(records(directory))
        rejected = {item["name"]: item for item in schema.Manifest.load(directory).rejected}
        for label, wnid in enumerate(images):
            for name, (kind, _) in images[wnid].items():
                if kind in BAD:
                    assert name not in stored
                    assert rejected.pop(name)["reason"]
                else:
                    assert stored.pop(name) == label
        assert not stored
        assert not rejected


def test_too_many_rejected_images_stop_the_job(tmp_path):
    train = small_sources.train_images()
    train["n00000022"]["n00000022_1.JPEG"] = b""
    source = small_sources.tars(tmp_path / "source", train)
    with pytest.raises(UserError, match=r"n00000022_1\.JPEG \(empty file\)") as caught:
        built(source, tmp_path / "data", max_rejected=0.001)
    assert "1 of 17 images" in str(caught.value)
    # With more allowed, the same directory goes on.
    directory = built(source, tmp_path / "data", max_rejected=0.1)
    assert schema.Manifest.load(directory).rejected == (
        {"split": "train", "name": "n00000022_1.JPEG", "reason": "empty file"},
    )


def test_without_room_it_stops_before_the_work(source, tmp_path, monkeypatch):
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10, 9, 1))
    with pytest.raises(UserError, match="make room"):
        built(source, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_finds_no_room_is_named(source, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: .*request\.json\'"):
        built(source, tmp_path)
    assert not [*tmp_path.rglob(request.REQUEST_FILE)]


def test_a_directory_that_cannot_be_written_is_named(source, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot make .*file.*: Not a directory"):
        built(source, tmp_path / "file")

    class FullDisk(tf.io.TFRecordWriter):
        def write(self, record):
            raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.io, "TFRecordWriter", FullDisk)
    with pytest.raises(UserError, match=r"cannot write .*-of-\d+: No space left on device"):
        built(source, tmp_path / "data")


def test_a_request_is_readable(source, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "run_local", lambda *_: (_ for _ in ()).throw(Killed()))
    with pytest.raises(Killed):
        built(source, tmp_path)
    (path,) = tmp_path.rglob(request.REQUEST_FILE)
    written = json.loads(path.read_text())
    assert written["settings"] == dataclasses.asdict(
        schema.ImageSettings(size=32, restart_markers=True)
    )
    assert written["shards"] == {"train": 3, "validation": 2}
