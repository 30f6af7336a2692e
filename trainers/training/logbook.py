"""What a run says while it trains: lines of metrics.jsonl and of loggers, lines on the screen."""

import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import tensorflow as tf
from tqdm import tqdm

from trainers.run_folder import history
from trainers.run_folder.files import Line, TrainLine, ValidationLine
from trainers.run_folder.loggers.logger import Logger
from trainers.run_folder.metrics import MetricsLog
from trainers.training.step import GRADIENT_NORM, IMAGES, INPUT_WAIT, LOSS, STEPS, TOP1, TOP5
from trainers.training.validation import CONSTANT, Score

# The first estimate of the time that is left rests on steps of so many seconds, and is said where
# it is long enough to be of use.
ESTIMATE_SECONDS, LEAST_SECONDS_LEFT = 10.0, 60.0


# Opens the loggers, given the lines of metrics that the run has already.
OpenLoggers = Callable[[Sequence[Line]], Sequence[Logger]]


class Logbook:
    """Turns the sums of the steps since the last line into lines, and times them.

    A context manager: it is closed at the block's end, and the loggers are told how that came.
    """

    def __init__(
        self,
        run_dir: pathlib.Path,
        *,
        resumed_step: int,
        total_steps: int,
        steps_per_epoch: int,
        open_loggers: OpenLoggers = lambda lines: (),
    ):
        """Opens the run's log and the loggers. Raises UserError where one cannot be opened."""
        self._total_steps, self._steps_per_epoch = total_steps, steps_per_epoch
        self._log = MetricsLog(run_dir, resumed_step)
        self._progress = ProgressLine(total_steps)
        self._first_estimate = FirstEstimate(total_steps)
        self._loggers = list(open_loggers(self._log.kept))
        self._profiles = run_dir / "tensorboard"
        self._profiling = False
        self._since, self._images, self._waited = time.monotonic(), 0.0, 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        outcome = history.STOPPED if kind else history.FINISHED
        self.close(history.FAILED if isinstance(error, Exception) else outcome)

    def say_loggers(self) -> None:
        """Says where the loggers' numbers are to be seen."""
        for logger in self._loggers:
            self.say(f"logged to {logger.place}")

    def restart_clock(self) -> None:
        """Leaves what just happened (an evaluation, a checkpoint) out of the images per second."""
        self._since = time.monotonic()
        self._images = self._waited = 0.0
        self._first_estimate.restart(self._since)

    def steps(self, step: int, rows: Any, window: Sequence[float]) -> None:
        """Takes note of the rows of steps just taken, up to `step`; `window` sums them."""
        self._images += float(rows[:, IMAGES].sum())
        self._waited += float(rows[:, INPUT_WAIT].sum())
        self._progress.show(step, _means(window))
        if said := self._first_estimate.after(step, time.monotonic()):
            self.say(said)

    def train(self, step: int, window: Sequence[float], learning_rate: float) -> None:
        """Writes a line of train metrics: the means of the steps that `window` sums."""
        seconds = time.monotonic() - self._since
        images = window[IMAGES]
        if not images:
            self.say(f"step {step}/{self._total_steps}  every step since the last line was skipped")
            return
        rate, waited = round(self._images / seconds, 2), min(1.0, self._waited / seconds)
        line = TrainLine(
            step=step,
            epoch=self._epoch(step),
            loss=window[LOSS] / images,
            top1=window[TOP1] / images,
            top5=window[TOP5] / images,
            learning_rate=learning_rate,
            gradient_norm=window[GRADIENT_NORM] / window[STEPS],
            images_per_second=rate,
            input_wait=round(waited, 4),
        )
        self._write(line)
        self.say(
            f"step {step}/{self._total_steps}  epoch {line.epoch:.2f}  {_means(window)}  "
            f"rate {learning_rate:.3g}  {rate:.1f} images/s"
            + (f"  waiting for data {100 * waited:.0f} % of the time" if waited > 0.1 else "")
            + _device_memory()
        )
        self.restart_clock()

    def evaluating(self, images: int) -> None:
        """Says beside the bar what takes the time now; it stands until the next step."""
        self._progress.say(f"evaluating {images:,} images")

    def validation(self, step: int, score: Score) -> None:
        """Writes a line of validation metrics."""
        # Said first: a disk that is full loses no score.
        self.say(f"step {step}  validation: {score.line()} ({score.images} images)")
        if score.constant:
            self.say(f"warning: the net {CONSTANT}")
        self._write(ValidationLine(step=step, epoch=self._epoch(step), **score.means()))

    def images(self, images: tf.Tensor) -> None:
        """Shows images, float32 [n, height, width, 3] of any scale, where a logger can."""
        if len(images):
            low, high = tf.reduce_min(images), tf.reduce_max(images)
            for logger in self._loggers:
                logger.show((images - low) / (high - low))

    def start_profile(self) -> None:
        """Begins to record what TensorFlow does, for TensorBoard."""
        tf.profiler.experimental.start(str(self._profiles))
        self._profiling = True

    def stop_profile(self) -> None:
        """Ends the recording and writes it."""
        if self._profiling:
            tf.profiler.experimental.stop()
            self._profiling = False
            self.say(f"profile written to {self._profiles}: tensorboard --logdir on it")

    def say(self, text: str) -> None:
        """Prints a line that stays above the progress bar."""
        self._progress.keep(text)

    def close(self, outcome: str = history.FINISHED) -> None:
        """Closes the files and the loggers, and takes the progress bar away."""
        self._progress.close()
        self._log.close()
        for logger in list(self._loggers):
            self._try(logger, lambda logger: logger.close(outcome))

    def _epoch(self, step: int) -> float:
        return round(step / self._steps_per_epoch, 4)

    def _write(self, line: Line) -> None:
        self._log.write(line)
        for logger in list(self._loggers):
            self._try(logger, lambda logger: logger.write(line))

    def _try(self, logger: Logger, do: Callable[[Logger], None]) -> None:
        """A logger that fails, as where a server is gone, is left; the training goes on."""
        try:
            do(logger)
        except Exception as error:
            self._loggers.remove(logger)
            said = " ".join(str(error).split())[:200]
            self.say(
                f"warning: {type(logger).__name__} gets no more lines "
                f"({type(error).__name__}: {said}); metrics.jsonl has them all, and a run that is "
                "continued sends what is missing"
            )


