"""Copies images that cannot be read at random where they lie into plain files that can.

Such are the rows of parquet files (`parquet`). They are copied once, in the files' own order: those
rows that shards still need. An interrupted copy continues with the first file that is not finished,
and what is unpacked stays until the data set is.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Sequence

from etils import epath

from base.files import atomic
from data_prep.source import containers, parquet
from data_prep.source.images import ImageRef

DIRECTORY = "unpacked"
_PLAIN, _INDEX = ".images", ".json"
_SAMPLES, _FOOTER = 64, 1 << 16  # how many samples of a file, and bytes of its end


def unpack(
    refs: Sequence[ImageRef], directory: epath.Path, on_file: Callable[[int], None]
) -> list[ImageRef]:
    """Copies the images of parquet rows into plain files.

    Args:
        refs: of any packing; those that are no parquet rows are given back as they are.
        directory: where the plain files go, one for each parquet file; finished ones are reused.
        on_file: called with the number of images of each file that is done.

    Returns:
        The same images in the same order, at their new positions.

    Raises:
        UserError: a parquet file cannot be read.
    """
    by_path: dict[str, set[int]] = {}
    for ref in refs:
        if ref.packing == parquet.ROW:
            by_path.setdefault(ref.path, set()).add(ref.offset)
    places = {}
    for path, numbers in sorted(by_path.items()):
        # Named by its path, as a resumed job may need fewer files, and number them otherwise.
        name = hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()[:16]
        target = directory / f"{name}{_PLAIN}"
        places[path] = (str(target), _unpack_file(path, numbers, target))
        on_file(len(numbers))
    moved = []
    for ref in refs:
        if ref.packing == parquet.ROW:
            target_path, offsets = places[ref.path]
            offset, size = offsets[str(ref.offset)]
            ref = ref._replace(path=target_path, offset=offset, size=size, packing=containers.PLAIN)
        moved.append(ref)
    return moved


def taken(directory: epath.Path) -> int:
    """The bytes of the plain files that are there."""
    if not directory.exists():
        return 0
    return sum(path.stat().length for path in directory.iterdir() if path.suffix == _PLAIN)


@dataclasses.dataclass(frozen=True)
class _Index:
    """What lies where in a plain file.

    Attributes:
        size: of the parquet file, in bytes.
        mtime: of it, in nanoseconds.
        sample: a hash of some of its bytes, for one that was only touched or copied.
        rows: row number to [offset, size].
    """

    size: int
    mtime: int
    sample: str
    rows: dict[str, list[int]]

    def is_of(self, path: str) -> bool:
        """Whether the parquet file is the one that was unpacked."""
        found = os.stat(path)
        if found.st_size != self.size:
            return False
        return found.st_mtime_ns == self.mtime or _sample(path) == self.sample


def _unpack_file(path: str, numbers: set[int], target: epath.Path) -> dict[str, list[int]]:
    """Writes the rows' images behind one another: row to [offset, size]."""
    index = target.with_suffix(_INDEX)
    known = _load(index) if target.exists() else None
    # A resumed job needs fewer rows than the file holds: those of the shards that are missing.
    if known and known.is_of(path) and known.rows.keys() >= {str(number) for number in numbers}:
        return known.rows
    before = os.stat(path)
    offsets: dict[str, list[int]] = {}
    position = 0
    target.parent.mkdir(parents=True, exist_ok=True)
    index.unlink(missing_ok=True)  # or it would be taken for that of the next file
    with atomic(target) as output:
        for number, image in enumerate(parquet.images(path)):
            if number in numbers:
                offsets[str(number)] = [position, len(image)]
                position += output.write(image)
    made = _Index(before.st_size, before.st_mtime_ns, _sample(path), offsets)
    with atomic(index, "w") as file:
        file.write(json.dumps(dataclasses.asdict(made)))
    return offsets


def _load(index: epath.Path) -> _Index | None:
    try:
        return _Index(**json.loads(index.read_text()))
    except (OSError, ValueError, TypeError):  # none, or an older one's
        return None


def _sample(path: str) -> str:
    """A hash of bytes all over a file, and of its end, where parquet says what is in it."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        for offset in [*(part * size // _SAMPLES for part in range(_SAMPLES)), size - _FOOTER]:
            file.seek(max(0, offset))
            digest.update(file.read(_FOOTER if offset == size - _FOOTER else 4096))
    return digest.hexdigest()
