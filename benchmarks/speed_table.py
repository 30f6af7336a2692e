"""Prints the figures of all benchmarks as one table: what `make bench` ends with.

    python benchmarks/speed_table.py --figures=speed.jsonl

Each benchmark that was given the same `--figures` has added its comparison to that file.
"""

import dataclasses

from base.commandline import config_from_flags, flag, run
from base.comparison import load, table


@dataclasses.dataclass(frozen=True)
class TableConfig:
    """The flags of speed_table.py."""

    figures: str = flag("speed.jsonl", "The file that the benchmarks have added to.")


def main() -> None:
    """Prints the table."""
    print("\n".join(table(load(config_from_flags(TableConfig).figures))))


if __name__ == "__main__":
    run(main, configs=[TableConfig], tensorflow=False)