class SilentLogbook(Logbook):
    """The logbook of a worker that is not the first: it writes and says nothing."""

    def __init__(self) -> None:
        """Opens nothing."""

    def say_loggers(self) -> None:
        """There are none."""

    def restart_clock(self) -> None:
        """Nothing is timed."""

    def steps(self, step: int, rows: Any, window: Sequence[float]) -> None:
        """Shows nothing."""

    def train(self, step: int, window: Sequence[float], learning_rate: float) -> None:
        """Writes nothing."""

    def evaluating(self, images: int) -> None:
        """Says nothing."""

    def validation(self, step: int, score: Score) -> None:
        """Writes nothing."""

    def images(self, images: tf.Tensor) -> None:
        """Shows nothing."""

    def start_profile(self) -> None:
        """Records nothing."""

    def stop_profile(self) -> None:
        """Records nothing."""

    def say(self, text: str) -> None:
        """Says nothing."""

    def close(self, outcome: str = history.FINISHED) -> None:
        """Closes nothing."""


class FirstEstimate:
    """Says once how long a training will take, from steps that neither compiled nor began it."""

    def __init__(self, total_steps: int):
        """`total_steps`: of the whole run."""
        self._total_steps = total_steps
        self._step, self._since = 0, 0.0  # of the last call; 0: there was none
        self._steps, self._seconds, self._said = 0, 0.0, False

    def restart(self, now: float) -> None:
        """Leaves out what has happened since the last call: an evaluation, a checkpoint."""
        self._since = now

    def after(self, step: int, now: float) -> str:
        """The estimate, if it is time for it, after a call whose last step this is; or nothing."""
        if self._step:  # the first call of a process compiles, and fills the buffers
            self._steps += step - self._step
            self._seconds += now - self._since
        self._step, self._since = step, now
        if self._said or self._seconds < ESTIMATE_SECONDS:
            return ""
        self._said = True
        left = self._total_steps - step
        pace = self._seconds / self._steps
        if left * pace < LEAST_SECONDS_LEFT:
            return ""
        minutes = left * pace / 60
        time_left = f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
        return (
            f"about {time_left} left: {left:,} steps of {pace:.3g} s, as the last "
            f"{self._steps} took, evaluations apart"
        )


class ProgressLine:
    """One line that moves, above which lines that stay are printed."""

    def __init__(self, total_steps: int):
        """`total_steps`: of the whole run; the bar's remaining time counts to it."""
        self._bar = tqdm(
            total=total_steps,
            unit="step",
            dynamic_ncols=True,
            leave=False,
            disable=not sys.stderr.isatty(),
        )

    def show(self, step: int, text: str) -> None:
        """Moves the bar to `step`, with `text` at its end."""
        if self._bar.n == 0:
            # The speed counts from here: what came before compiled, and other processes took.
            self._bar.initial = step
            self._bar.unpause()
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(step - self._bar.n)

    def say(self, text: str) -> None:
        """Puts `text` at the bar's end at once."""
        self._bar.set_postfix_str(text)

    def keep(self, text: str) -> None:
        """Prints a line that stays."""
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()

    def close(self) -> None:
        """Takes the bar away."""
        self._bar.close()


def _means(window: Sequence[float]) -> str:
    images = window[IMAGES]
    if not images:
        return "skipped"
    return f"loss {window[LOSS] / images:.4f}  top-1 {100 * window[TOP1] / images:.1f} %"


def _device_memory() -> str:
    """The largest memory that any GPU has held at once; nothing where there is no GPU."""
    gpus = tf.config.list_logical_devices("GPU")
    if not gpus:
        return ""
    peaks = [
        tf.config.experimental.get_memory_info(gpu.name.split("device:")[-1])["peak"]
        for gpu in gpus
    ]
    return f"  {max(peaks) / 2**30:.1f} GiB"
