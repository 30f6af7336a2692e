"""Ten steps of a training give the losses that they gave when this was written.

This goes through all that a loss depends on: records, order, decoding, draws, both chains, the
net's initial weights, its gradients and the optimizer. Other processors sum float32 in another
order (8 lanes with AVX2, 16 with AVX-512). Sharing the same batches out to four replicas, which
does so too, moved the losses by 8e-7 of themselves at most; ten times that is allowed. Another
learning rate moves them by 4 % within two steps.
"""

import json

import numpy as np
import pytest

from tests.making.datasets import write_dataset
from trainers import config
from trainers.run_folder.metrics import METRICS_FILE
from trainers.training import session

LOSSES = (
    *(1.7704754, 1.4590167, 1.8108668, 1.4909816, 1.6889014),
    *(1.8133413, 1.6544021, 1.8348273, 1.6031244, 1.8308010),
)


@pytest.mark.slow(reason="it compiles and trains a net")
def test_ten_steps_have_the_losses_that_they_had(tmp_path):
    data = write_dataset(tmp_path / "data", train=48, validation=8, num_shards=3)
    flags = [
        *("--net=resnet10(width=8)", "--train_batch_size=8", "--eval_batch_size=8", "--seed=3"),
        "--train_map=decode_random_resized_crop(32)|random_flip|color_jitter",
        *("--train_device_map=mean_std|pca_lighting(0.1)", "--eval_device_map=mean_std"),
        *("--eval_map=decode_center_crop(32)", "--optimizer=sgd(0.9)", "--learning_rate=0.01"),
        *("--train_steps=10", "--log_steps=1", "--replicas=cpu:1", "--experiment=golden"),
        *(f"--data_dir={data}", f"--runs_dir={tmp_path}"),
    ]
    run, _ = session.train(config.parse(flags))
    lines = map(json.loads, (run.directory / METRICS_FILE).read_text().splitlines())
    losses = [line["loss"] for line in lines if line["split"] == "train"]
    np.testing.assert_allclose(losses, LOSSES, rtol=1e-5)
