"""Every flag file names what exists, and says what a reader needs."""

import pathlib

import pytest

import nets
from data_prep import schema
from pipelines import chain
from pipelines.decoders import JpegDecoder
from pipelines.spec import parse_call
from tests.conftest import ROOT
from trainers.config import TrainConfig, read_flag_file
from trainers.optimizers import OPTIMIZERS
from trainers.schedules import SCHEDULES

FILES = sorted((ROOT / "flags").rglob("*.cfg"))
RECIPES = [path for path in FILES if path.name != "base.cfg"]
NAMES = [str(path.relative_to(ROOT / "flags")) for path in RECIPES]
# With every statistic that a map function may ask for.
STATISTICS = schema.Statistics(
    *(1.0 + schema.np.zeros(3),) * 3, schema.np.eye(3), schema.np.zeros((512, 512, 3))
)


@pytest.fixture(params=RECIPES, ids=NAMES)
def recipe(request, monkeypatch) -> tuple[pathlib.Path, TrainConfig]:
    monkeypatch.chdir(ROOT)  # nested files are named from the root, as commands are run there
    return request.param, read_flag_file(request.param)


def test_the_net_exists_and_takes_its_options(recipe):
    call = parse_call(recipe[1].net)
    assert set(call.keywords) <= set(nets.entry(call.name).options)


def test_chains_schedule_and_optimizer_can_be_made(recipe):
    _, config = recipe
    given = {"decoder": JpegDecoder(), "statistics": STATISTICS, "num_classes": 10}
    for flag in ("train_map", "eval_map"):
        made = chain.host_chain(getattr(config.pipeline, flag), flag, **given)
        height, width, _ = chain.output_shape(made, flag)
        assert height == width
        if config.pipeline.size:
            assert made.min_side <= config.pipeline.size, "the stored images are large enough"
    for flag in ("train_device_map", "eval_device_map"):
        assert chain.device_chain(getattr(config.pipeline, flag), flag, **given).functions
    SCHEDULES.make(config.schedule)
    OPTIMIZERS.make(config.optimizer)


def test_the_header_says_command_and_expectation(recipe):
    path, _ = recipe
    header = "".join(line for line in path.read_text().splitlines(True) if line.startswith("#"))
    assert "# Command:  " in header
    assert "# Expected: " in header
    command = next(line for line in header.splitlines() if "Command:" in line)
    assert path.name in command or "make demo" in command


def test_a_file_that_includes_another_does_so_first(recipe):
    lines = [line for line in recipe[0].read_text().splitlines() if line.startswith("--")]
    assert all("--flagfile" not in line for line in lines[1:]), "a later line wins"
