"""Runs: the converted images of a piece of the source, sorted by shard, in a file each.

A source on a spinning disk is read once in its own order, cut into pieces; each piece's images are
converted and written as one run, and then each shard is put together from its ranges of all runs.
That is an external shuffle. `.build/runs/` holds, besides `pieces.json`,

    00017.records    the records of a piece behind one another, by shard and place in it
    00017.npz        which they are, how long, which images were rejected, and the pixel sums

A piece whose `.npz` is there is finished. Its sums are those of the whole piece, as a mean image
for every shard in every piece would be 160 GB for ILSVRC: the part files of shards that are made
from runs have none.
"""

import dataclasses
import functools
import io
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from etils import epath

from base.errors import UserError
from base.files import atomic
from data_prep.image.pixel_sums import PixelSums
from data_prep.job.plan import ShardTask
from data_prep.job.shards import Chunk, ShardJob, npz
from data_prep.source.images import ImageRef

RUNS_DIRECTORY = "runs"
PIECES_FILE = "pieces.json"
# A piece is held in memory while it is made: so many bytes of the source, or so many images.
PIECE_BYTES, PIECE_IMAGES = 512 * 10**6, 4096
# So many bytes of shards are put together at once, as each such group visits every run.
GROUP_BYTES = 256 * 10**6
_UNKNOWN_SIZE = 110_000  # of an image, where the source does not say


class Place(NamedTuple):
    """Where an image goes: the number of its shard in the plan, and its place in the shard."""

    shard: int
    place: int


@dataclasses.dataclass(frozen=True)
class Run:
    """What the `.npz` of a run says.

    Attributes:
        starts: int64 [shards + 1], at which of its records each shard's begin.
        places: int32 [records], their places in their shards.
        offsets: int64 [records + 1], where each begins in the file, and where the last one ends.
        rejected: [shard, place, the manifest's entry] of each image that has no record.
    """

    starts: np.ndarray
    places: np.ndarray
    offsets: np.ndarray
    rejected: list[tuple[int, int, dict[str, str]]]

    @property
    def images(self) -> int:
        """How many images the piece has."""
        return len(self.places) + len(self.rejected)


