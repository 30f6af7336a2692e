"""Measures the input pipeline beside its peers, side by side in one run.

    python pipelines/compare.py --data_dir=data

Every system makes batches of uint8 224x224 images from the same shards, with the same number of
threads or worker processes: a random crop and a flip, then a random resized crop and a flip. Each
runs in a process of its own, and they take turns, because a machine's speed drifts by more than
the systems differ. The peers come with the `bench` extra; one that is missing is left out.
"""

import contextlib
import dataclasses
import statistics
from collections.abc import Iterator

from data_prep import schema
from data_prep.commandline import UserError, config_from_flags, flag, run
from pipelines.contender import Contender, measure_in_turns

BOUND = "libjpeg-turbo"
OURS = "ours"
SYSTEMS = (BOUND, OURS, "dali", "pytorch", "tutorial")
CROP = "crop"
RESIZED_CROP = "resized_crop"

# What ours should reach, as a multiple of each other system.
TARGETS = {
    (CROP, BOUND): 0.75,
    (CROP, "dali"): 1.2,
    (CROP, "pytorch"): 1.5,
    (RESIZED_CROP, "dali"): 1.6,
    (RESIZED_CROP, "pytorch"): 1.8,
}


@dataclasses.dataclass(frozen=True)
class CompareConfig:
    """What is compared, and for how long."""

    data_dir: str = flag("data", "The data set of JPEG images, as for training.")
    systems: tuple[str, ...] = flag(SYSTEMS, f"Which of: {', '.join(SYSTEMS)}.")
    batch_size: int = flag(128, "Images of a batch.")
    threads: int = flag(2, "Threads, or worker processes, of each system.")
    rounds: int = flag(7, "How often each system is measured; medians are printed.")
    seconds: float = flag(2.0, "How long each measurement lasts.")

    def __post_init__(self) -> None:
        """Refuses what cannot be compared."""
        unknown = set(self.systems) - set(SYSTEMS)
        if unknown or OURS not in self.systems:
            raise UserError(f"--systems: {OURS}, and any of {', '.join(SYSTEMS)}")
        if min(self.batch_size, self.threads, self.rounds) < 1 or self.seconds <= 0:
            raise UserError("--batch_size, --threads, --rounds and --seconds must be above 0")


def main() -> None:
    """Prints both comparisons."""
    config = config_from_flags(CompareConfig)
    directory = schema.find_dataset(config.data_dir)
    manifest = schema.Manifest.load(directory)
    print(f"{directory}: {manifest.num_records(schema.TRAIN)} training images")
    print(f"batches of {config.batch_size}, {config.threads} threads, {config.rounds} rounds")
    for task in (CROP, RESIZED_CROP):
        with contextlib.ExitStack() as stack:
            contenders = list(_contenders(stack, task, str(directory), config))
            rates = measure_in_turns(contenders, config.rounds, config.seconds)
        _print_table(task, rates)


def _contenders(
    stack: contextlib.ExitStack, task: str, directory: str, config: CompareConfig
) -> Iterator[Contender]:
    """The systems that run here."""
    for system in config.systems:
        arguments = [system, task, directory, str(config.batch_size), str(config.threads)]
        contender = Contender(system, "pipelines.peers", arguments)
        stack.callback(contender.close)
        problem = contender.ready()
        if not problem:
            yield contender
        elif system == OURS:
            raise UserError(f"{directory}: {problem}")
        else:
            print(f"left out: {system} ({problem})")


def _print_table(task: str, rates: dict[str, list[float]]) -> None:
    title = {CROP: "random crop and flip", RESIZED_CROP: "random resized crop and flip"}[task]
    print(f"\n{title:30}{'images/s':>9}  {'lowest':>7} {'highest':>7}   ours is")
    medians = {system: statistics.median(values) for system, values in rates.items()}
    for system, values in rates.items():
        line = f"{system:30}{medians[system]:>9,.0f}  {min(values):>7,.0f} {max(values):>7,.0f}"
        if system != OURS:
            # Round by round, since a drift moves both of a round alike.
            pairs = zip(rates[OURS], values, strict=True)
            ratio = statistics.median(ours / theirs for ours, theirs in pairs)
            target = TARGETS.get((task, system))
            verdict = "" if not target else "reached" if ratio >= target else "MISSED"
            line += f"   {ratio:.2f} times" + (f" (target {target}: {verdict})" if target else "")
        print(line)


if __name__ == "__main__":
    run(main, configs=[CompareConfig])
