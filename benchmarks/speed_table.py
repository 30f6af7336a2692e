"""Prints the figures of all benchmarks as one table, and keeps them in the document on speed.

    python benchmarks/speed_table.py --figures=speed.jsonl --output=docs/speed.md

Each benchmark that was given the same `--figures` has added its comparison to that file. The
document has a section for each processor that was measured; that of this one is written anew.
"""

import dataclasses
import os
import pathlib
import platform
import re

from base.commandline import config_from_flags, flag, run
from base.comparison import load, table
from base.errors import UserError
from base.files import atomic

_CPUINFO = pathlib.Path("/proc/cpuinfo")


@dataclasses.dataclass(frozen=True)
class TableConfig:
    """The flags of speed_table.py."""

    figures: str = flag("speed.jsonl", "The file that the benchmarks have added to.")
    output: str = flag("", "The Markdown file in which this processor's section is kept.")


def main() -> None:
    """Prints the table."""
    config = config_from_flags(TableConfig)
    lines = table(load(config.figures))
    print("\n".join(lines))
    if config.output:
        keep(pathlib.Path(config.output), processor(), lines)


def keep(path: pathlib.Path, name: str, lines: list[str]) -> None:
    """Puts lines under a heading of a Markdown file, in place of those of before or as the first.

    Raises UserError where there is no such file.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise UserError(f"--output={path}: {error.strerror or error}") from None
    begin, *sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    section = "\n".join([f"## {name}", "", "```", *lines[1:], "```", ""])
    others = [other for other in sections if other.splitlines()[0] != f"## {name}"]
    with atomic(path, "w") as output:
        output.write("\n".join([begin.rstrip() + "\n", section, *others]))


def processor() -> str:
    """The processor's name, the vectors that it has, and its cores that are to be had here."""
    told = _CPUINFO.read_text() if _CPUINFO.exists() else ""
    name = re.search(r"^model name\s*: (.*)$", told, re.MULTILINE)
    model = re.search(r"^model\s*: (.*)$", told, re.MULTILINE)
    said = [name[1].strip() if name else platform.machine()]
    if model:
        said.append(f"model {model[1]}")
    if re.search(r"\bavx512f\b", told):
        said.append("AVX-512")
    return ", ".join([*said, f"{len(os.sched_getaffinity(0))} cores"])


if __name__ == "__main__":
    run(main, configs=[TableConfig], tensorflow=False)
