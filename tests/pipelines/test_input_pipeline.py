"""Batches: the same bytes on any number of replicas and threads, and after any restart."""

import random

import numpy as np
import pytest
import tensorflow as tf

from base.errors import UserError
from pipelines.config import Phase, PipelineConfig
from pipelines.input_pipeline import InputPipeline
from pipelines.reading.dataset import open_dataset
from pipelines.reading.order import ALONE, Host
from tests.making.datasets import write_dataset

BATCH = 8
STEPS = 7  # whole batches in an epoch of 60
CHAINS = {
    "train_map": "decode_random_resized_crop(24, area=(0.2, 1.0))|random_flip|color_jitter",
    "train_device_map": "mixup(0.4)|mean_std|pca_lighting(0.1)",
    "eval_map": "decode_center_crop(24)",
    "eval_device_map": "mean_std",
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("pipeline") / "data", num_shards=6)


def config(directory, **changes) -> PipelineConfig:
    base = {"data_dir": str(directory), "train_batch_size": BATCH, "seed": 3}
    return PipelineConfig(**(base | CHAINS | changes))


def joined(dataset: tf.data.Dataset) -> dict[str, np.ndarray]:
    """All batches, one after another; what was drawn under the names drawn/..."""
    batches = [dict(batch) for batch in dataset.as_numpy_iterator()]
    for batch in batches:
        for place, drawn in enumerate(batch.pop("drawn")):
            batch |= {f"drawn/{place}/{name}": value for name, value in drawn.items()}
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def train(
    directory, *, replicas: int = 1, host=ALONE, changes=None, **arguments
) -> dict[str, np.ndarray]:
    flags = config(directory, **(changes or {}))
    return joined(pipeline(flags, host).train(BATCH // replicas, **arguments))


def pipeline(flags: PipelineConfig, host: Host = ALONE) -> InputPipeline:
    return InputPipeline(open_dataset(flags), flags, host)


def assert_equal(ours: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> None:
    assert ours.keys() == reference.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, reference[name], err_msg=name)


@pytest.fixture(scope="module")
def two_epochs(directory):
    return train(directory, epochs=2)


def test_elements_are_what_the_contract_says(two_epochs):
    count = 2 * STEPS * BATCH
    assert two_epochs["image"].shape == (count, 24, 24, 3)
    assert {name: two_epochs[name].dtype for name in ("image", "label", "seed", "position")} == {
        "image": np.uint8,
        "label": np.int32,
        "seed": np.int32,
        "position": np.int64,
    }
    np.testing.assert_array_equal(two_epochs["position"], np.arange(count))
    assert len(np.unique(two_epochs["seed"], axis=0)) == count


@pytest.mark.slow(reason="six pipelines are traced")
@pytest.mark.parametrize("replicas", [1, 2, 4])
@pytest.mark.parametrize("threads", [1, 5])
def test_same_bytes_on_any_number_of_replicas_and_threads(directory, two_epochs, replicas, threads):
    ours = train(directory, replicas=replicas, changes={"map_threads": threads}, epochs=2)
    assert_equal(ours, two_epochs)


@pytest.mark.slow(reason="twenty starts are traced")
def test_resuming_at_twenty_random_positions_continues_bit_for_bit(directory):
    # Few map functions, because each start is traced anew.
    changes = {
        "train_map": "decode_random_crop(24)|random_flip",
        "train_device_map": "subtract_mean|pca_lighting(0.1)",
    }
    whole = train(directory, changes=changes, epochs=4)
    for start in random.Random(0).sample(range(4 * STEPS), 20):
        ours = train(directory, changes=changes, start=start, epochs=4)
        assert_equal(ours, {name: value[start * BATCH :] for name, value in whole.items()})


@pytest.mark.slow(reason="whole epochs are delivered")
def test_resuming_in_a_later_epoch_without_an_end(directory):
    flags = config(directory)
    endless = pipeline(flags).train(BATCH)
    later = pipeline(flags).train(BATCH, start=3 * STEPS + 2)
    assert_equal(joined(later.take(2)), joined(endless.skip(3 * STEPS + 2).take(2)))


@pytest.mark.parametrize("cache", ["memory", "directory"])
def test_a_cache_changes_no_byte(directory, two_epochs, tmp_path, cache):
    place = cache if cache == "memory" else str(tmp_path)
    assert_equal(train(directory, changes={"cache": place}, epochs=2), two_epochs)


@pytest.mark.slow(reason="each seed is traced")
def test_another_seed_gives_other_pixels_and_tensorflows_own_seed_does_not(directory, two_epochs):
    other = train(directory, changes={"seed": 4}, epochs=1)
    assert not np.array_equal(other["label"], two_epochs["label"][: STEPS * BATCH])
    try:
        tf.random.set_seed(1)
        assert_equal(train(directory, epochs=2), two_epochs)
    finally:
        tf.random.set_seed(None)


def test_an_image_is_augmented_differently_in_each_epoch(directory):
    changes = {"train_map": "decode_random_crop(24)", "train_device_map": "mean_std"}
    ours = train(directory, changes=changes, epochs=2)
    assert len(np.unique(ours["image"].reshape(len(ours["image"]), -1), axis=0)) > 100


def test_overfitting_repeats_the_first_batches_pixel_by_pixel(directory, two_epochs):
    ours = train(directory, changes={"overfit_batches": 2}, epochs=3)
    assert ours["position"].tolist() == list(range(3 * 2 * BATCH))
    for name in ("image", "label", "seed"):
        np.testing.assert_array_equal(
            ours[name], np.tile(two_epochs[name][: 2 * BATCH], [3] + [1] * (ours[name].ndim - 1))
        )


@pytest.mark.slow(reason="each host is traced")
@pytest.mark.parametrize(("hosts", "replicas", "start"), [(2, 2, 0), (2, 4, 9), (4, 4, 3)])
def test_hosts_together_have_the_batches_of_one(directory, two_epochs, hosts, replicas, start):
    parts = [
        train(directory, replicas=replicas, start=start, epochs=2, host=Host(index, hosts))
        for index in range(hosts)
    ]
    part = BATCH // hosts
    for name, expected in two_epochs.items():
        # Batch by batch, the hosts' parts one after another.
        ours = np.stack([values[name].reshape(-1, part, *expected.shape[1:]) for values in parts])
        ours = np.moveaxis(ours, 0, 1).reshape(-1, *expected.shape[1:])
        np.testing.assert_array_equal(ours, expected[start * BATCH :], err_msg=name)


@pytest.mark.slow(reason="each host is traced")
def test_hosts_read_different_images_and_their_seeds_never_meet(directory):
    flags = config(directory, train_batch_size=8, host_reading="own_shards")
    steps = pipeline(flags, Host(0, 2)).steps_per_epoch
    hosts = [joined(pipeline(flags, Host(index, 2)).train(2, epochs=1)) for index in range(2)]
    assert steps == 7  # three shards of ten records on each host, four records a step
    positions = np.concatenate([host["position"] for host in hosts])
    assert sorted(positions) == list(range(steps * 8))
    assert hosts[0]["position"][:6].tolist() == [0, 1, 2, 3, 8, 9]
    assert hosts[1]["position"][:6].tolist() == [4, 5, 6, 7, 12, 13]
    assert len(np.unique(np.concatenate([host["seed"] for host in hosts]), axis=0)) == steps * 8


def test_more_hosts_than_shards(directory):
    flags = config(directory, train_batch_size=8, host_reading="own_shards")
    with pytest.raises(UserError, match=r"6 training shards for 8 hosts.*--train_shards=8"):
        _ = pipeline(flags, Host(0, 8)).steps_per_epoch


def test_fewer_images_than_a_batch(directory):
    flags = config(directory, train_batch_size=64)
    with pytest.raises(UserError, match=r"60 training images, fewer than --train_batch_size=64"):
        _ = pipeline(flags).steps_per_epoch


def test_pairs_are_not_torn_apart(directory):
    flags = config(directory, train_batch_size=9)
    with pytest.raises(UserError, match=r"in pairs.*batch of 9"):
        pipeline(flags).train(9)


@pytest.mark.parametrize(("batch_size", "replicas"), [(10, 1), (4, 1), (3, 2), (2, 4), (16, 2)])
def test_evaluation_counts_every_image_once(directory, batch_size, replicas):
    flags = config(directory)
    batches = pipeline(flags).evaluate(batch_size, replicas=replicas)
    assert len(list(batches)) % replicas == 0
    ours = joined(batches)
    assert ours["image"].shape == (len(ours["weight"]), 24, 24, 3)
    counted = ours["weight"] == 1
    assert (ours["weight"][~counted] == 0).all()
    assert ours["position"][counted].tolist() == list(range(10))
    assert ours["label"][counted].tolist() == [number % 5 for number in range(10)]


def test_evaluation_of_the_training_split(directory):
    flags = config(directory)
    ours = joined(pipeline(flags).evaluate(16, split="train"))
    assert ours["weight"].sum() == 60


@pytest.mark.slow(reason="three pipelines are traced")
def test_no_thread_of_an_autotuner_is_waited_for_at_the_end(directory):
    """An iterator's end waits for it in some runs and not in others, for up to a minute."""
    flags = config(directory)
    ours = pipeline(flags)
    for batches in (
        ours.train(BATCH),
        ours.evaluate(BATCH),
        ours.evaluate_whole_images(BATCH, split="validation"),
    ):
        assert batches.options().autotune.enabled is False


def test_a_distributed_evaluation_sums_to_the_split(directory):
    """Through a strategy, as the trainers do it; on one CPU if that is all there is."""
    flags = config(directory)
    strategy = tf.distribute.MirroredStrategy(tf.config.list_logical_devices("CPU")[:1])
    replicas = strategy.num_replicas_in_sync
    iterator = strategy.distribute_datasets_from_function(
        lambda context: pipeline(flags).evaluate(4, replicas=replicas)
    )
    device = pipeline(flags).chains(Phase.EVAL).on_device

    @tf.function
    def count(batch):
        return tf.reduce_sum(device(batch)["weight"])

    total = sum(
        float(strategy.reduce("SUM", strategy.run(count, args=(batch,)), axis=None))
        for batch in iterator
    )
    assert total == 10


def test_device_map_ends_in_float_images_and_soft_labels(directory):
    flags = config(directory)
    batch = next(iter(pipeline(flags).train(BATCH)))
    device = pipeline(flags).chains(Phase.TRAIN).on_device
    ours = tf.function(device)(batch)
    assert ours["image"].dtype == tf.float32
    assert ours["label"].shape == (BATCH, 5)
    assert "drawn" not in ours
    without = {name: value for name, value in batch.items() if name != "drawn"}
    np.testing.assert_allclose(tf.function(device)(without)["image"], ours["image"], atol=1e-5)


def test_device_map_of_evaluation_needs_an_image_only(directory):
    flags = config(directory)
    device = pipeline(flags).chains(Phase.EVAL).on_device
    images = tf.zeros([2, 24, 24, 3], tf.uint8)
    np.testing.assert_allclose(
        device({"image": images})["image"][0, 0, 0], [-120 / 70, -115 / 68, -104 / 72], rtol=1e-5
    )


def test_synthetic_batches_have_the_form_of_real_ones(directory):
    real_spec, synthetic_spec = (
        pipeline(config(directory, train_device_map="cast(255)", **changes))
        .train(BATCH)
        .element_spec
        for changes in ({}, {"data": "synthetic", "synthetic_classes": 5})
    )
    assert synthetic_spec == real_spec


def test_image_size_is_what_batches_have(directory):
    assert pipeline(config(directory)).chains(Phase.TRAIN).image_size == (24, 24)
    taller = pipeline(config(directory, train_map="decode_center_crop(24)|pad(3)|grayscale"))
    assert taller.chains(Phase.TRAIN).image_size == (30, 30)
    assert taller.chains(Phase.EVAL).image_size == (24, 24)


def test_chains_are_compiled_once_for_each_size(directory):
    changes = {"train_map": "decode_random_crop({size})", "train_sizes": ("0:16", "2:24")}
    ours = pipeline(config(directory, **changes))
    assert ours.chains(Phase.TRAIN, 0) is ours.chains(Phase.TRAIN, 1)
    assert ours.chains(Phase.TRAIN, 1) is not ours.chains(Phase.TRAIN, 2)
    assert ours.chains(Phase.EVAL) is ours.chains(Phase.EVAL, 7)


@pytest.mark.slow(reason="each size is traced")
def test_the_size_of_training_images_changes_by_epochs(directory):
    changes = {
        "train_map": "decode_random_crop({size})|random_flip",
        "train_sizes": ("0:16", "1:24", "3:32"),
    }
    ours = pipeline(config(directory, **changes))
    sizes = [ours.chains(Phase.TRAIN, epoch).image_size for epoch in range(5)]
    assert sizes == [(16, 16), (24, 24), (24, 24), (32, 32), (32, 32)]
    second = train(directory, changes=changes, start=STEPS, epochs=2)
    fixed = {"train_map": "decode_random_crop(24)|random_flip"}
    assert_equal(second, train(directory, changes=fixed, start=STEPS, epochs=2))


@pytest.mark.parametrize(
    ("train_map", "sizes"),
    [
        ("decode_random_crop({size})", ()),
        ("decode_random_crop(24)", ("0:16",)),
        ("decode_random_crop({size})", ("1:16",)),
        ("decode_random_crop({size})", ("0:16", "2:24", "2:32")),
        ("decode_random_crop({size})", ("0:16", "24")),
        ("decode_random_crop({size})", ("0:0",)),
    ],
)
def test_sizes_that_make_no_sense_are_refused(directory, train_map, sizes):
    with pytest.raises(UserError, match="--train_sizes"):
        config(directory, train_map=train_map, train_sizes=sizes)
