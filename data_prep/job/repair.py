"""Rebuilds the bad shards of a finished data set, and nothing else, from its source."""

import dataclasses
from collections.abc import Callable, Sequence

from etils import epath

from base.errors import UserError
from base.files import matching
from data_prep import schema
from data_prep.config import SourceConfig
from data_prep.job import build, engines
from data_prep.job.claim import claimed
from data_prep.job.verification import Fault
from data_prep.layouts import listing


def repair(
    where: SourceConfig,
    directory: epath.Path,
    faults: Sequence[Fault],
    workers: int,
    say: Callable[[str], None],
) -> None:
    """Rebuilds what is at fault, from the source that the data set was made from.

    A rebuilt shard has the bytes that the manifest says. Where it has not, because the image
    libraries are of other versions, the manifest gets its new hash, and a line says so.

    Args:
        where: the source.
        directory: of the data set; the embedded sample lies three directories up.
        faults: of its files.
        workers: threads.
        say: prints a line.

    Raises:
        UserError: the source is another one, the statistics are at fault, or another job is at
            work in the directory.
    """
    manifest = schema.Manifest.load(directory)
    bad = {fault.file for fault in faults}
    if schema.STATISTICS_FILE in bad:
        raise UserError(
            f"{directory / schema.STATISTICS_FILE} is at fault, which takes every image to mend: "
            f"delete {directory} and build it again"
        )
    # Older versions listed every split, and their fingerprints are of all.
    splits = manifest.selection["splits"] if "content" in manifest.source else schema.SPLITS
    source = listing.open_or_generate(where, splits, str(directory.parents[2]), say)
    planned = build.plan_again(manifest, directory, source)
    with claimed(directory):
        _rebuild(planned, bad, workers, say)


def _rebuild(planned: build.Build, bad: set[str], workers: int, say: Callable[[str], None]) -> None:
    directory = epath.Path(planned.job.directory)
    manifest = schema.Manifest.load(directory)  # again, as another repair may have just ended
    tasks = [task for task in planned.tasks if planned.job.file_name(task) in bad]
    planned.job.work.mkdir(exist_ok=True)
    shards = {split: list(found) for split, found in manifest.shards.items()}
    for task, part in zip(tasks, engines.run_local(planned.job, tasks, workers), strict=True):
        say(f"rebuilt {part.shard.file}")
        recorded = shards[task.split][task.index]
        if part.shard != recorded:
            say(f"{part.shard.file} has other bytes than before: its SHA-256 is renewed")
            shards[task.split][task.index] = part.shard
    for path in matching(directory, "*.tfrecord-*"):
        if path.name in bad and path.name not in {planned.job.file_name(task) for task in tasks}:
            path.unlink()
            say(f"deleted {path.name}, which is none of this data set's")
    renewed = dataclasses.replace(
        manifest, shards={split: tuple(found) for split, found in shards.items()}
    )
    build.write_manifest(renewed, directory, planned.job.work)
    planned.job.work.rmtree()
