"""The estimate of a step's memory, beside what was measured, and what is said when it is short."""

import re

import keras
import pytest
import tensorflow as tf

import nets
from base.errors import UserError
from tests.making.tiny_net import SYNTHETIC_TRAINING
from trainers.training.devices import memory

GIB = 2**30


@pytest.fixture
def bfloat16():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize(("net", "measured"), [("resnet50_v1_5", 10.31), ("alexnet", 3.44)])
def test_the_estimate_is_near_what_a_gpu_took(bfloat16, net, measured):
    # docs/gpu.md: H200, 256 images, SGD with momentum, by XLA
    estimate = memory.estimate(nets.build(net), slots=1)
    assert estimate.of(256) / GIB == pytest.approx(measured, rel=0.1)


def plan(batch=256, replicas=1, parts=1, limit=8 * GIB) -> memory.Plan:
    needs = memory.StepMemory(fixed=GIB, per_image=40 * 2**20)
    return memory.Plan(needs=needs, batch=batch, replicas=replicas, parts=parts, limit=limit)


def test_the_flag_that_makes_a_step_fit_is_named_before_the_first():
    assert plan(limit=16 * GIB).line() == "memory: about 11.0 GiB of 16.0 GiB a GPU"
    line = plan().line()
    assert "about 11.0 GiB of 8.0 GiB a GPU; by estimate 179 fit: --accumulation_steps=2" in line
    assert plan(limit=None).line() == ""


@pytest.mark.parametrize("limit", [2, 3, 6, 8, 16, 80])
@pytest.mark.parametrize("replicas", [1, 2, 4])
@pytest.mark.parametrize("batch", [96, 256, 1024])
def test_what_is_proposed_fits_and_divides(limit, replicas, batch):
    wanted = plan(batch, replicas, limit=limit * GIB)
    if found := re.search(r"accumulation_steps=(\d+)", wanted.line()):
        parts = int(found[1])
        assert batch % (replicas * parts) == 0
        assert wanted.needs.of(batch // replicas // parts) <= limit * GIB
    else:
        assert wanted.bytes <= limit * GIB


def test_running_out_of_memory_is_one_line(monkeypatch):
    assert "--accumulation_steps=2 keeps the recipe" in str(plan(limit=None).out_of_memory())
    assert "--accumulation_steps=4" in str(plan(parts=2, limit=80 * GIB).out_of_memory())
    assert "not one image fits" in str(plan(limit=GIB).out_of_memory())
    assert isinstance(plan().out_of_memory(), UserError)


def test_a_step_that_runs_out_of_memory_says_so(monkeypatch):
    from trainers import config
    from trainers.training.measuring import measurement

    flags = [*SYNTHETIC_TRAINING, "--replicas=cpu"]
    trainer = measurement.trainer_to_measure(config.parse(flags))

    def exhausted(*arguments):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(trainer.step, "take_steps", exhausted)
    with pytest.raises(UserError, match=r"out of memory: 8 images at once .*accumulation_steps=2"):
        trainer.take_steps(None, 1)
