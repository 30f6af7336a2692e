"""Runs shard tasks: in this process on all cores, or on Apache Beam.

Both give the same bytes, as a shard depends on its task alone.
"""

import concurrent.futures
import contextlib
import gc
import itertools
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

from base.errors import UserError
from base.parallel import in_order
from data_prep.job.plan import ShardTask
from data_prep.job.shards import Chunk, Part, ShardJob, chunks_of

# Called with how many more images were looked at, and the manifest's entries of those of them
# that were rejected; it may raise to stop.
Watch = Callable[[int, Sequence[dict[str, str]]], None]

# Chunks in flight per worker: enough to keep the workers busy while a shard is flushed and hashed.
_AHEAD = 4


def run_local(
    job: ShardJob,
    tasks: Sequence[ShardTask],
    workers: int,
    watch: Watch = lambda images, rejected: None,
) -> Iterator[Part]:
    """Builds shards one after the other, their images on `workers` threads.

    Nine tenths of the work are done in C without the interpreter's lock. The stream of chunks runs
    through the ends of the shards, so that no worker waits there.

    Args:
        job: what the shards have in common.
        tasks: what to build.
        workers: threads.
        watch: called for each chunk, in order.
    """
    gc.freeze()  # or the collector walks through the million tuples of the plan again and again
    with _short_turns(), concurrent.futures.ThreadPoolExecutor(workers) as pool:
        refs = itertools.chain.from_iterable(chunks_of(task) for task in tasks)
        converted = in_order(pool, job.convert, refs, workers * _AHEAD)
        for task in tasks:
            count = sum(1 for _ in chunks_of(task))
            yield job.write(task, _watched(itertools.islice(converted, count), watch))


@contextlib.contextmanager
def _short_turns() -> Iterator[None]:
    """Threads wait 0.1 ms for the interpreter's lock, not 5, as this one writes a chunk's records.

    An image takes 2 ms without the lock, and some 0.2 with it.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _watched(chunks: Iterable[Chunk], watch: Watch) -> Iterator[Chunk]:
    for chunk in chunks:
        watch(chunk.images, chunk.rejected)
        yield chunk


def run_beam(
    job: ShardJob, tasks: Sequence[ShardTask], options: str, watch: Watch
) -> Iterator[Part]:
    """Builds shards on Apache Beam, with any of its runners.

    The workers need the source and the data set directory under the same paths as here. What a
    worker gets is the name of a file beside the shards that holds its task, so that the pipeline
    stays small whatever the data set's size; what it gives back is the shard and its part file.

    Args:
        job: what the shards have in common.
        tasks: what to build.
        options: Beam's pipeline options, as on its command line.
        watch: called for each shard, once all are finished.

    Raises:
        UserError: Beam is not installed, or does not know an option.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError:
        raise UserError("--engine=beam needs Apache Beam: pip install -e '.[beam]'") from None
    files = [job.save_task(task) for task in tasks]
    words = shlex.split(options)
    if "dask" in options.lower() and "--dask_npartitions" not in options and "_size" not in options:
        # Its runner would put 128 elements into one partition, and one worker would do all.
        words.append("--dask_partition_size=1")
    try:
        made = beam.Pipeline(options=PipelineOptions(words))
    except (ValueError, ImportError, AttributeError, OSError) as error:  # no such runner
        reason = " ".join(str(error).split())
        raise UserError(f"--beam_options={options}: {reason}") from None
    with made as pipeline:
        _ = (
            pipeline
            | "Tasks" >> beam.Create(files)
            | "Spread" >> beam.Reshuffle()
            | "Build" >> beam.Map(_build_saved, job)
        )
    for task in tasks:
        part = job.finished(task)
        if part is None:
            raise UserError(
                f"Beam's workers left no {job.file_name(task)} in {job.directory}: "
                "do they see the same file system?"
            )
        watch(len(task.refs), part.rejected)
        yield part


def _build_saved(file: str, job: ShardJob) -> None:
    task = job.load_task(file)
    if job.finished(task) is None:  # Beam may run an element twice
        job.write(task, map(job.convert, chunks_of(task)))
