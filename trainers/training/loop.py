"""The loop over the compiled steps, from the first to the last of a run.

A call of the compiled step takes several steps. Between calls the loop does what the agenda says is
due, saves, and looks whether it was asked to stop.
"""

import contextlib
import pathlib
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

import numpy as np

from base.commandline import flag_lines
from base.errors import UserError
from data_prep import schema
from trainers.config import OTHERWISE_COMPUTED
from trainers.run_folder import checkpoints
from trainers.run_folder.continuing import changes, keep_changes
from trainers.run_folder.files import COLUMNS, Line, Means, Result
from trainers.run_folder.finding import name_of
from trainers.run_folder.folder import INITIAL_WEIGHTS_FILE, RESULT_FILE, TEACHER_FILE, Run
from trainers.run_folder.history import recorded
from trainers.run_folder.loggers.logger import Logger, Start
from trainers.run_folder.loggers.opening import asked_for, open_loggers
from trainers.run_folder.metrics import draw_curves
from trainers.training.agenda import Event
from trainers.training.diagnosis import Inquiry
from trainers.training.logbook import Logbook, SilentLogbook
from trainers.training.step import GRADIENT_NORM, IMAGES, LOSS, MAX_STEPS
from trainers.training.trainer import Trainer
from trainers.training.validation import Score

# A call from Python takes as many steps as fit in about this time: rare enough to cost nothing,
# often enough for a progress line and for stopping on a signal.
SECONDS_PER_CALL = 1.0
# More steps in a row with a value that is not finite end a run that skips them.
MAX_SKIPPED_IN_A_ROW = 10
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)

# Called after each call of the compiled step, with the rows of the steps that it took.
Watch = Callable[[np.ndarray], None]


def train_run(trainer: Trainer, run: Run, watch: Watch | None = None) -> Score:
    """Takes the steps that are left to a run, which is locked, and records them in its folder.

    On one of STOP_SIGNALS it saves and raises SystemExit(0).

    Args:
        trainer: a new one.
        run: whose newest checkpoint it goes on from, if there is one.
        watch: looks on; what it raises ends the loop.

    Returns:
        The score of the last evaluation.

    Raises:
        UserError: a value is not finite, memory runs out, or the checkpoint does not fit.
    """
    trainer.restore(run)
    chief, state, agenda = trainer.devices.workers.chief, trainer.state, trainer.agenda
    if state.step > agenda.total_steps or (run.finished and state.step == agenda.total_steps):
        raise UserError(
            f"{run.directory} has taken {state.step} steps, and {agenda.total_steps} are asked "
            "for: a longer --train_epochs or --train_steps trains it further"
        )
    changed = changes(run, trainer.config) if chief else {}
    with contextlib.ExitStack() as stack:
        logbook = stack.enter_context(_open_logbook(trainer, run) if chief else SilentLogbook())
        logbook.say(f"run folder: {run.directory}")
        begins = *trainer.announcement(), *trainer.begins_with()
        for line in (*begins, trainer.pipeline.dataset.remark, trainer.memory.line()):
            if line:
                logbook.say(line)
        logbook.say_loggers()
        if state.step:
            logbook.say(f"continuing after step {state.step} of {agenda.total_steps}")
        for name, (was, now) in changed.items():
            logbook.say(f"--{name} is {now!r}, was {was!r}{_of_what_effect(name)}")
        received = stack.enter_context(_stop_signals(logbook))
        loop = Loop(trainer, run, logbook, received, watch)
        if not state.step:
            loop.look_at_first_batch()
        if chief and trainer.initial:
            run.write_json(INITIAL_WEIGHTS_FILE, trainer.initial)
        if chief and trainer.teacher:
            run.write_json(TEACHER_FILE, trainer.teacher.weights)
        if chief:
            said = {name: f"{was} -> {now}" for name, (was, now) in changed.items()}
            stack.enter_context(recorded(run, lambda: trainer.state.step, said))
            (run.directory / RESULT_FILE).unlink(missing_ok=True)  # it goes on from its end
            keep_changes(run, changed, state.step)
        score = loop.run()
        logbook.say(f"{run.directory}: validation {score.line()} over {score.images} images")
        if chief:
            draw_curves(run.directory, title=str(run.directory))
            result = Result(step=state.step, validation=Means(**score.means()))
            run.write_json(RESULT_FILE, result)
            _say_what_is_there(logbook, run, trainer.config.runs_dir)
    return score


