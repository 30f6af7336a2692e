"""Makes the shards that are missing: by which engine, and in which order the source is read.

Shards of one data set may come from several commands, each of which was killed: some made at
random, some from runs (`runs`). Which are made from runs is fixed when the first run is begun.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence

from base.errors import UserError
from data_prep import schema
from data_prep.config import BuildConfig
from data_prep.job import checks, cluster, engines, sequential, unpacking
from data_prep.job.plan import ShardTask
from data_prep.job.runs import Run, Runs
from data_prep.job.shards import Part, ShardJob
from data_prep.progress import Progress
from data_prep.source import disks, parquet

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Work:
    """What is to be there in the end.

    Attributes:
        config: the flags.
        job: what the shards have in common.
        tasks: every shard.
        source: its path.
    """

    config: BuildConfig
    job: ShardJob
    tasks: Sequence[ShardTask]
    source: str

    @property
    def images(self) -> int:
        """How many images all shards have."""
        return sum(len(task.refs) for task in self.tasks)


@dataclasses.dataclass(frozen=True)
class Done:
    """What came of it.

    Attributes:
        parts: of every shard.
        rejected: how many images were not stored.
        rate: images per second of this command.
        images: how many images it looked at.
    """

    parts: list[Part]
    rejected: int
    rate: float
    images: int


def run(work: Work, begin: Callable[[], None], say: Say) -> Done:
    """Makes what is missing.

    Args:
        work: what is to be there.
        begin: called when it is known that there is room, before anything is written.
        say: prints a line.

    Raises:
        UserError: no room, or too many images cannot be read.
    """
    job, tasks = work.job, work.tasks
    parts = {i: part for i, task in enumerate(tasks) if (part := job.finished(task))}
    todo = [i for i in range(len(tasks)) if i not in parts]
    again = f", {len(parts)} of them finished before" if parts else ""
    say(f"building {job.directory}: {work.images:,} images, {len(tasks)} shards{again}")
    runs = _begun(work, todo)
    left = sum(len(tasks[i].refs) for i in todo)
    if runs is None and _reading(work, left, say) == disks.SEQUENTIAL:
        begin_runs, covered = True, todo
    else:
        begin_runs, covered = False, list(runs.covered if runs else ())
    made = [runs.finished(number) for number in range(runs.count)] if runs else []
    in_runs = sum(run.images for run in made if run)
    to_runs = sum(len(tasks[i].refs) for i in covered) - in_runs
    checks.room(job, left, [tasks[i] for i in todo], to_runs).say(say)
    begin()
    if begin_runs:
        runs = Runs.begin(job, tasks, covered)
        made = [None] * runs.count
    # What is in runs, or was put together from them, is looked at as their pieces are made.
    before = [i for i in parts if i not in set(covered)]
    finished = sum(len(tasks[i].refs) for i in before) + in_runs
    rejected = _RejectedImages(work.config.max_rejected, work.images)
    for i in before:
        rejected.add(parts[i].rejected)
    for run in filter(None, made):
        rejected.add([entry for _, _, entry in run.rejected])
    progress = Progress(work.images, finished)

    def watch(images: int, entries: Sequence[dict[str, str]]) -> None:
        progress.add(images)
        rejected.add(entries)

    at_random = [i for i in todo if i not in set(covered)]
    for i, part in zip(at_random, _at_random(work, at_random, watch, say), strict=True):
        parts[i] = part
    if runs:
        parts |= _from_runs(work, runs, made, [i for i in todo if i in set(covered)], watch)
    rate = progress.close()
    return Done(
        [parts[i] for i in range(len(tasks))], len(rejected.entries), rate, work.images - finished
    )


def _reading(work: Work, images: int, say: Say) -> str:
    if work.config.engine != "local" or not images:
        return disks.RANDOM
    return disks.choose(work.config.reading, images, work.source, say)


def _begun(work: Work, todo: Sequence[int]) -> Runs | None:
    """The runs of an earlier command, whichever way this one would read."""
    runs = Runs.begun(work.job, work.tasks)
    if runs and work.config.engine != "local" and set(todo) & set(runs.covered):
        raise UserError(
            f"{work.job.directory} was begun with --reading=sequential: go on with --engine=local, "
            f"or delete {work.job.work}"
        )
    return runs


def _at_random(
    work: Work, numbers: Sequence[int], watch: engines.Watch, say: Say
) -> Iterator[Part]:
    if not numbers:
        return iter(())
    config, job = work.config, work.job
    tasks = _unpacked(job, [work.tasks[i] for i in numbers])
    if config.engine != "local" and "://" not in job.directory:
        # Workers stand in other folders.
        job = dataclasses.replace(job, directory=os.path.abspath(job.directory))
    if config.engine == "beam":
        return engines.run_beam(job, tasks, config.beam_options, watch)
    if config.engine == "dask":
        return cluster.run_dask(job, tasks, config.dask_scheduler, watch, say)
    return engines.run_local(job, tasks, config.threads, watch)


def _from_runs(
    work: Work, runs: Runs, made: list[Run | None], numbers: Sequence[int], watch: engines.Watch
) -> dict[int, Part]:
    """Makes the runs that are missing, and from all of them the shards."""
    missing = [number for number, run in enumerate(made) if run is None]
    if missing:
        tasks = list(work.tasks)
        places = {place.shard for number in missing for place in runs.piece(number)}
        wanted = sorted(places)
        for i, task in zip(wanted, _unpacked(work.job, [tasks[i] for i in wanted]), strict=True):
            tasks[i] = task
        sequential.convert_pieces(runs, tasks, missing, work.config.threads, watch)
    found = [runs.finished(number) for number in range(len(made))]
    parts: dict[int, Part] = {}
    progress = Progress(sum(len(work.tasks[i].refs) for i in numbers), label="sorting into shards")
    whole = [run for run in found if run is not None]
    for i, part in zip(numbers, sequential.shards_from_runs(runs, whole, numbers), strict=True):
        parts[i] = part
        progress.add(len(work.tasks[i].refs))
    progress.close()
    return parts


def _unpacked(job: ShardJob, tasks: Sequence[ShardTask]) -> list[ShardTask]:
    """The same tasks, with the images of parquet rows where they can be read at random."""
    if not any(ref.packing == parquet.ROW for task in tasks for ref in task.refs):
        return list(tasks)
    refs = [ref for task in tasks for ref in task.refs]
    progress = Progress(len(refs), label="unpacking parquet")
    moved = iter(unpacking.unpack(refs, job.work / unpacking.DIRECTORY, progress.add))
    progress.close()
    return [dataclasses.replace(task, refs=tuple(next(moved) for _ in task.refs)) for task in tasks]


class _RejectedImages:
    """The images that could not be stored so far, and how many are too many."""

    def __init__(self, fraction: float, images: int) -> None:
        self._fraction, self._images = fraction, images
        self.entries: list[dict[str, str]] = []

    def add(self, entries: Sequence[dict[str, str]]) -> None:
        """Raises UserError once they are too many."""
        self.entries += entries
        if len(self.entries) > self._fraction * self._images:
            first = self.entries[0]
            raise UserError(
                f"{len(self.entries)} of {self._images:,} images cannot be stored, more than "
                f"--max_rejected={self._fraction} allows; the first is {first['name']} "
                f"({first['reason']}): mend the source, or allow more (all are then listed in "
                f"{schema.MANIFEST_FILE})"
            )
