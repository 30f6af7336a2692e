"""Copies images that cannot be read at random where they lie into plain files that can.

Such are the rows of parquet files (`parquet`). They are copied once, in the files' own order; an
interrupted copy continues with the first file that is not finished.
"""

import json
from collections.abc import Callable, Sequence

from etils import epath

from base.files import atomic
from data_prep.source import containers, parquet
from data_prep.source.images import ImageRef

_INDEX = ".index.json"


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
    for index, (path, numbers) in enumerate(sorted(by_path.items())):
        target = directory / f"{index:05d}"
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


def _unpack_file(path: str, numbers: set[int], target: epath.Path) -> dict[str, list[int]]:
    """Writes the rows' images behind one another: row to [offset, size]."""
    index = target.parent / f"{target.name}{_INDEX}"
    if index.exists():
        known: dict[str, list[int]] = json.loads(index.read_text())
        if known.keys() == {str(number) for number in numbers}:
            return known
    offsets: dict[str, list[int]] = {}
    position = 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic(target) as output:
        for number, image in enumerate(parquet.images(path)):
            if number in numbers:
                offsets[str(number)] = [position, len(image)]
                position += output.write(image)
    with atomic(index, "w") as file:
        file.write(json.dumps(offsets))
    return offsets