class Loop:
    """The loop of one run."""

    def __init__(
        self,
        trainer: Trainer,
        run: Run,
        logbook: Logbook,
        received: Callable[[], int],
        watch: Watch | None = None,
    ):
        """Takes no step yet.

        Args:
            trainer: what takes the steps.
            run: where they are recorded.
            logbook: what is said of them.
            received: gives the signal that asks this process to stop, or 0.
            watch: see `train_run`.
        """
        self._trainer, self._run, self._logbook = trainer, run, logbook
        self._received, self._watch = received, watch
        self._inquiry = Inquiry(trainer, run.directory, logbook)
        self._batches = trainer.batches()
        self._score: Score | None = None
        self._steps_per_call = 1
        self._skipped, self._last_skipped = 0, -1

    def look_at_first_batch(self) -> None:
        """Says what is odd in it. Raises UserError where no batch can be made."""
        self._inquiry.look_at_first_batch()

    def run(self) -> Score:
        """Ends at the last step, or earlier where the flags say so, with the last score."""
        trainer, state = self._trainer, self._trainer.state
        agenda, minutes = trainer.agenda, trainer.config.checkpoint_minutes
        if Event.START_PROFILE in agenda.at(state.step):
            self._logbook.start_profile()
        saved_at = time.monotonic()
        self._logbook.restart_clock()
        while state.step < agenda.total_steps:
            self._take_steps(min(self._steps_per_call, agenda.next(state.step) - state.step))
            save, stop = self._agreed(time.monotonic() - saved_at > 60 * minutes)
            due = agenda.at(state.step)
            for event in due:
                self._handle(event)
            evaluated = Event.EVALUATE in due
            if evaluated or save or stop:
                self._save(evaluated=evaluated)
                saved_at = time.monotonic()
                self._logbook.restart_clock()
            if evaluated and self._may_stop():
                break
            if stop and state.step < agenda.total_steps:
                name = signal.Signals(stop).name
                self._logbook.say(f"{name}: saved at step {state.step}; the same command continues")
                raise SystemExit(0)
        # Without a score the run was interrupted after its last step.
        return self._score or trainer.evaluate()

    def _handle(self, event: Event) -> None:
        trainer, state, logbook = self._trainer, self._trainer.state, self._logbook
        match event:
            case Event.STOP_PROFILE:
                logbook.stop_profile()
            case Event.RESIZE:
                self._batches = trainer.batches()
            case Event.DIAGNOSE:
                loss = state.window[LOSS] / state.window[IMAGES]
                self._inquiry.warn_of_chance(state.step, loss, trainer.learning_rate(state.step))
                logbook.restart_clock()
            case Event.LOG:
                logbook.train(state.step, state.window, trainer.learning_rate(state.step - 1))
                state.window = [0.0] * COLUMNS
            case Event.EVALUATE:
                logbook.evaluating(trainer.pipeline.dataset.num_records(schema.VALIDATION))
                self._score = trainer.evaluate()
                logbook.validation(state.step, self._score)
                state.validation_errors.append(1 - self._score.top1)
            case Event.START_PROFILE:
                logbook.start_profile()

    def _take_steps(self, count: int) -> None:
        """Takes `count` steps and adds their sums to the window."""
        trainer, state = self._trainer, self._trainer.state
        began = time.monotonic()
        rows = trainer.take_steps(self._batches, count)
        if time.monotonic() - began < SECONDS_PER_CALL / 2:
            self._steps_per_call = min(2 * self._steps_per_call, MAX_STEPS)
        finite = np.isfinite(rows[:, LOSS])
        if trainer.config.precision != "mixed_float16":
            finite &= np.isfinite(rows[:, GRADIENT_NORM])
        if not finite.all():
            self._answer_non_finite(finite)
            rows = np.where(finite[:, np.newaxis], rows, 0.0)
        state.window = (np.asarray(state.window) + rows.sum(axis=0)).tolist()
        state.step += count
        self._logbook.steps(state.step, rows, state.window)
        if self._watch:
            self._watch(rows)

    def _agreed(self, save: bool) -> tuple[bool, int]:
        """Whether to save, and a signal that any worker has got, or 0.

        What depends on a clock is what the first worker says, the steps of a call too.
        """
        workers = self._trainer.devices.workers
        got = [self._received() == number for number in STOP_SIGNALS]
        values = [save and workers.chief, self._steps_per_call if workers.chief else 0, *got]
        save_sum, steps, *counts = workers.sums([float(value) for value in values])
        self._steps_per_call = int(steps)
        signals = [number for number, count in zip(STOP_SIGNALS, counts, strict=True) if count]
        return save_sum > 0, signals[0] if signals else 0

    def _may_stop(self) -> bool:
        """Whether the run has reached its target, or has stopped improving."""
        config, errors = self._trainer.config, self._trainer.state.validation_errors
        assert self._score is not None
        if config.stop_at_top1 and self._score.top1 >= config.stop_at_top1:
            self._logbook.say(f"--stop_at_top1={config.stop_at_top1} is reached")
            return True
        waited = len(errors) - 1 - errors.index(min(errors))
        if config.stop_after_evaluations and waited >= config.stop_after_evaluations:
            self._logbook.say(f"{waited} evaluations in a row have set no new best")
            return True
        return False

    def _answer_non_finite(self, finite: np.ndarray) -> None:
        """Says what was not finite in the steps just taken; ends the run unless they are skipped.

        Args:
            finite: bool [K], for each step.
        """
        trainer, state = self._trainer, self._trainer.state
        for index in np.flatnonzero(~finite):
            step = state.step + int(index)
            self._skipped = self._skipped + 1 if step == self._last_skipped + 1 else 1
            self._last_skipped = step
            found = self._inquiry.non_finite(step)
            if trainer.config.on_non_finite == "stop" or self._skipped > MAX_SKIPPED_IN_A_ROW:
                raise UserError(
                    f"{found}; lower --learning_rate ({trainer.config.learning_rate}), add "
                    "--warmup_epochs or --clip_norm"
                )
            self._logbook.say(f"warning: {found}; the step is skipped")

    def _save(self, *, evaluated: bool) -> None:
        """Saves; where that fails the run goes on, and says so: the one before is still there."""
        try:
            self._trainer.save(self._run, evaluated=evaluated)
        except OSError as error:
            self._logbook.say(
                f"warning: no checkpoint of step {self._trainer.state.step} was written to "
                f"{self._run.checkpoints} ({error.strerror}): the training goes on, free some space"
            )


