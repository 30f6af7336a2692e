"""Schedules as pure functions of the step and of the validation results."""

import dataclasses
import math

import numpy as np
import pytest

from base.errors import UserError
from trainers.training.schedules import SCHEDULES, Position, with_warmup

START = Position(step=0, steps_per_epoch=10, total_steps=900)


def factors(spec: str, steps: list[int]) -> list[float]:
    schedule = SCHEDULES.make(spec)
    return [schedule(dataclasses.replace(START, step=step)) for step in steps]


def after(spec: str, errors: list[float]) -> float:
    return SCHEDULES.make(spec)(dataclasses.replace(START, validation_errors=errors))


def test_step_decay_changes_at_the_named_epochs():
    found = factors("step_decay(30, 60)", [0, 299, 300, 599, 600])
    assert found == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_cosine_goes_from_one_to_nothing():
    assert factors("cosine()", [0, 450, 900]) == pytest.approx([1, 0.5, 0], abs=1e-12)
    assert factors("cosine()", [300]) == pytest.approx([0.5 * (1 + math.cos(math.pi / 3))])


def test_polynomial_falls_to_its_end():
    assert factors("polynomial(0.5)", [0, 675, 900]) == pytest.approx([1, 0.5, 0])
    assert factors("polynomial(1, end=0.1)", [450, 900]) == pytest.approx([0.55, 0.1])


def test_exponential_steps_down_by_epochs():
    found = factors("exponential(0.94, 2)", [0, 19, 20, 45])
    assert found == pytest.approx([1, 1, 0.94, 0.94**2])


def test_triangular_is_ffcvs_interpolation():
    steps = [0, 1, 10, 19, 20, 21, 460, 899, 900]
    expected = np.interp(steps, [0, 20, 900], [1e-4, 1, 0])
    assert factors("triangular(2, start=1e-4)", steps) == pytest.approx(expected)


def test_triangular_ends_at_nothing_where_its_peak_is_the_end():
    assert factors("triangular(90)", [450, 899, 900]) == pytest.approx([0.5, 899 / 900, 0])


def test_plateau_divides_when_patience_is_over_and_at_most_so_often():
    spec = "divide_on_plateau(10, patience=2, times=2)"
    assert after(spec, []) == 1
    assert after(spec, [0.9, 0.8, 0.8]) == 1
    assert after(spec, [0.9, 0.8, 0.8, 0.8]) == pytest.approx(0.1)
    assert after(spec, [0.9, 0.8, 0.8, 0.7, 0.8]) == 1, "a new best starts the wait again"
    assert after(spec, [0.5] * 30) == pytest.approx(0.01), "two divisions, not more"


def test_warmup_rises_linearly_and_then_leaves_the_schedule_alone():
    schedule = with_warmup(SCHEDULES.make("step_decay(30)"), epochs=2)
    found = [schedule(dataclasses.replace(START, step=step)) for step in (0, 9, 19, 20, 300)]
    assert found == pytest.approx([1 / 20, 10 / 20, 1, 1, 0.1])


@pytest.mark.parametrize("spec", ["sine()", "step_decay(when=3)", "cosine(]", "cosine() + 1"])
def test_a_wrong_spec_is_refused_in_one_line(spec):
    with pytest.raises(UserError) as error:
        SCHEDULES.make(spec)
    assert "\n" not in str(error.value)
