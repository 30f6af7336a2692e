"""Measures the offline job beside its peers, on the same files in the same minutes.

    python data_prep/benchmark.py --source=/path/to/the/tars

Ours is the whole job, from the source to finished shards with their statistics. OpenCV's loop reads
the same files and converts them (imdecode, INTER_AREA, imencode), and that is all. Two do less than
any such job could, and bound it: libjpeg-turbo decoding each image, and that and encoding the small
image of ours, which it was given, as if resizing and statistics took no time. Every round runs each
of them once; what is printed are medians over the rounds, start-up and a first round excluded. A
small source is gone through several times in a round: at a job's end threads wait for the last of
them, which is nothing among a million images, and was 4 % of the time among eight hundred.

OpenCV comes with the `bench` extra (`make bench`) and is left out without it.
"""

import concurrent.futures
import dataclasses
import itertools
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from base import commandline
from base.commandline import Settings, flag
from base.comparison import OURS, Comparison
from base.errors import UserError
from data_prep import schema
from data_prep.config import SourceConfig

if TYPE_CHECKING:
    from data_prep.job.shards import ShardJob
    from data_prep.source.images import ImageRef, Source

ILSVRC_IMAGES = sum(schema.ILSVRC2012_IMAGES.values())
# The mean size of a JPEG in the tars, by split.
ILSVRC_IMAGE_BYTES = (
    schema.ILSVRC2012_IMAGES[schema.TRAIN] * 115_400
    + schema.ILSVRC2012_IMAGES[schema.VALIDATION] * 134_900
) / ILSVRC_IMAGES
DECODING = "bare decoding"
DECODING_AND_ENCODING = "bare decoding, and encoding of the result"
TARGETS = {"opencv": 1.25, DECODING_AND_ENCODING: 0.92}

Convert = Callable[["ImageRef"], None]


@dataclasses.dataclass(frozen=True)
class JobBenchmarkConfig(Settings):
    """The flags of benchmark.py."""

    where: SourceConfig = dataclasses.field(default_factory=SourceConfig)
    data_dir: str = flag("data", "where the embedded sample goes, without --source")
    images: int = flag(6400, "how many images a round takes", within="[1, 1e9]")
    rounds: int = flag(4, "how often each is measured", within="[1, 1e9]")
    threads: int = flag(2, "threads of ours and of each peer", within="[1, 4096]")
    figures: str = flag("", "File to which the figures are added, for benchmarks/speed_table.py.")


def main() -> None:
    """Prints the table."""
    config = commandline.config_from_flags(JobBenchmarkConfig)
    from data_prep.job import shards
    from data_prep.layouts import listing

    source = listing.open_or_generate(config.where, schema.SPLITS, config.data_dir, print)
    refs = _regular(source.refs, config.images)
    if not refs:
        raise UserError(
            f"{source.path} has no JPEG that libjpeg-turbo decodes: name another --source"
        )
    work = tempfile.mkdtemp(prefix="benchmark")
    try:
        build = shards.ShardJob(
            work, "benchmark", schema.ImageSettings(restart_markers=True), source.classes.wnids
        )
        build.work.mkdir(parents=True)
        contenders = {OURS: _ours(build, refs, config.threads)}
        peers, left_out = _peers(build, refs, config.threads)
        rates = _measure(contenders | peers, len(refs), config.rounds)
    finally:
        shutil.rmtree(work)
    comparison = Comparison("source to finished shards", rates, TARGETS, left_out)
    comparison.save(config.figures)
    _report(comparison, source, refs, config)


def _regular(refs: Sequence["ImageRef"], count: int) -> list["ImageRef"]:
    """So many images that every contender can decode; of fewer, each several times."""
    from data_prep.image import jpeg_header

    readable = (ref for ref in refs if (head := jpeg_header.read(ref.read())) and head.is_regular)
    return list(itertools.islice(itertools.cycle(readable), count))


def _ours(build: "ShardJob", refs: Sequence["ImageRef"], threads: int) -> Callable[[], None]:
    from data_prep.job import engines, plan

    tasks = [
        plan.ShardTask(split, 0, 1, tuple(ref for ref in refs if ref.split == split))
        for split in schema.SPLITS
    ]

    def run() -> None:
        for _ in engines.run_local(build, [task for task in tasks if task.refs], threads):
            pass

    return run


def _peers(
    build: "ShardJob", refs: Sequence["ImageRef"], threads: int
) -> tuple[dict[str, Callable[[], None]], dict[str, str]]:
    """What ours is measured beside, and why the others do not run here."""
    import simplejpeg

    from data_prep.image import conversion

    settings = build.settings
    done = {ref: conversion.convert(ref.read(), settings).pixels for ref in set(refs)}

    def decode_and_encode(ref: "ImageRef") -> None:
        simplejpeg.decode_jpeg(ref.read(), strict=False)
        conversion.encode(done[ref], settings)

    def decode(ref: "ImageRef") -> None:
        simplejpeg.decode_jpeg(ref.read(), strict=False)

    converts: dict[str, Convert] = {}
    left_out = {}
    try:
        converts["opencv"] = _opencv(settings)
    except ImportError as error:
        left_out["opencv"] = f"{error.name} is missing: install the bench extra (make bench)"
    converts |= {DECODING_AND_ENCODING: decode_and_encode, DECODING: decode}

    def loop(convert: Convert) -> Callable[[], None]:
        def run() -> None:
            with concurrent.futures.ThreadPoolExecutor(threads) as pool:
                for _ in pool.map(convert, refs):
                    pass

        return run

    return {name: loop(convert) for name, convert in converts.items()}, left_out


def _opencv(settings: schema.ImageSettings) -> Convert:
    import cv2
    import numpy as np

    from data_prep.image import conversion

    cv2.setNumThreads(1)

    def convert(ref: "ImageRef") -> None:
        pixels = cv2.imdecode(np.frombuffer(ref.read(), np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None
        height, width, _ = conversion.stored_size(pixels.shape[0], pixels.shape[1], settings)
        small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, settings.quality])

    return convert


def _measure(
    contenders: dict[str, Callable[[], None]], images: int, rounds: int
) -> dict[str, list[float]]:
    """Images a second of each contender in each round, after a round that does not count."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            if number:
                rates[name].append(images / (time.perf_counter() - start))
    return rates


def _report(
    comparison: Comparison,
    source: "Source",
    refs: Sequence["ImageRef"],
    config: JobBenchmarkConfig,
) -> None:
    kind = "GENERATED images" if source.generated else "photographs"
    mean_bytes = sum(ref.size for ref in refs) / len(refs)
    print(f"{len(refs)} {kind} of {mean_bytes / 1000:.0f} KB, {config.threads} threads")
    print("\n".join(comparison.lines()))
    rate = statistics.median(comparison.rates[OURS])
    seconds = config.threads / rate * ILSVRC_IMAGE_BYTES / mean_bytes
    print(
        f"all of ILSVRC 2012 at this rate, by bytes: {seconds * ILSVRC_IMAGES / 60:,.0f} "
        f"core-minutes; peak memory so far {_peak_gigabytes():.2f} GB"
    )


def _peak_gigabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    commandline.run(main, configs=[JobBenchmarkConfig])
