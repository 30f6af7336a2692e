"""Runs shard tasks: in this process on all cores, or on Apache Beam.

Both give the same bytes, as a shard depends on its task alone.
"""

import collections
import concurrent.futures
import gc
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from data_prep.plan import ShardTask
from data_prep.shards import Chunk, Part, ShardJob, chunks_of

Item = TypeVar("Item")
Result = TypeVar("Result")

# Chunks in flight per worker: enough to keep the workers busy while a shard is flushed and hashed.
_AHEAD = 4


def run_local(
    job: ShardJob,
    tasks: Sequence[ShardTask],
    workers: int,
    on_chunk: Callable[[Chunk], None] = lambda chunk: None,
) -> Iterator[Part]:
    """Builds shards one after the other, their images on `workers` threads.

    Threads are enough, as the work is done in C without the interpreter's lock. The stream of
    chunks runs through the ends of the shards, so that no worker waits there.

    Args:
        job: what the shards have in common.
        tasks: what to build.
        workers: threads.
        on_chunk: called with each chunk, in order; may raise to stop.
    """
    gc.freeze()  # or the collector walks through the million tuples of the plan again and again
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        refs = itertools.chain.from_iterable(chunks_of(task) for task in tasks)
        converted = _ordered(pool, job.convert, refs, workers * _AHEAD)
        for task in tasks:
            count = sum(1 for _ in chunks_of(task))
            yield job.write(task, _watched(itertools.islice(converted, count), on_chunk))


def _watched(chunks: Iterable[Chunk], on_chunk: Callable[[Chunk], None]) -> Iterator[Chunk]:
    for chunk in chunks:
        on_chunk(chunk)
        yield chunk


def _ordered(
    pool: concurrent.futures.Executor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    ahead: int,
) -> Iterator[Result]:
    """`map` on a pool, in order, with at most `ahead` items begun and not yet taken."""
    pending: collections.deque[concurrent.futures.Future[Result]] = collections.deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
