"""Ours beside others that did the same work: what every benchmark prints and keeps.

Each benchmark that is given the same `--figures` adds its comparison to that file, and
`benchmarks/speed_table.py` prints the file as one table.
"""

import dataclasses
import json
import pathlib
import statistics
from collections.abc import Sequence

from base.errors import UserError

OURS = "ours"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Ours beside others that did the same work, in turns.

    Attributes:
        title: what was done.
        rates: images per second in each round, by system; ours among them.
        targets: what ours should reach, as a multiple of a system's rate.
        left_out: why a system did not run, by system.
        unit: of the rates; seconds (`s`) are compared with nothing.
    """

    title: str
    rates: dict[str, list[float]]
    targets: dict[str, float]
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    unit: str = "images/s"

    def ratio(self, system: str) -> float:
        """How many times as fast as a system ours is, by the median over the rounds.

        Round by round, since a drift of the machine moves both of a round alike.
        """
        pairs = zip(self.rates[OURS], self.rates[system], strict=True)
        return statistics.median(ours / theirs for ours, theirs in pairs)

    def lines(self) -> list[str]:
        """A table: a system's median, lowest and highest rate, and how ours compares."""
        beside = "   ours is" if OURS in self.rates else ""
        lines = [f"{self.title:40}{self.unit:>9}  {'lowest':>7} {'highest':>7}{beside}"]
        for system, values in self.rates.items():
            numbers = (statistics.median(values), min(values), max(values))
            median, low, high = (_rate(number) for number in numbers)
            line = f"  {system:38}{median:>9}  {low:>7} {high:>7}"
            if beside and system != OURS:
                line += f"   {self.ratio(system):.2f} times{self._verdict(system)}"
            lines.append(line)
        lines += [f"  left out: {system} ({why})" for system, why in self.left_out.items()]
        return lines

    def save(self, path: str) -> None:
        """Adds it to a file of figures; an empty path is none."""
        if path:
            pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
            with open(path, "a") as file:
                print(json.dumps(dataclasses.asdict(self)), file=file)

    def _verdict(self, system: str) -> str:
        target = self.targets.get(system)
        if not target:
            return ""
        return f" (target {target}: {'reached' if self.ratio(system) >= target else 'MISSED'})"


def load(path: str) -> list[Comparison]:
    """The comparisons of a file of figures. Raises UserError where it is none."""
    try:
        lines = pathlib.Path(path).read_text().splitlines()
        return [Comparison(**json.loads(line)) for line in lines]
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"--figures={path} is no file of figures ({error}): run benchmarks with it first"
        ) from None


def table(comparisons: Sequence[Comparison]) -> list[str]:
    """The lines of the one table."""
    return [line for comparison in comparisons for line in ("", *comparison.lines())]


def _rate(images_per_second: float) -> str:
    return f"{images_per_second:,.{1 if images_per_second < 100 else 0}f}"
