"""Measures how fast a net is scored, beside its bare forward pass.

    python benchmarks/evaluation.py --net=alexnet --data_dir=data

The training images are scored as an evaluation in training scores the validation images: read,
decoded, cropped, batched, computed and counted. The forward pass alone takes the same number of
batches, of one that is in memory already.
"""

import dataclasses
import time
from collections.abc import Callable

from base.commandline import Settings, config_from_flags, flag, run
from base.comparison import OURS, Comparison
from base.errors import UserError
from trainers.config import TrainConfig

BARE = "the bare forward pass"


@dataclasses.dataclass(frozen=True)
class EvaluationBenchmarkConfig(Settings):
    """What is measured, and for how long."""

    training: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    rounds: int = flag(5, "How often both are measured; medians are printed.", within="[1, 1e9]")
    figures: str = flag("", "File to which the figures are added, for benchmarks/speed_table.py.")

    def __post_init__(self) -> None:
        """Refuses what cannot be measured."""
        super().__post_init__()
        if not self.training.net:
            raise UserError("no net is named: --net=NAME, or --flagfile=flags/NAME.cfg")


def main() -> None:
    """Prints the comparison."""
    config = config_from_flags(EvaluationBenchmarkConfig)
    # TensorFlow takes seconds to import; --help does not need it.
    import tensorflow as tf

    from data_prep import schema
    from pipelines.config import Phase
    from trainers.training.measuring.measurement import trainer_to_measure
    from trainers.training.models import logits_only
    from trainers.training.validation import CenterCrop

    trainer = trainer_to_measure(config.training)
    pipeline, devices = trainer.pipeline, trainer.devices
    protocol = CenterCrop(trainer.net.model, pipeline, devices, schema.TRAIN)
    images, size = pipeline.dataset.num_records(schema.TRAIN), pipeline.config.eval_batch_size
    model = logits_only(trainer.net.model)
    shape = (size, *pipeline.chains(Phase.EVAL).image_size, 3)
    batch = tf.random.stateless_normal(shape, (0, 0))
    forward = tf.function(lambda: model(batch, training=False))

    def bare() -> None:
        for _ in range(-(-images // size)):
            forward().numpy()

    ways: dict[str, Callable[[], object]] = {OURS: protocol.evaluate, BARE: bare}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(config.rounds + 1):  # the first pays for tracing
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            scored = images if name == OURS else -(-images // size) * size
            if number:
                rates[name].append(scored / (time.perf_counter() - start))
    comparison = Comparison(f"scoring {config.training.net}", rates, {})
    comparison.save(config.figures)
    print("\n".join(comparison.lines()))


if __name__ == "__main__":
    run(main, configs=[EvaluationBenchmarkConfig], gpus=True)
