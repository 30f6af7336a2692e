"""Measures the input pipeline: each stage alone, all together, and what binds.

    python pipelines/benchmark.py --flagfile=flags/alexnet.cfg

Alone, a stage gets its input from memory and nothing else runs. The stages are measured in turns,
several times, and medians are printed, because a machine's speed drifts while one measures. The
bound is what bare libjpeg-turbo decodes with as many threads, whole images and nothing else.
"""

import dataclasses

from base import plugins
from base.commandline import Settings, config_from_flags, flag, run
from base.errors import UserError
from pipelines.config import SYNTHETIC, PipelineConfig


@dataclasses.dataclass(frozen=True)
class PipelineBenchmarkConfig(Settings):
    """What is measured, and for how long."""

    pipeline: PipelineConfig = dataclasses.field(default_factory=PipelineConfig)
    rounds: int = flag(
        5, "How often each stage is measured; medians are printed.", within="[1, 1e9]"
    )
    seconds: float = flag(1.5, "How long each measurement lasts.", within="(0, inf)")
    epochs: int = flag(0, "Instead: deliver so many epochs and print how the memory grows.")
    cores: int = flag(
        0,
        "Instead: what a machine of so many cores like these could be given to decode, with "
        "waiting in place of decoding; 0: not.",
        within="[0, 4096]",
    )

    def __post_init__(self) -> None:
        """Refuses what cannot be measured."""
        super().__post_init__()
        if self.epochs == 1 or self.epochs < 0:
            raise UserError("--epochs must be 0, or at least 2: growth is counted after the first")
        if self.pipeline.data == SYNTHETIC:
            raise UserError("--data=synthetic costs nothing to make: there is nothing to measure")


def main() -> None:
    """Prints the measurements that the flags ask for."""
    config = config_from_flags(PipelineBenchmarkConfig)
    # TensorFlow takes seconds to import; --help does not need it.
    from pipelines import measurement
    from pipelines.input_pipeline import InputPipeline
    from pipelines.reading.dataset import open_dataset

    plugins.load(config.pipeline.plugins)
    pipeline = InputPipeline(open_dataset(config.pipeline), config.pipeline)
    if config.epochs:
        measurement.print_memory(pipeline, config.epochs)
    elif config.cores:
        measurement.print_cap(pipeline, config.cores, config.seconds)
    else:
        measurement.print_stages(pipeline, config.rounds, config.seconds)


if __name__ == "__main__":
    run(main, configs=[PipelineBenchmarkConfig], gpus=True, share_flag_files=True)