@dataclasses.dataclass(frozen=True)
class Runs:
    """The runs of a job.

    Attributes:
        job: what the shards have in common.
        tasks: every shard of the plan.
        covered: the numbers of those that are made from runs.
        cut: (bytes, images) of a piece at most.
    """

    job: ShardJob
    tasks: Sequence[ShardTask]
    covered: tuple[int, ...]
    cut: tuple[int, int]

    @classmethod
    def begun(cls, job: ShardJob, tasks: Sequence[ShardTask]) -> "Runs | None":
        """Those that an earlier command has begun; None where there are none."""
        path = job.work / RUNS_DIRECTORY / PIECES_FILE
        if not path.exists():
            return None
        try:
            found = json.loads(path.read_text())
            return cls(job, tasks, tuple(found["covered"]), tuple(found["cut"]))
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path} is damaged: delete {job.work}, and build it again") from None

    @classmethod
    def begin(cls, job: ShardJob, tasks: Sequence[ShardTask], covered: Sequence[int]) -> "Runs":
        """Makes the folder; from now on these shards are made from runs."""
        runs = cls(job, tasks, tuple(covered), (PIECE_BYTES, PIECE_IMAGES))
        runs.directory.mkdir(parents=True, exist_ok=True)
        with atomic(runs.directory / PIECES_FILE, "w") as file:
            file.write(json.dumps({"covered": runs.covered, "cut": runs.cut}))
        return runs

    @property
    def directory(self) -> epath.Path:
        """Where they are."""
        return self.job.work / RUNS_DIRECTORY

    @property
    def count(self) -> int:
        """How many pieces there are."""
        return len(self._order[2]) - 1

    def piece(self, number: int) -> list[Place]:
        """The images of a piece, in the source's order."""
        shards, places, bounds = self._order
        part = slice(bounds[number], bounds[number + 1])
        return list(map(Place, shards[part].tolist(), places[part].tolist()))

    @functools.cached_property
    def _order(self) -> tuple[np.ndarray, np.ndarray, list[int]]:
        """Shards and places in the source's order, as a million tuples take much memory, and cuts.

        Each piece begins at a cut, and the last one ends at the last.
        """
        lengths = [len(self.tasks[number].refs) for number in self.covered]
        images = sum(lengths)

        def refs() -> Iterator[ImageRef]:
            for number in self.covered:
                yield from self.tasks[number].refs

        ranks = {path: rank for rank, path in enumerate(sorted({ref.path for ref in refs()}))}
        paths = np.fromiter((ranks[ref.path] for ref in refs()), np.int32, images)
        offsets = np.fromiter((ref.offset for ref in refs()), np.int64, images)
        sizes = np.fromiter((ref.size or _UNKNOWN_SIZE for ref in refs()), np.int64, images)
        order = np.lexsort((offsets, paths))
        places = np.concatenate([np.arange(length, dtype=np.int32) for length in lengths])
        shards = np.repeat(np.array(self.covered, np.int32), lengths)
        most_bytes, most_images = self.cut
        cuts, room = [0], most_bytes
        for at, size in enumerate(sizes[order].tolist()):
            if at > cuts[-1] and (size > room or at - cuts[-1] >= most_images):
                cuts.append(at)
                room = most_bytes
            room -= size
        return shards[order], places[order], [*cuts, images]

    def finished(self, number: int) -> Run | None:
        """The run of a piece, if it is finished."""
        arrays = self._arrays(number)
        if arrays is None:
            return None
        shards = arrays["shards"]
        run = Run(
            starts=np.searchsorted(shards, np.arange(len(self.tasks) + 1)),
            places=arrays["places"],
            offsets=np.concatenate([[0], np.cumsum(arrays["lengths"], dtype=np.int64)]),
            rejected=json.loads(str(arrays["rejected"])),
        )
        records = self._records(number)
        whole = records.exists() and records.stat().length == run.offsets[-1]
        return run if whole and run.images == len(self.piece(number)) else None

    def sums(self) -> Iterator[PixelSums]:
        """The pixel sums of every piece; all are finished."""
        for number in range(self.count):
            yield PixelSums.from_arrays(self._arrays(number))

    def save(self, number: int, chunks: Sequence[Chunk], sums: PixelSums) -> None:
        """Writes a piece's run from its images, converted in the source's order."""
        kept: list[tuple[Place, bytes]] = []
        rejected = []
        places = iter(self.piece(number))
        for chunk in chunks:
            records, entries = iter(chunk.records), iter(chunk.rejected)
            for is_kept, place in zip(chunk.kept, places, strict=False):
                if is_kept:
                    kept.append((place, next(records)))
                else:
                    rejected.append((*place, next(entries)))
        kept.sort(key=lambda item: item[0])
        with atomic(self._records(number)) as file:
            for _, record in kept:
                file.write(record)
        arrays: dict[str, np.ndarray] = {
            "shards": np.array([place.shard for place, _ in kept], np.int32),
            "places": np.array([place.place for place, _ in kept], np.int32),
            "lengths": np.array([len(record) for _, record in kept], np.int64),
            "rejected": np.array(json.dumps(rejected)),
            **sums.to_arrays(),
        }
        with atomic(self.directory / f"{number:05d}.npz") as file:
            file.write(npz(arrays))

    def shards(self, runs: Sequence[Run], first: int, last: int) -> list[Chunk]:
        """The images of the shards first..last, each as one chunk without sums."""
        found: list[list[tuple[int, bytes]]] = [[] for _ in range(first, last + 1)]
        rejected: list[list[tuple[int, dict[str, str]]]] = [[] for _ in found]
        for number, run in enumerate(runs):
            start, end = run.starts[first], run.starts[last + 1]
            if start < end:
                with self._records(number).open("rb") as file:
                    file.seek(int(run.offsets[start]))
                    data = file.read(int(run.offsets[end] - run.offsets[start]))
                bounds = (run.offsets[start : end + 1] - run.offsets[start]).tolist()
                places = run.places[start:end].tolist()
                owners = np.repeat(
                    np.arange(len(found)), np.diff(run.starts[first : last + 2])
                ).tolist()
                for owner, place, (low, high) in zip(
                    owners, places, itertools.pairwise(bounds), strict=True
                ):
                    found[owner].append((place, data[low:high]))
            for shard, place, entry in run.rejected:
                if first <= shard <= last:
                    rejected[shard - first].append((place, entry))
        return [
            Chunk(
                [record for _, record in sorted(records)],
                [entry for _, entry in sorted(entries, key=lambda item: item[0])],
                PixelSums(self.job.mean_image_side),
            )
            for records, entries in zip(found, rejected, strict=True)
        ]

    def groups(self, runs: Sequence[Run], numbers: Sequence[int]) -> list[tuple[int, int]]:
        """Cuts shards into (first, last) of neighbours that fit in memory together."""
        sizes = sum(
            (np.diff(run.offsets[run.starts]) for run in runs), np.zeros(len(self.tasks), np.int64)
        )
        groups: list[tuple[int, int]] = []
        room = 0
        for number in numbers:
            if groups and groups[-1][1] == number - 1 and sizes[number] <= room:
                groups[-1] = (groups[-1][0], number)
            else:
                groups.append((number, number))
                room = GROUP_BYTES
            room -= int(sizes[number])
        return groups

    def _records(self, number: int) -> epath.Path:
        return self.directory / f"{number:05d}.records"

    def _arrays(self, number: int) -> dict[str, np.ndarray] | None:
        path = self.directory / f"{number:05d}.npz"
        if not path.exists():
            return None
        with np.load(io.BytesIO(path.read_bytes())) as arrays:
            return dict(arrays)
