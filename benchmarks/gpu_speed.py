"""Fills the table of docs/gpu.md on this machine's GPUs, by one command.

    python benchmarks/gpu_speed.py --figures=gpu.jsonl

Each row is `trainers/benchmark.py` in a process of its own, on synthetic data; a row that fails is
said and left out. Takes about a minute and a half a row.
"""

import dataclasses
import pathlib
import subprocess
import sys

from base.commandline import Settings, config_from_flags, flag, run
from base.comparison import OURS, load
from base.errors import UserError

ROOT = pathlib.Path(__file__).parents[1]
# Words of a row, and the flags that it stands for.
PRECISIONS = {"bfloat16": "mixed_bfloat16", "float32 (TF32)": "float32"}
COMPILED = {"by XLA": "true", "without": "false"}


@dataclasses.dataclass(frozen=True)
class GpuSpeedConfig(Settings):
    """What is measured, and for how long."""

    nets: tuple[str, ...] = flag(
        ("resnet50_v1_5", "alexnet"), "Which flag files of flags/, without their suffix."
    )
    batch_size: int = flag(256, "Images of a step, on all GPUs together.", within="[1, 1e9]")
    replicas: str = flag("1", "--replicas, of train.py.")
    rounds: int = flag(3, "How often each is measured; medians are printed.", within="[1, 1e9]")
    seconds: float = flag(3.0, "How long each measurement lasts, at least.", within="(0, inf)")
    figures: str = flag("gpu.jsonl", "File to which the figures are added.")

    def __post_init__(self) -> None:
        """Refuses what cannot be measured."""
        super().__post_init__()
        for net in self.nets:
            if not flag_file(net).is_file():
                raise UserError(f"--nets: there is no {flag_file(net)}")


def flag_file(net: str) -> pathlib.Path:
    """The flag file of a net."""
    return ROOT / "flags" / f"{net}.cfg"


def main() -> None:
    """Measures every row, and prints the table."""
    config = config_from_flags(GpuSpeedConfig)
    print("| net | precision | XLA | images/s | operations | memory |\n|---|---|---|---|---|---|")
    for net in config.nets:
        for precision in PRECISIONS:
            for compiled in COMPILED:
                print(row(config, net, precision, compiled), flush=True)


def row(config: GpuSpeedConfig, net: str, precision: str, compiled: str) -> str:
    """One row of the table, measured.

    Args:
        config: the flags.
        net: a flag file's name.
        precision: one of PRECISIONS.
        compiled: one of COMPILED.
    """
    command = [sys.executable, str(ROOT / "trainers" / "benchmark.py"), "--data=synthetic"]
    command += [f"--flagfile={flag_file(net)}", f"--train_batch_size={config.batch_size}"]
    command += [f"--precision={PRECISIONS[precision]}", f"--jit_compile={COMPILED[compiled]}"]
    command += [f"--replicas={config.replicas}", f"--figures={config.figures}"]
    command += [f"--rounds={config.rounds}", f"--seconds={config.seconds}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    begin = f"| {net} | {precision} | {compiled} |"
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it ended without a word"]
        return f"{begin} failed: {lines[-1]} | | |"
    rate = sorted(load(config.figures)[-1].rates[OURS])[config.rounds // 2]
    return f"{begin} {rate:,.0f} | {_after('model operations', done)} | {_memory(done)} |"


def _after(start: str, done: subprocess.CompletedProcess[str]) -> str:
    """What follows a word at the beginning of a line of the output."""
    lines = [
        line.removeprefix(start) for line in done.stdout.splitlines() if line.startswith(start)
    ]
    return " ".join(lines[-1].split()) if lines else "-"


def _memory(done: subprocess.CompletedProcess[str]) -> str:
    return _after("peak memory", done).removesuffix(", of GPU:0")


if __name__ == "__main__":
    run(main, configs=[GpuSpeedConfig], tensorflow=False, gpus=True)
