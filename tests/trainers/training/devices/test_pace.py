"""Waiting for data, worked out from when it was there."""

import numpy as np
import pytest

from trainers.training.devices.pace import waited


def simulated(ready: list[float], step: float, began: float = 0.0) -> tuple[float, float]:
    """When steps of one length end, each begun when its data is there; how long they waited."""
    now, waiting = began, 0.0
    for there in ready:
        waiting += max(0.0, there - now)
        now = max(now, there) + step
    return now, waiting / len(ready)


@pytest.mark.parametrize("step", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("pace", [0.0, 0.1, 0.7, 1.0, 3.0])
def test_steady_data_gives_the_time_that_was_waited(step, pace):
    ready = [0.05 + pace * index for index in range(20)]
    ended, waiting = simulated(ready, step)
    assert waited(np.array(ready), 0.0, ended) == pytest.approx(waiting, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_data_that_comes_by_fits_and_starts_gives_no_more_than_that(seed):
    random = np.random.default_rng(seed)
    ready = np.cumsum(random.exponential(1.0, 30))
    ended, waiting = simulated(ready.tolist(), 0.8)
    found = waited(ready, 0.0, ended)
    # Exact where some stretch to the end had no wait in it, which holds for the last step.
    assert found == pytest.approx(waiting, abs=1e-9)


def test_data_that_was_there_long_ago_is_not_waited_for():
    assert waited(np.array([-50.0, -49.0, -1.0]), 0.0, 6.0) == 0.0


def test_one_step_has_waited_until_its_data_was_there():
    assert waited(np.array([3.0]), 0.0, 5.0) == pytest.approx(3.0)
    assert waited(np.array([7.0]), 0.0, 5.0) == pytest.approx(5.0), "clocks may differ a little"
