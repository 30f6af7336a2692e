"""Measures the training loop beside the bare compiled step, and says what binds it.

    python trainers/benchmark.py --flagfile=flags/alexnet.cfg --data=synthetic
    python trainers/benchmark.py --flagfile=flags/alexnet.cfg --evaluation

The loop runs as train.py runs it, with its data, log and metrics, but learns nothing, evaluates
nothing and leaves no run folder. Time and again it is stopped, and the same number of steps is
taken without it, on one batch that is in memory already; medians over these rounds are printed,
because a machine's speed drifts while one measures. With --data=synthetic what remains is the
loop's own work, else the input pipeline's is in it.

On GPUs it also says how much of their peak the net's operations reach. The verdict compares what
each part of the way reaches by itself: the input, the copy to the GPU, computing, and the exchange
of gradients between replicas.

`--evaluation` measures the scoring of images instead, beside the net's bare forward pass.
"""

import dataclasses
import statistics
from typing import TYPE_CHECKING

from base.commandline import Settings, config_from_flags, flag, run
from base.comparison import OURS, Comparison
from base.errors import UserError
from pipelines.config import SYNTHETIC
from trainers.config import TrainConfig

if TYPE_CHECKING:
    from trainers.training.measuring.measurement import Round

WANTED_OVERHEAD = 0.03
BARE = "the bare compiled step"
BARE_FORWARD = "the bare forward pass"


@dataclasses.dataclass(frozen=True)
class LoopBenchmarkConfig(Settings):
    """What is measured, and for how long."""

    training: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    rounds: int = flag(7, "How often both are measured; medians are printed.", within="[1, 1e9]")
    seconds: float = flag(5.0, "How long each measurement lasts, at least.", within="(0, inf)")
    evaluation: bool = flag(
        False,
        "Instead: score all training images, as an evaluation scores the validation images.",
    )
    figures: str = flag("", "File to which the figures are added, for benchmarks/speed_table.py.")

    def __post_init__(self) -> None:
        """Refuses what cannot be measured."""
        super().__post_init__()
        if not self.training.net:
            raise UserError("no net is named: --net=NAME, or --flagfile=flags/NAME.cfg")
        if self.evaluation and self.training.pipeline.data == SYNTHETIC:
            raise UserError("--evaluation scores images: not those of --data=synthetic")


def main() -> None:
    """Prints the measurements."""
    config = config_from_flags(LoopBenchmarkConfig)
    # TensorFlow takes seconds to import; --help does not need it.
    from trainers.run_folder import plugins
    from trainers.training.measuring import measurement

    plugins.load(config.training.pipeline.plugins)
    trainer = measurement.trainer_to_measure(config.training)
    dataset, batch = trainer.pipeline.dataset, trainer.config.pipeline.train_batch_size
    print(
        f"{config.training.net}, {trainer.net.parameters:,} parameters: batches of "
        f"{batch} on {trainer.devices.replicas} replica(s), "
        f"{dataset.directory or 'synthetic data'}, {config.rounds} rounds"
    )
    if config.evaluation:
        ours, bare_forward = zip(
            *measurement.measure_evaluation(trainer, config.rounds), strict=True
        )
        rates = {OURS: list(ours), BARE_FORWARD: list(bare_forward)}
        comparison = Comparison(f"scoring {config.training.net}", rates, {})
        comparison.save(config.figures)
        print("\n".join(comparison.lines()))
        return
    rounds = measurement.measure(trainer, config.rounds, config.seconds)
    comparison = compared(config.training.net, rounds, batch)
    comparison.save(config.figures)
    lines = [*comparison.lines(), _not_computing(rounds)]
    bare = statistics.median(each.steps * batch / each.bare for each in rounds)
    lines += utilization(measurement.model_flops(trainer), bare, config.training.precision)
    peaks = {"the whole process": measurement.peak_bytes(), **measurement.peak_device_bytes()}
    for owner, peak in peaks.items():
        lines.append(f"{'peak memory':24}{peak / 2**30:>9.2f}  GiB, of {owner}")
    way = measurement.way(trainer, bare, config.seconds)
    for part, rate in dataclasses.asdict(way).items():
        if rate is not None:
            lines.append(f"{part + ' alone':24}{rate:>9,.0f}  images/s")
    on_gpu = bool(trainer.devices.gpus)
    remedies = measurement.remedies(config.training, on_gpu=on_gpu, compiled=trainer.compiled)
    print("\n".join([*lines, "", way.verdict(remedies)]))


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


def utilization(flops: float, images_per_second: float, precision: str) -> list[str]:
    """The net's operations a second, and their share of the GPUs' peak; nothing on the CPU.

    Args:
        flops: floating-point operations of one image's step.
        images_per_second: of the bare step, on all GPUs.
        precision: --precision.
    """
    from trainers.training.devices import gpus, peaks

    names = gpus.device_names()
    if not names:
        return []
    reached = flops * images_per_second / len(names)
    peak = peaks.peak_flops(names[0], precision)
    share = f", {reached / peak:.0%} of its peak in {precision}" if peak else ""
    return [f"{'model operations':24}{reached / 1e12:>9.1f}  TFLOP/s a GPU ({names[0]}){share}"]


def _not_computing(rounds: "list[Round]") -> str:
    share = max(0.0, statistics.median(1 - each.bare / each.loop for each in rounds))
    return f"{'waiting':24}{share:>9.1%}  of the loop's time, for data and for the loop"


if __name__ == "__main__":
    run(main, configs=[LoopBenchmarkConfig], gpus=True)
