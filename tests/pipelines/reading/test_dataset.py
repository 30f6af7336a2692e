"""Opening data sets: ours, TensorFlow Datasets' own, and those that cannot be used."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from base.errors import UserError
from data_prep import schema
from pipelines.config import Phase, PipelineConfig
from pipelines.functions.decoders import AnyDecoder, JpegDecoder
from pipelines.input_pipeline import InputPipeline
from pipelines.reading.dataset import open_dataset
from tests.making.datasets import write_dataset

SMALL = {"train_map": "decode_random_crop(24)", "eval_map": "decode_center_crop(24)"}


def config(directory, **changes) -> PipelineConfig:
    return PipelineConfig(**({"data_dir": str(directory)} | SMALL | changes))


@pytest.fixture
def directory(tmp_path):
    return write_dataset(tmp_path / "data")


def stored_labels(dataset, split: str) -> list[int]:
    opener = dataset.shard_opener(split)
    records = tf.data.Dataset.range(len(dataset.split(split))).flat_map(opener)
    return [int(dataset.parse(record[tf.newaxis])["label"][0]) for record in records]


def test_our_own_data_set(directory):
    dataset = open_dataset(config(directory))
    assert dataset.num_classes == 5
    assert dataset.wnids[1] == "n00000001"
    assert dataset.words[1] == "class 1"
    assert (dataset.num_records("train"), dataset.num_records("validation")) == (60, 10)
    assert dataset.label_order == schema.label_order_hash(dataset.wnids)
    assert dataset.statistics.channel_mean.tolist() == [120, 115, 104]
    assert stored_labels(dataset, "train") == [number % 5 for number in range(60)]


def test_a_parent_directory_will_do(directory):
    assert open_dataset(config(directory.parent)).num_classes == 5


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda shard: shard.unlink(), "is missing"),
        (lambda shard: shard.write_bytes(b""), "is empty"),
        (lambda shard: shard.write_bytes(shard.read_bytes()[:-1]), "bytes, not the"),
    ],
)
def test_a_shard_that_cannot_be_read_is_reported_before_training(directory, split, damage, message):
    shard = sorted(directory.glob(f"*-{split}.tfrecord-*"))[-1]
    damage(shard)
    with pytest.raises(UserError, match=f"{shard.name} .*{message}.*verify_tfrecords") as error:
        open_dataset(config(directory))
    assert "\n" not in str(error.value)


def test_several_damaged_shards_are_counted(directory):
    for shard in directory.glob("*-train.tfrecord-*"):
        shard.unlink()
    with pytest.raises(UserError, match="and 3 more such shards"):
        open_dataset(config(directory))


def change_manifest(directory, change) -> None:
    path = directory / schema.MANIFEST_FILE
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def test_a_shard_without_records_is_reported(directory):
    change_manifest(directory, lambda values: values["shards"]["train"][0].update(records=0))
    with pytest.raises(UserError, match="is empty"):
        open_dataset(config(directory))


def test_labels_in_another_order_are_refused(directory):
    change_manifest(directory, lambda values: values["wnids"].reverse())
    with pytest.raises(UserError, match="label_order"):
        open_dataset(config(directory))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"geometry": "warp"}, "holds short_side_40_jpeg_q90, the flags ask for warp"),
        ({"size": 256}, "the flags ask for size 256"),
        ({"train_map": "decode_random_crop(224)"}, "--train_map crops 224 pixels"),
        ({"eval_map": "decode_center_crop(48)"}, "--eval_map crops 48 pixels.*--size=48"),
        ({"train_map": "decode_random_crop(24, 41)"}, "crops 41 pixels"),
        ({"classes": ("n99",)}, "no class n99"),
        ({"classes": ("7",)}, "has 5 classes"),
    ],
)
def test_a_data_set_other_than_the_flags_ask_for(directory, changes, message):
    flags = config(directory, **changes)
    with pytest.raises(UserError, match=message):
        pipeline = InputPipeline(open_dataset(flags), flags)
        for phase in Phase:
            pipeline.chains(phase)


def test_the_asked_geometry_and_size_are_accepted(directory):
    open_dataset(config(directory, geometry="short_side", size=40))


@pytest.mark.parametrize("classes", [("n00000003", "n00000001"), ("2",)])
def test_a_subset_of_the_classes(directory, classes):
    whole = open_dataset(config(directory))
    dataset = open_dataset(config(directory, classes=classes))
    kept = [0, 1] if classes == ("2",) else [1, 3]
    assert dataset.wnids == tuple(whole.wnids[label] for label in kept)
    assert dataset.label_order != whole.label_order
    assert (dataset.num_records("train"), dataset.num_records("validation")) == (24, 4)
    expected = [kept.index(n % 5) for n in range(60) if n % 5 in kept]
    assert stored_labels(dataset, "train") == expected


def test_records_in_memory_are_those_of_the_files(directory):
    dataset = open_dataset(config(directory, cache="memory"))
    opener = dataset.shard_opener("train")
    for shard in directory.glob("*-train.tfrecord-*"):
        shard.unlink()
    records = tf.data.Dataset.range(4).flat_map(opener)
    labels = [int(dataset.parse(record[tf.newaxis])["label"][0]) for record in records]
    assert labels == [number % 5 for number in range(60)]


def test_a_cache_directory_holds_copies_which_are_reused(directory, tmp_path):
    cache = tmp_path / "cache"
    first = open_dataset(config(directory, cache=str(cache)))
    paths = [shard.path for shard in first.split("train")]
    assert all(path.startswith(str(cache)) for path in paths)
    assert stored_labels(first, "train") == [number % 5 for number in range(60)]
    before = {path: tf.io.gfile.stat(path).mtime_nsec for path in paths}
    open_dataset(config(directory, cache=str(cache)))
    assert before == {path: tf.io.gfile.stat(path).mtime_nsec for path in paths}
    assert not list(cache.rglob("*.tmp"))


def test_a_cache_directory_that_cannot_be_written(directory, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--cache: cannot write"):
        open_dataset(config(directory, cache=str(tmp_path / "file" / "cache")))


def test_synthetic_data_needs_no_directory():
    dataset = open_dataset(PipelineConfig(data="synthetic", data_dir="none", synthetic_classes=7))
    assert dataset.num_classes == 7
    assert dataset.num_records("train") == 1_281_167


def foreign_dataset(tmp_path, encoding: str, splits: dict[str, int], unlabelled: str = ""):
    """A data set that TensorFlow Datasets writes itself."""
    import tensorflow_datasets as tfds

    generator = np.random.default_rng(0)

    def examples(count: int, split: str) -> tf.data.Dataset:
        images = generator.integers(0, 256, (count, 30, 41, 3), np.uint8)
        labels = np.full(count, -1) if split == unlabelled else np.arange(count) % 3
        return tf.data.Dataset.from_tensor_slices({"image": images, "label": labels})

    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format=encoding),
            "label": tfds.features.ClassLabel(names=["ant", "bee", "cow"]),
        }
    )
    tfds.dataset_builders.store_as_tfds_dataset(
        name="insects",
        version="1.0.0",
        features=features,
        split_datasets={split: examples(count, split) for split, count in splits.items()},
        data_dir=str(tmp_path),
        disable_shuffling=True,
    )
    return tmp_path


@pytest.mark.parametrize("encoding", ["jpeg", "png", None])
def test_a_data_set_that_tensorflow_datasets_wrote(tmp_path, encoding):
    directory = foreign_dataset(tmp_path, encoding, {"train": 9, "test": 4})
    dataset = open_dataset(config(directory))
    assert dataset.wnids == ("ant", "bee", "cow")
    assert (dataset.num_records("train"), dataset.num_records("validation")) == (9, 4)
    assert dataset.statistics is None
    assert isinstance(dataset.decoder, JpegDecoder if encoding == "jpeg" else AnyDecoder)
    records = list(dataset.shard_opener("train")(tf.constant(0, tf.int64)))
    parsed = dataset.parse(tf.stack(records))
    assert parsed["label"].numpy().tolist() == [0, 1, 2] * 3
    assert parsed["height"].numpy().tolist() == [30] * 9
    assert parsed["width"].numpy().tolist() == [41] * 9


def test_a_test_split_without_labels_is_refused_at_the_start(tmp_path):
    directory = foreign_dataset(tmp_path, "jpeg", {"train": 9, "test": 4}, unlabelled="test")
    with pytest.raises(UserError, match=r"insects-test.*label -1.* not labelled"):
        open_dataset(config(directory))


def test_a_training_split_without_labels_is_refused_by_its_own_name(tmp_path):
    directory = foreign_dataset(tmp_path, "jpeg", {"train": 9, "test": 4}, unlabelled="train")
    with pytest.raises(UserError, match=r"insects-train.*label -1.*with labels for train"):
        open_dataset(config(directory))


@pytest.mark.parametrize(
    ("splits", "unlabelled", "says"),
    [
        ({"train": 9, "unlabelled": 4}, "unlabelled", "not read: split 'unlabelled'"),
        ({"train": 9, "unlabeled": 4, "extra": 3}, "unlabeled", "split 'extra', 'unlabeled'"),
        ({"train": 9, "validation": 4, "test": 4}, "test", "not read: split 'test'"),
        ({"train": 9, "test": 4}, "", "split 'test' is taken for validation"),
        (
            {"train": 9, "test": 4, "unlabelled": 5},
            "unlabelled",
            "split 'test' is taken for validation; not read: split 'unlabelled'",
        ),
    ],
)
def test_splits_that_are_not_read_are_said_in_one_line(splits, unlabelled, says, tmp_path):
    dataset = open_dataset(config(foreign_dataset(tmp_path, "jpeg", splits, unlabelled)))
    assert says in dataset.remark and "insects" in dataset.remark and "\n" not in dataset.remark
    assert set(dataset.shards) <= {"train", "validation"}


def test_of_splits_that_are_as_they_are_named_nothing_is_said(tmp_path):
    directory = foreign_dataset(tmp_path, "jpeg", {"train": 9, "validation": 4})
    assert open_dataset(config(directory)).remark == ""


def test_a_foreign_data_set_promises_no_geometry(tmp_path):
    directory = foreign_dataset(tmp_path, "jpeg", {"train": 9})
    with pytest.raises(UserError, match="not made by this workspace"):
        open_dataset(config(directory, geometry="short_side"))
    dataset = open_dataset(config(directory))
    with pytest.raises(UserError, match="no split 'validation'"):
        dataset.num_records("validation")


def test_a_directory_that_is_no_data_set(tmp_path):
    (tmp_path / schema.DATASET_INFO_FILE).write_text("{}")
    with pytest.raises(UserError, match="not a TensorFlow Datasets directory"):
        open_dataset(config(tmp_path))
    with pytest.raises(UserError, match="not a directory"):
        open_dataset(config(tmp_path / "nowhere"))


def test_configurations_that_make_no_sense():
    for field in dataclasses.fields(PipelineConfig):
        if field.name in ("train_batch_size", "eval_batch_size", "map_threads", "size"):
            with pytest.raises(UserError, match=f"--{field.name}=-1"):
                PipelineConfig(**{field.name: -1})
    with pytest.raises(UserError, match="--cache is empty"):
        PipelineConfig(cache="")
