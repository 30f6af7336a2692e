"""Builds shards of a source that is read once, in its own order: see `runs`.

One thread reads, in order, as several would jump between their places; all convert. The bytes are
those of random reading, as records go to the same places.
"""

import concurrent.futures
import contextlib
import dataclasses
import gc
import itertools
import os
from collections.abc import Iterator, Sequence

from base.parallel import in_order
from data_prep.image.pixel_sums import PixelSums
from data_prep.job.engines import Watch
from data_prep.job.plan import ShardTask
from data_prep.job.runs import Place, Run, Runs
from data_prep.job.shards import CHUNK_IMAGES, Chunk, Part
from data_prep.source.images import ImageRef

_AHEAD = 8  # chunks in flight per worker, to read on while a run is sorted


def convert_pieces(
    runs: Runs, tasks: Sequence[ShardTask], missing: Sequence[int], workers: int, watch: Watch
) -> None:
    """Makes the runs that are missing.

    Args:
        runs: of the job.
        tasks: the plan's, with the images where they can be read (`unpacking`).
        missing: the numbers of the pieces.
        workers: threads that convert.
        watch: called for each chunk, in order.
    """
    gc.freeze()  # as in `engines.run_local`
    chunks = itertools.chain.from_iterable(_chunks(tasks, runs.piece(number)) for number in missing)
    with (
        concurrent.futures.ThreadPoolExecutor(workers) as pool,
        concurrent.futures.ThreadPoolExecutor(1) as writer,
    ):
        converted = in_order(pool, runs.job.convert_read, _read(chunks), workers * _AHEAD)
        writing: concurrent.futures.Future[None] | None = None
        for number in missing:
            count = -(-len(runs.piece(number)) // CHUNK_IMAGES)
            made: list[Chunk] = []
            sums = PixelSums(runs.job.mean_image_side)
            for chunk in itertools.islice(converted, count):
                watch(chunk.images, chunk.rejected)
                sums.merge(chunk.sums)
                made.append(dataclasses.replace(chunk, sums=PixelSums()))  # a mean image each
            if writing:
                writing.result()  # two pieces in memory, and no more
            writing = writer.submit(runs.save, number, made, sums)
        if writing:
            writing.result()


def shards_from_runs(runs: Runs, found: Sequence[Run], numbers: Sequence[int]) -> Iterator[Part]:
    """Puts shards together from all runs, and gives their parts, which have no sums.

    Args:
        runs: of the job.
        found: each of them.
        numbers: of the shards.
    """
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        groups = runs.groups(found, numbers)
        read = in_order(pool, lambda group: runs.shards(found, *group), groups, 2)
        for (first, _), chunks in zip(groups, read, strict=True):
            for number, chunk in enumerate(chunks, first):
                yield runs.job.write(runs.tasks[number], [chunk])


def _chunks(tasks: Sequence[ShardTask], piece: Sequence[Place]) -> Iterator[list[ImageRef]]:
    for start in range(0, len(piece), CHUNK_IMAGES):
        places = piece[start : start + CHUNK_IMAGES]
        yield [tasks[place.shard].refs[place.place] for place in places]


def _read(chunks: Iterator[list[ImageRef]]) -> Iterator[list[tuple[ImageRef, bytes]]]:
    """Reads the images of each chunk, in order, on the thread that asks for them."""
    for refs in chunks:
        _announce(refs)
        yield [(ref, ref.read()) for ref in refs]


def _announce(refs: Sequence[ImageRef]) -> None:
    """Tells the kernel which range of an archive comes next, to be read in one go."""
    first, last = refs[0], refs[-1]
    span = last.offset + last.size - first.offset
    if first.path != last.path or span > 2 * sum(ref.size for ref in refs) + 2**16 * len(refs):
        return  # of several files, or few of many images
    with contextlib.suppress(OSError, AttributeError), open(first.path, "rb") as file:
        os.posix_fadvise(file.fileno(), first.offset, span, os.POSIX_FADV_WILLNEED)
