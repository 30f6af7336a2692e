"""Measures the input pipeline beside its peers, side by side in one run.

    python benchmarks/input_pipelines.py --data_dir=data

Every system makes batches of uint8 224x224 images from the same photographs, with the same number
of threads or worker processes: a random crop and a flip, then a random resized crop and a flip.
Each runs in a process of its own, and they take turns, because a machine's speed drifts by more
than the systems differ. Restart markers, by which we cut, hold others up a little: a data set
without them can be given to those. The peers come with the `bench` extra; one that is missing is
left out.
"""

import contextlib
import dataclasses

from base.commandline import Settings, config_from_flags, flag, run
from base.comparison import OURS, Comparison
from base.errors import UserError
from benchmarks.contender import Contender, measure_in_turns
from data_prep import schema

BOUND = "libjpeg-turbo"
SYSTEMS = (BOUND, OURS, "dali", "ffcv", "ffcv_raw", "pytorch", "grain", "tutorial")
CROP = "crop"
RESIZED_CROP = "resized_crop"
TASKS = {CROP: "random crop and flip", RESIZED_CROP: "random resized crop and flip"}
# What ours should reach, as a multiple of each other system; by task, and from so large images on.
TARGETS = {
    CROP: {0: {BOUND: 0.85, "dali": 1.15, "pytorch": 1.5}, 400: {"dali": 1.5}},
    RESIZED_CROP: {0: {"dali": 1.8, "pytorch": 1.8}},
}


@dataclasses.dataclass(frozen=True)
class PipelinePeersConfig(Settings):
    """What is compared, and for how long."""

    data_dir: str = flag("data", "The data set of JPEG images, as for training.")
    peers_data_dir: str = flag(
        "",
        "The data set that the others read, the same images built with --norestart_markers; "
        "empty: that in --data_dir.",
    )
    systems: tuple[str, ...] = flag(SYSTEMS, f"Which of: {', '.join(SYSTEMS)}.")
    batch_size: int = flag(128, "Images of a batch.", within="[1, 1e9]")
    threads: int = flag(2, "Threads, or worker processes, of each system.", within="[1, 4096]")
    rounds: int = flag(
        7, "How often each system is measured; medians are printed.", within="[1, 1e9]"
    )
    seconds: float = flag(2.0, "How long each measurement lasts.", within="(0, inf)")
    figures: str = flag("", "File to which the figures are added, for benchmarks/speed_table.py.")

    def __post_init__(self) -> None:
        """Refuses what cannot be compared."""
        super().__post_init__()
        unknown = set(self.systems) - set(SYSTEMS)
        if unknown or OURS not in self.systems:
            raise UserError(f"--systems: {OURS}, and any of {', '.join(SYSTEMS)}")


def main() -> None:
    """Prints both comparisons."""
    config = config_from_flags(PipelinePeersConfig)
    directory = schema.find_dataset(config.data_dir)
    manifest = schema.Manifest.load(directory)
    peers = directory
    if config.peers_data_dir:
        peers = schema.find_dataset(config.peers_data_dir, flag="--peers_data_dir")
    images = manifest.num_records(schema.TRAIN)
    if schema.Manifest.load(peers).num_records(schema.TRAIN) != images:
        raise UserError(f"--peers_data_dir={peers} has other images than {directory}")
    print(f"{directory}: {images} training images")
    if peers != directory:
        print(f"the others read {peers}")
    print(f"batches of {config.batch_size}, {config.threads} threads, {config.rounds} rounds")
    size = manifest.settings.size
    for task, title in TASKS.items():
        with contextlib.ExitStack() as stack:
            contenders, left_out = _contenders(stack, task, directory, peers, config)
            rates = measure_in_turns(contenders, config.rounds, config.seconds)
        targets = [target for least, target in TARGETS[task].items() if least <= size]
        comparison = Comparison(f"{title}, stored at {size}", rates, targets[-1], left_out)
        comparison.save(config.figures)
        print("\n".join(["", *comparison.lines()]), flush=True)


def _contenders(
    stack: contextlib.ExitStack,
    task: str,
    directory: str,
    peers: str,
    config: PipelinePeersConfig,
) -> tuple[list[Contender], dict[str, str]]:
    """The systems that run here, and why the others do not."""
    contenders, left_out = [], {}
    for system in config.systems:
        read = directory if system == OURS else peers
        arguments = [system, task, read, str(config.batch_size), str(config.threads)]
        contender = Contender(system, "benchmarks.input_pipeline_peers", arguments)
        stack.callback(contender.close)
        problem = contender.ready()
        if not problem:
            contenders.append(contender)
        elif system == OURS:
            raise UserError(f"{directory}: {problem}")
        else:
            left_out[system] = problem
    return contenders, left_out


if __name__ == "__main__":
    run(main, configs=[PipelinePeersConfig])