def _say_what_is_there(logbook: Logbook, run: Run, runs_dir: str) -> None:
    """Names the best checkpoint, and the commands that come next."""
    best = checkpoints.best_state(run.checkpoints)
    if best is not None and best.validation_errors:
        top1 = 100 * (1 - best.validation_errors[-1])
        file = run.checkpoints / checkpoints.BEST
        logbook.say(f"best checkpoint: step {best.step}, validation top-1 {top1:.1f} %: {file}")
    evaluation = ("python", "trainers/evaluate.py", f"--run={run.directory}")
    report = ("python", "trainers/runs.py", "report", f"--runs_dir={runs_dir}")
    for words in (evaluation, report):
        logbook.say(f"next: {shlex.join(words)}")


def _open_logbook(trainer: Trainer, run: Run) -> Logbook:
    config, agenda = trainer.config, trainer.agenda

    def open_named(lines: Sequence[Line]) -> Sequence[Logger]:
        values = (line[2:].partition("=") for line, _ in flag_lines(config))
        flags = {name: value for name, _, value in values}
        name = name_of(run.directory, pathlib.Path(config.runs_dir))
        start = Start(run, name, flags, lines, step=trainer.state.step)
        return open_loggers(asked_for(config), start)

    return Logbook(
        run.directory,
        resumed_step=trainer.state.step,
        total_steps=agenda.total_steps,
        steps_per_epoch=agenda.steps_per_epoch,
        open_loggers=open_named,
    )


def _of_what_effect(name: str) -> str:
    """What a continuation's change of a flag does to the run."""
    if name in OTHERWISE_COMPUTED:
        return ": the same steps, but for rounding"
    if name == "replicas":
        return ": the same batches, but batch normalisation is over each replica's part"
    if name in ("train_epochs", "train_steps"):
        return ": from here on the schedule is that of the whole new length"
    return ""


@contextlib.contextmanager
def _stop_signals(logbook: Logbook) -> Iterator[Callable[[], int]]:
    """Takes note of the signals that ask to stop, instead of ending at once; gives the last one.

    Python lets only the main thread do so; in another one it says that they do not save.
    """
    if threading.current_thread() is not threading.main_thread():
        logbook.say("note: training in a thread, so that no signal saves it; checkpoints are kept")
        yield lambda: 0
        return
    received = 0

    def take_note(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received = number

    # Under nohup a hang-up is ignored, and stays so.
    heard = [each for each in STOP_SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
    handlers = {number: signal.signal(number, take_note) for number in heard}
    try:
        yield lambda: received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
