"""What a training says of its data before it begins."""

import pytest

from tests.pipelines.reading.test_dataset import foreign_dataset
from trainers import config
from trainers.training import session


@pytest.mark.slow(reason="it trains, for two steps")
def test_splits_that_are_not_read_are_said_where_a_training_begins(tmp_path, capsys):
    splits = {"train": 9, "test": 4, "unlabelled": 5}
    data = foreign_dataset(tmp_path / "data", "jpeg", splits, unlabelled="unlabelled")
    flags = [
        *("--net=resnet10(width=8)", "--train_steps=2", "--train_batch_size=4"),
        *("--eval_batch_size=4", f"--data_dir={data}", f"--runs_dir={tmp_path / 'runs'}"),
        *("--train_map=decode_random_crop(24)", "--eval_map=decode_center_crop(24)"),
        *("--train_device_map=", "--eval_device_map=", "--replicas=cpu:1"),
    ]
    session.train(config.parse(flags))
    said = capsys.readouterr().out
    (line,) = [line for line in said.splitlines() if "insects/1.0.0:" in line]
    assert line.endswith("split 'test' is taken for validation; not read: split 'unlabelled'")
