"""Each image several times in a batch: which ones, drawn for anew, wherever one goes on."""

import numpy as np
import pytest
import tensorflow as tf

from data_prep import schema
from pipelines.reading.order import Host
from tests.making.datasets import write_dataset
from tests.pipelines.test_input_pipeline import BATCH, STEPS, assert_equal, config, pipeline, train

CHANGES = {
    "train_map": "decode_random_crop(24)",
    "train_device_map": "random_flip|mean_std",
    "repeated_augmentation": 3,
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("repeated") / "data", num_shards=6)


@pytest.fixture(scope="module")
def two_epochs(directory):
    return train(directory, changes=CHANGES, epochs=2)


def name_in(record: bytes) -> str:
    features = tf.train.Example.FromString(record).features.feature
    return features[schema.FILE_NAME].bytes_list.value[0].decode()


def test_a_batch_goes_through_its_images_three_times_and_an_epoch_through_a_third(
    directory, two_epochs
):
    chunks = pipeline(config(directory, **CHANGES)).training_records(BATCH, epochs=2)
    names = np.array([[name_in(each) for each in records.numpy()] for records, _, _ in chunks])
    images = 3  # of a batch of 8: the first two come three times, the last one twice
    for batch in names:
        assert batch.tolist() == np.resize(batch[:images], BATCH).tolist()
    for epoch in (names[:STEPS], names[STEPS:]):
        assert len(np.unique(epoch)) == STEPS * images
    assert set(names[:STEPS].ravel()) != set(names[STEPS:].ravel())
    labels = [int(name.split("_")[1]) % 5 for name in names.ravel()]
    assert two_epochs["label"].tolist() == labels
    assert two_epochs["position"].tolist() == list(range(2 * STEPS * BATCH))
    assert len(np.unique(two_epochs["seed"], axis=0)) == 2 * STEPS * BATCH
    first, again = two_epochs["image"][0], two_epochs["image"][images]
    assert not np.array_equal(first, again), "it is drawn for anew"


@pytest.mark.parametrize(("start", "replicas"), [(3, 2), (STEPS + 2, 4), (STEPS, 1)])
def test_it_goes_on_bit_for_bit_on_any_number_of_replicas(directory, two_epochs, start, replicas):
    ours = train(directory, changes=CHANGES, replicas=replicas, start=start, epochs=2)
    assert_equal(ours, {name: value[start * BATCH :] for name, value in two_epochs.items()})


def test_hosts_together_have_the_batches_of_one(directory, two_epochs):
    parts = [
        train(directory, changes=CHANGES, replicas=2, epochs=1, host=Host(index, 2))["image"]
        for index in range(2)
    ]
    joined = np.stack([part.reshape(STEPS, BATCH // 2, 24, 24, 3) for part in parts], axis=1)
    expected = two_epochs["image"][: STEPS * BATCH]
    np.testing.assert_array_equal(joined.reshape(expected.shape), expected)
