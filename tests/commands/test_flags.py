"""Every flag file names what exists, and says what a reader needs."""

import functools
import pathlib
import re

import numpy as np
import pytest

import nets
from base.spec import parse_call
from pipelines import chain
from pipelines.config import Phase
from pipelines.functions.decoders import JpegDecoder
from pipelines.reading.dataset import SYNTHETIC_STATISTICS
from tests.conftest import ROOT
from trainers.config import TrainConfig, read_flag_file
from trainers.training.losses import LOSSES
from trainers.training.optimizers import OPTIMIZERS
from trainers.training.schedules import SCHEDULES

FILES = sorted((ROOT / "flags").rglob("*.cfg"))
RECIPES = [path for path in FILES if path.name != "base.cfg"]
NAMES = [str(path.relative_to(ROOT / "flags")) for path in RECIPES]

# Where each of FFCV's ladders starts and ends to enlarge its images, by epochs of the run (its
# configurations' start_ramp and end_ramp).
FFCV_RAMPS = {16: (11, 13), 24: (17, 20), 32: (23, 27), 40: (29, 34), 56: (41, 48), 88: (65, 76)}


@pytest.fixture(params=RECIPES, ids=NAMES)
def recipe(request) -> tuple[pathlib.Path, TrainConfig]:
    return request.param, read_flag_file(request.param)


@functools.cache
def small_build(net: str):
    call = parse_call(net)
    return nets.build(call.name, 10, image_size=64, **call.keywords)


@pytest.mark.slow(reason="the net of every recipe is built")
def test_the_net_exists_and_takes_its_options(recipe):
    call = parse_call(recipe[1].net)
    entry = nets.entry(call.name)
    assert set(call.keywords) <= set(entry.options)
    if call.keywords:  # those without options are built where nets are tested
        assert small_build(recipe[1].net).count_params() < 1.01 * entry.params


def test_every_family_of_nets_has_a_recipe():
    trained = {parse_call(read_flag_file(path).net).name for path in RECIPES}
    families = {nets.entry(name).family for name in nets.names()}
    assert {nets.entry(name).family for name in trained} == families


@pytest.mark.parametrize("net", ["resnet18", "resnet50"])
@pytest.mark.parametrize("epochs", FFCV_RAMPS)
def test_ffcvs_ladder_enlarges_its_images_when_ffcv_does(net, epochs):
    config = read_flag_file(ROOT / f"flags/ffcv/{net}_{epochs}.cfg")
    assert config.train_epochs == epochs
    for epoch in range(epochs):
        size = int(np.round(np.interp(epoch, FFCV_RAMPS[epochs], (160, 192)) / 32)) * 32
        assert config.pipeline.host_map(Phase.TRAIN, epoch) == f"decode_random_resized_crop({size})"


@pytest.mark.slow(reason="every recipe is made")
def test_chains_schedule_and_optimizer_can_be_made(recipe):
    _, config = recipe
    given = {"decoder": JpegDecoder(), "statistics": SYNTHETIC_STATISTICS, "num_classes": 10}
    train_maps = {
        config.pipeline.host_map(Phase.TRAIN, epoch)
        for epoch, _ in config.pipeline.sizes_by_epoch() or [(0, 0)]
    }
    chains = [("train_map", text) for text in train_maps] + [("eval_map", config.pipeline.eval_map)]
    for flag, text in chains:
        made = chain.host_chain(text, flag, **given)
        height, width, _ = chain.output_shape(made, flag)
        assert height == width
        if config.pipeline.size:
            assert made.min_side <= config.pipeline.size, "the stored images are large enough"
    for flag in ("train_device_map", "eval_device_map"):
        assert chain.device_chain(getattr(config.pipeline, flag), flag, **given).functions
    SCHEDULES.make(config.schedule)
    OPTIMIZERS.make(config.optimizer)
    LOSSES.make(config.loss)


def test_the_header_says_command_and_expectation(recipe):
    path, _ = recipe
    header = "".join(line for line in path.read_text().splitlines(True) if line.startswith("#"))
    assert "# Command:  " in header
    assert "# Expected: " in header
    command = next(line for line in header.splitlines() if "Command:" in line)
    assert f"--flagfile={path.relative_to(ROOT)} " in command or "make demo" in command


def test_the_data_set_of_the_command_is_the_one_that_the_flags_ask_for(recipe):
    path, config = recipe
    named = re.search(r"--data_dir=data/ilsvrc2012/(\w+)_(\d+)_jpeg", path.read_text())
    if named:
        assert named.groups() == (config.pipeline.geometry, str(config.pipeline.size))


def test_a_file_that_includes_another_does_so_first(recipe):
    lines = [line for line in recipe[0].read_text().splitlines() if line.startswith("--")]
    assert all("--flagfile" not in line for line in lines[1:]), "a later line wins"
