"""Batches for any shards, seed, buffer, start, replicas and hosts are parts of one whole run."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.config import PipelineConfig
from pipelines.input_pipeline import InputPipeline
from pipelines.reading.dataset import Dataset, open_dataset
from pipelines.reading.order import ALONE, Host
from tests.making.datasets import write_dataset

EPOCHS = 2
IMAGES = 31


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    """The same images in 1, 2, ... shards."""
    root = tmp_path_factory.mktemp("shards")
    return {
        shards: write_dataset(root / str(shards), train=IMAGES, num_shards=shards, size=16)
        for shards in (1, 3, 8)
    }


@st.composite
def splits(draw) -> dict[str, int]:
    """How a global batch is shared out, and where delivery begins."""
    hosts, replicas = draw(st.sampled_from([(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)]))
    batch = hosts * replicas * draw(st.integers(1, 4))
    steps = IMAGES // batch
    return {
        "hosts": hosts,
        "replicas": replicas,
        "batch": batch,
        "start": draw(st.integers(0, EPOCHS * steps - 1)),
        "shards": draw(st.sampled_from([1, 3, 8])),
        "seed": draw(st.integers(0, 2**31)),
        "buffer": draw(st.integers(0, 40)),
    }


def delivered(
    dataset: Dataset,
    flags: PipelineConfig,
    batch_size: int,
    *,
    start: int = 0,
    host: Host = ALONE,
) -> dict[str, np.ndarray]:
    batches = InputPipeline(dataset, flags, host).train(batch_size, start=start, epochs=EPOCHS)
    found = list(batches.as_numpy_iterator())
    names = ("image", "label", "seed", "position")
    return {name: np.concatenate([batch[name] for batch in found]) for name in names}


@pytest.mark.slow(reason="each example traces several input pipelines")
@settings(max_examples=12)
@given(split=splits())
def test_parts_of_hosts_and_replicas_from_any_step_are_the_whole(directories, split):
    flags = PipelineConfig(
        data_dir=str(directories[split["shards"]]),
        train_batch_size=split["batch"],
        seed=split["seed"],
        train_map="decode_random_crop(8)|random_flip",
        train_device_map="mean_std",
        eval_map="decode_center_crop(8)",
    )
    dataset = open_dataset(flags)
    # A fraction, as the images are tiny.
    megabytes = split["buffer"] * dataset.record_bytes("train") / 2**20
    flags = PipelineConfig(**{**vars(flags), "shuffle_buffer_mb": megabytes})
    whole = delivered(dataset, flags, split["batch"])
    part = split["batch"] // split["hosts"]
    parts = [
        delivered(
            dataset,
            flags,
            part // split["replicas"],
            start=split["start"],
            host=Host(host, split["hosts"]),
        )
        for host in range(split["hosts"])
    ]
    for name, expected in whole.items():
        rest = expected[split["start"] * split["batch"] :]
        # Batch by batch, the hosts' parts one after another.
        shared = np.stack([values[name].reshape(-1, part, *rest.shape[1:]) for values in parts], 1)
        np.testing.assert_array_equal(shared.reshape(rest.shape), rest, err_msg=name)
