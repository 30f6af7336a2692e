"""What is due at which step of a training: a pure function of the flags and of an epoch's length.

Epochs may be fractions. They are taken as the decimal numbers that the flags say, in exact
arithmetic: 1.1 epochs of 100 steps are 110 steps, though 1.1 * 100 is above 110 in binary floating
point. What recurs every so many epochs does not drift from them either: with 25 steps an epoch, the
evaluations of --eval_epochs=0.5 come after steps 13, 25, 38 and 50.
"""

import dataclasses
import enum
import math
from fractions import Fraction

from trainers.config import TrainConfig

_HALF = Fraction(1, 2)


class Event(enum.Enum):
    """What happens between two steps; where several are due, in this order."""

    STOP_PROFILE = enum.auto()
    RESIZE = enum.auto()  # the images get the size of the epoch that begins
    DIAGNOSE = enum.auto()
    LOG = enum.auto()
    EVALUATE = enum.auto()
    START_PROFILE = enum.auto()


def steps_of(epochs: float, steps_per_epoch: int) -> Fraction:
    """The steps of so many epochs, exactly, of the decimal number that people wrote."""
    return Fraction(repr(epochs)) * steps_per_epoch


@dataclasses.dataclass(frozen=True)
class Agenda:
    """When what is due. Step numbers count the steps taken before.

    Attributes:
        total_steps: of the training, at whose end it logs and evaluates in any case.
        steps_per_epoch: of the global batch.
        log_steps: steps between two lines of metrics.
        evaluate_steps: steps between two evaluations, which need not be a whole number.
        resize_steps: where the images get another size.
        diagnose_step: where to look whether anything was learnt; 0: nowhere.
        profile: (first, last) of the steps to profile, or nothing.
    """

    total_steps: int
    steps_per_epoch: int
    log_steps: int
    evaluate_steps: Fraction
    resize_steps: tuple[int, ...] = ()
    diagnose_step: int = 0
    profile: tuple[int, int] | None = None

    @classmethod
    def of(cls, config: TrainConfig, steps_per_epoch: int) -> "Agenda":
        """The agenda that the flags describe."""
        later_sizes = config.pipeline.sizes_by_epoch()[1:]
        return cls(
            total_steps=config.train_steps
            or math.ceil(steps_of(config.train_epochs, steps_per_epoch)),
            steps_per_epoch=steps_per_epoch,
            log_steps=config.log_steps,
            evaluate_steps=steps_of(config.eval_epochs, steps_per_epoch),
            resize_steps=tuple(epoch * steps_per_epoch for epoch, _ in later_sizes),
            diagnose_step=config.diagnose_steps,
            profile=config.profiled_steps(),
        )

    def at(self, step: int) -> list[Event]:
        """What is due once so many steps have been taken, in the order of `Event`."""
        last = step == self.total_steps
        due = {
            Event.STOP_PROFILE: self.profile is not None and step == self.profile[1],
            Event.RESIZE: step in self.resize_steps and not last,
            Event.DIAGNOSE: 0 < step == self.diagnose_step,
            Event.LOG: step > 0 and (last or step % self.log_steps == 0),
            Event.EVALUATE: step > 0
            and (last or self._evaluations(step - 1) < self._evaluations(step)),
            Event.START_PROFILE: self.profile is not None and step == self.profile[0] and not last,
        }
        return [event for event in Event if due[event]]

    def next(self, step: int) -> int:
        """The first step after `step` at which anything is due; the last one at most."""
        later = [
            (step // self.log_steps + 1) * self.log_steps,
            self._evaluation(self._evaluations(step) + 1),
            self.diagnose_step,
            *self.resize_steps,
            *(self.profile or ()),
        ]
        return min([self.total_steps, *(found for found in later if found > step)])

    def _evaluation(self, number: int) -> int:
        """The step of an evaluation, counted from 1: the nearest to so many intervals."""
        return math.floor(number * self.evaluate_steps + _HALF)

    def _evaluations(self, step: int) -> int:
        """How many evaluations are due up to a step, two at one step counted as two."""
        return math.ceil((step + _HALF) / self.evaluate_steps) - 1
