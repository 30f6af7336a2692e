"""A process that measures one system when it is told to: what comparisons take turns with.

The process prints `ready` when it has started. Then it answers every line of its standard input by
a line on its standard output, and ends with its input.
"""

import contextlib
import subprocess
import sys
from collections.abc import Mapping, Sequence


class Contender:
    """One system in a process of its own."""

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
    ):
        """Starts `python -m module arguments`, in this process's environment or the one given."""
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ready(self) -> str:
        """Waits for the process to have started; what went wrong, or nothing."""
        assert self._process.stdout and self._process.stderr
        if self._process.stdout.readline().strip() == "ready":
            return ""
        lines = self._process.stderr.read().strip().splitlines()
        return lines[-1] if lines else "it ended without a word"

    def ask(self, line: str) -> str:
        """The answer to a line."""
        assert self._process.stdin and self._process.stdout
        print(line, file=self._process.stdin, flush=True)
        return self._process.stdout.readline().strip()

    def measure(self, seconds: float) -> float:
        """Images per second over so many seconds."""
        return float(self.ask(str(seconds)))

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # the end of its input ends it
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def measure_in_turns(
    contenders: Sequence[Contender], rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Images per second of each contender, by name, in each round."""
    rates: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            rates[contender.name].append(contender.measure(seconds))
    return rates
