"""The learning rate that is proposed, on curves whose best rate is known, and in a training."""

import math

import numpy as np
import pytest
from PIL import Image

from base.errors import UserError
from tests.making.datasets import write_dataset
from trainers import config
from trainers.training.measuring.learning_rate import Sweep, find_learning_rate

RATES = np.geomspace(1e-7, 10, 200)


def bowl(lowest: float, noise: float = 0.0) -> list[float]:
    """Losses from 7 nats, down to 3 at a rate of `lowest`, and up again steeply."""
    decades = np.log10(RATES / lowest)
    falling = 3 + 4 / (1 + np.exp(4 * (decades + 1)))
    rising = np.where(decades > 0, 30 * decades**2, 0)
    return (falling + rising + np.random.default_rng(0).normal(0, noise, 200)).tolist()


@pytest.mark.parametrize("lowest", [1e-3, 0.05, 0.5])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_tenth_of_the_rate_with_the_lowest_loss_is_proposed(lowest, noise):
    proposed = Sweep(RATES, bowl(lowest, noise)).proposed
    assert proposed is not None
    assert lowest / 30 < proposed < lowest / 3


def test_a_loss_that_never_falls_gives_no_rate():
    flat = 7 + np.random.default_rng(0).normal(0, 0.01, 200)
    assert Sweep(RATES, flat.tolist()).proposed is None
    assert Sweep(RATES[:30], [*[7.0] * 29, math.nan]).proposed is None


def test_a_loss_that_is_four_times_the_lowest_or_not_finite_has_diverged():
    losses = bowl(0.05)
    assert not any(Sweep(RATES, losses[:count]).diverged for count in range(1, 140))
    assert Sweep(RATES, losses).diverged
    assert Sweep(RATES, [2.0, math.inf]).diverged and Sweep(RATES, [2.0, math.nan]).diverged
    assert Sweep(RATES, [*losses[:140], math.nan]).proposed == Sweep(RATES, losses[:140]).proposed


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    data_dir = write_dataset(tmp_path_factory.mktemp("data") / "data")
    return [
        *("--net=resnet10(width=4)", f"--data_dir={data_dir}", "--replicas=cpu:1"),
        *("--train_map=decode_random_crop(24)", "--eval_map=decode_center_crop(24)"),
        *("--train_device_map=mean_std", "--eval_device_map=mean_std", "--experiment=found"),
    ]


@pytest.mark.slow(reason="it trains")
def test_finding_a_rate_says_it_draws_it_and_leaves_no_run(flags, tmp_path, capsys):
    runs, picture = tmp_path / "runs", tmp_path / "new" / "rates.png"
    settings = config.parse([*flags, f"--runs_dir={runs}", "--train_batch_size=2"])
    sweep = find_learning_rate(settings, str(picture))
    said = capsys.readouterr().out
    assert len(sweep.rates) <= 30 and np.isclose(sweep.rates[0], 1e-7)
    assert said.startswith("net: resnet10(width=4)")
    rate = "no rate to propose" if sweep.proposed is None else "proposed: --learning_rate="
    assert f"\n{rate}" in said and said.endswith(f"picture: {picture}\n")
    assert "\r" not in said and "\x1b" not in said
    assert Image.open(picture).size == (720, 432)
    assert not runs.exists()


def test_an_epoch_that_is_too_short_is_one_line(flags, tmp_path):
    settings = config.parse([*flags, "--train_batch_size=12"])
    with pytest.raises(UserError, match=r"an epoch has 5 of 12 images: lower --train_batch_size"):
        find_learning_rate(settings, str(tmp_path / "rates.png"))
