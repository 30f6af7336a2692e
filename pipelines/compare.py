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
import subprocess
import sys
from collections.abc import Iterator

from data_prep import schema
from data_prep.commandline import UserError, config_from_flags, flag, run

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
            workers = list(_workers(stack, task, str(directory), config))
            rates: dict[str, list[float]] = {worker.system: [] for worker in workers}
            for _ in range(config.rounds):
                for worker in workers:
                    rates[worker.system].append(worker.measure(config.seconds))
        _print_table(task, rates)


class Worker:
    """A process that runs one system and measures it when it is told to."""

    def __init__(self, system: str, task: str, directory: str, config: CompareConfig):
        self.system = system
        arguments = [system, task, directory, str(config.batch_size), str(config.threads)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.peers", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> str:
        """Waits for the first batch; what went wrong, or nothing."""
        assert self._process.stdout and self._process.stderr
        if self._process.stdout.readline().strip() == "ready":
            return ""
        lines = self._process.stderr.read().strip().splitlines()
        return lines[-1] if lines else "it ended without a word"

    def measure(self, seconds: float) -> float:
        """Images per second over so many seconds."""
        assert self._process.stdin and self._process.stdout
        print(seconds, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # the end of its input ends it
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _workers(
    stack: contextlib.ExitStack, task: str, directory: str, config: CompareConfig
) -> Iterator[Worker]:
    """The systems that run here."""
    for system in config.systems:
        worker = Worker(system, task, directory, config)
        stack.callback(worker.close)
        problem = worker.ready()
        if not problem:
            yield worker
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
