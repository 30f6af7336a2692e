"""Progress of a training: a bar on a terminal, plain lines in a log file."""

import sys

from tqdm import tqdm


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
            self._bar.initial = step  # a resumed run's speed counts from here
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(step - self._bar.n)

    def keep(self, text: str) -> None:
        """Prints a line that stays."""
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()

    def close(self) -> None:
        """Takes the bar away."""
        self._bar.close()
