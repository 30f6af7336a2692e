"""Learning-rate schedules: pure functions of the step and of the validation results so far.

A schedule is made by a factory with literal arguments, named in `--schedule`, e.g.
`step_decay(30, 60, 80)`, and is a function `(Position) -> float`, the factor by which the base
learning rate (`--learning_rate`) is multiplied. It keeps no state: a resumed run computes what the
uninterrupted one would have.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

from base.spec import Registry


@dataclasses.dataclass(frozen=True)
class Position:
    """Where a training run stands before a step.

    Attributes:
        step: steps already taken.
        steps_per_epoch: of the global batch.
        total_steps: of the whole run.
        validation_errors: the top-1 error (a fraction) of every evaluation so far.
    """

    step: int
    steps_per_epoch: int
    total_steps: int
    validation_errors: Sequence[float] = ()

    @property
    def epoch(self) -> float:
        """Epochs already passed, with the fraction of the current one."""
        return self.step / self.steps_per_epoch


Schedule = Callable[[Position], float]
SCHEDULES = Registry("schedule")


@SCHEDULES.register
def constant() -> Schedule:
    """The base learning rate throughout.

    Source: plain.
    """
    return lambda position: 1.0


@SCHEDULES.register
def step_decay(*epochs: float, factor: float = 0.1) -> Schedule:
    """Multiplies by `factor` at each of `epochs` (fb.resnet.torch: 30, 60).

    Source: fb.resnet.torch.
    """

    def schedule(position: Position) -> float:
        return factor ** sum(position.epoch >= epoch for epoch in epochs)

    return schedule


@SCHEDULES.register
def polynomial(power: float = 1.0, end: float = 0.0) -> Schedule:
    """(1 - step / total)^power, down to `end` (BVLC's GoogLeNet: 0.5; SqueezeNet: 1).

    Source: BVLC's GoogLeNet and SqueezeNet's authors.
    """

    def schedule(position: Position) -> float:
        left = 1 - min(1.0, position.step / position.total_steps)
        return end + (1 - end) * left**power

    return schedule


@SCHEDULES.register
def exponential(factor: float = 0.94, every_epochs: float = 2.0) -> Schedule:
    """Multiplies by `factor` at every so many epochs (Inception-v3: 0.94 every 2).

    Source: Szegedy et al. 2016 (Inception-v3), section 8.
    """

    def schedule(position: Position) -> float:
        return factor ** math.floor(position.epoch / every_epochs)

    return schedule


@SCHEDULES.register
def cosine() -> Schedule:
    """Half a cosine from 1 to 0 over the run (Loshchilov & Hutter 2017, SGDR, without restarts)."""

    def schedule(position: Position) -> float:
        return 0.5 * (1 + math.cos(math.pi * min(1.0, position.step / position.total_steps)))

    return schedule


@SCHEDULES.register
def triangular(peak_epoch: float = 2.0, start: float = 0.0) -> Schedule:
    """A straight line from `start` up to 1 at `peak_epoch`, and another down to 0 at the end.

    FFCV's recipes, where it is called cyclic (start: 1e-4), after one cycle of Smith 2017.
    """

    def schedule(position: Position) -> float:
        peak = peak_epoch * position.steps_per_epoch
        if position.step < peak:
            return start + (1 - start) * position.step / peak
        left = position.total_steps - position.step
        return max(0.0, left / max(1.0, position.total_steps - peak))

    return schedule


@SCHEDULES.register
def divide_on_plateau(divisor: float = 10.0, patience: int = 5, times: int = 3) -> Schedule:
    """Divides when the validation error has stopped improving (Krizhevsky et al. 2012, section 5).

    The paper divided by hand, by 10, three times before it ended. Here the error has stopped
    improving when `patience` evaluations in a row, since the last division, set no new best.
    """

    def schedule(position: Position) -> float:
        divisions, waited, best = 0, 0, math.inf
        for error in position.validation_errors:
            if error < best:
                best, waited = error, 0
            else:
                waited += 1
            if waited == patience and divisions < times:
                divisions, waited = divisions + 1, 0
        return divisor**-divisions

    return schedule


def with_warmup(schedule: Schedule, epochs: float) -> Schedule:
    """Puts a linear rise from 0 over `epochs` in front (Goyal et al. 2017, section 2.2).

    The schedule itself keeps its own clock: the rise multiplies it.
    """

    def warmed(position: Position) -> float:
        rise = min(1.0, (position.step + 1) / (epochs * position.steps_per_epoch))
        return rise * schedule(position)

    return warmed if epochs > 0 else schedule
