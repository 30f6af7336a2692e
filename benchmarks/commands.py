"""Measures how long a user waits for each command: the whole of it, on very little.

    python benchmarks/commands.py

In a folder that does not stay: the data set of the embedded sample, one training step, a
checkpoint, an evaluation. What is measured is the start of a command, what it compiles, and one
step of its work.
"""

import dataclasses
import pathlib
import subprocess
import sys
import tempfile
import time

from base.commandline import Settings, config_from_flags, flag, run
from base.comparison import Comparison
from base.errors import UserError

ROOT = pathlib.Path(__file__).resolve().parents[1]
# In the order in which each needs what those before it have left in the folders.
COMMANDS = {
    "train.py --help": "trainers/train.py --help",
    "build_tfrecords.py, the sample": "data_prep/build_tfrecords.py --data_dir={data}",
    "preview.py": "pipelines/preview.py --flagfile=flags/demo.cfg --data_dir={data} "
    "--output={work}/sheet.png",
    "train.py, one step": "trainers/train.py --flagfile=flags/demo.cfg --data_dir={data} "
    "--runs_dir={work}/runs --train_steps=1",
    "evaluate.py": "trainers/evaluate.py --run={work}/runs/demo",
    "predict.py, one image": "trainers/predict.py --run={work}/runs/demo docs/contact_sheet.png",
    "export.py": "trainers/export.py --run={work}/runs/demo --output={work}/exported",
    "runs.py list": "trainers/runs.py list --runs_dir={work}/runs",
    "runs.py report": "trainers/runs.py report --runs_dir={work}/runs",
}


@dataclasses.dataclass(frozen=True)
class CommandsConfig(Settings):
    """What is measured, and how often."""

    rounds: int = flag(3, "How often each command runs; medians are printed.", within="[1, 1e9]")
    figures: str = flag("", "File to which the figures are added, for benchmarks/speed_table.py.")


def main() -> None:
    """Prints the seconds of each command."""
    config = config_from_flags(CommandsConfig)
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(config.rounds):
        with tempfile.TemporaryDirectory() as work:
            for name, command in COMMANDS.items():
                filled = command.format(work=work, data=f"{work}/data").split()
                seconds[name].append(_seconds_of(name, filled))
    comparison = Comparison("from a command's start to its end", seconds, {}, unit="s")
    comparison.save(config.figures)
    print("\n".join(comparison.lines()))


def _seconds_of(name: str, command: list[str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UserError(f"{name} fails: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    return time.perf_counter() - start


if __name__ == "__main__":
    run(main, configs=[CommandsConfig], tensorflow=False)
