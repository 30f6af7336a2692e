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

from base.commandline import config_from_flags, flag, run
from base.comparison import OURS, Comparison
from base.errors import UserError
from trainers.config import TrainConfig

if TYPE_CHECKING:
    from trainers.training.measurement import Round

WANTED_OVERHEAD = 0.03
BARE = "the bare compiled step"


@dataclasses.dataclass(frozen=True)
class LoopBenchmarkConfig:
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
    config = config_from_flags(LoopBenchmarkConfig)
    # TensorFlow takes seconds to import; --help does not need it.
    from trainers.run_folder import plugins
    from trainers.training import measurement

    plugins.load(config.training.pipeline.plugins)
    trainer = measurement.trainer_to_measure(config.training)
    dataset, batch = trainer.pipeline.dataset, trainer.config.pipeline.train_batch_size
    print(
        f"{config.training.net}, {measurement.parameters(trainer):,} parameters: batches of "
        f"{batch} on {trainer.devices.replicas} replica(s), "
        f"{dataset.directory or 'synthetic data'}, {config.rounds} rounds"
    )
    rounds = measurement.measure(trainer, config.rounds, config.seconds)
    comparison = compared(config.training.net, rounds, batch)
    comparison.save(config.figures)
    lines = [*comparison.lines(), _waited(rounds)]
    peaks = {"the whole process": measurement.peak_bytes(), **measurement.peak_device_bytes()}
    for owner, peak in peaks.items():
        lines.append(f"{'peak memory':24}{peak / 2**30:>9.2f}  GiB, of {owner}")
    print("\n".join(lines))


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


if __name__ == "__main__":
    run(main, configs=[LoopBenchmarkConfig], gpus=True)
