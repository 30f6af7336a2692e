"""Measures what the training loop costs over the bare compiled step.

    python trainers/benchmark.py --flagfile=flags/alexnet.cfg --data=synthetic

The loop runs as train.py runs it, with its data, log and metrics, but learns nothing, evaluates
nothing and leaves no run folder. Time and again it is stopped, and the same number of steps is
taken without it, on one batch that is in memory already; medians over these rounds are printed,
because a machine's speed drifts while one measures. With --data=synthetic what remains is the
loop's own work, else the input pipeline's is in it.
"""

import dataclasses
import statistics
from typing import TYPE_CHECKING

from base.commandline import UserError, config_from_flags, flag, run
from base.comparison import OURS, Comparison
from trainers.config import TrainConfig

if TYPE_CHECKING:
    from trainers.training.measurement import MeasuredTrainer, Round

WANTED_OVERHEAD = 0.03
BARE = "the bare compiled step"


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
    """What is measured, and for how long."""

    training: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    rounds: int = flag(7, "How often both are measured; medians are printed.")
    seconds: float = flag(5.0, "How long each measurement lasts, at least.")
    figures: str = flag("", "File to which the figures are added, for benchmarks/speed_table.py.")

    def __post_init__(self) -> None:
        """Refuses what cannot be measured."""
        if self.rounds < 1 or self.seconds <= 0:
            raise UserError("--rounds and --seconds must be above 0")
        if not self.training.net:
            raise UserError("no net is named: --net=NAME, or --flagfile=flags/NAME.cfg")


def main() -> None:
    """Prints the measurements."""
    config = config_from_flags(BenchmarkConfig)
    # TensorFlow takes seconds to import; --help does not need it.
    from trainers.run_folder import plugins
    from trainers.training.measurement import MeasuredTrainer

    plugins.load(config.training.pipeline.plugins)
    trainer = MeasuredTrainer(config.training)
    pipeline = config.training.pipeline
    print(
        f"{config.training.net}, {trainer.parameters:,} parameters: batches of "
        f"{pipeline.train_batch_size} on {trainer.replicas} replica(s), "
        f"{trainer.dataset.directory or 'synthetic data'}, {config.rounds} rounds"
    )
    rounds = trainer.measure(config.rounds, config.seconds)
    comparison = compared(config.training.net, rounds, pipeline.train_batch_size)
    comparison.save(config.figures)
    print("\n".join([*comparison.lines(), _waited(rounds)]))
    print("\n".join(_memory(trainer)))


def compared(net: str, rounds: "list[Round]", batch_size: int) -> Comparison:
    """The loop beside the bare step, in images per second.

    Args:
        net: its name.
        rounds: at least one.
        batch_size: images of a step.
    """
    rates = {
        OURS: [each.steps * batch_size / each.loop for each in rounds],
        BARE: [each.steps * batch_size / each.bare for each in rounds],
    }
    return Comparison(f"the training loop, {net}", rates, {BARE: 1 - WANTED_OVERHEAD})


def _waited(rounds: "list[Round]") -> str:
    waited = statistics.median(each.waited / each.loop for each in rounds)
    return f"{'waiting for data':24}{waited:>9.1%}  of the loop's time"


def _memory(trainer: "MeasuredTrainer") -> list[str]:
    lines = [f"{'peak memory':24}{trainer.peak_bytes() / 2**30:>9.2f}  GiB, of the whole process"]
    for device, peak in trainer.peak_device_bytes().items():
        lines.append(f"{f'peak memory, {device}':24}{peak / 2**30:>9.2f}  GiB")
    return lines


if __name__ == "__main__":
    run(main, configs=[BenchmarkConfig])
