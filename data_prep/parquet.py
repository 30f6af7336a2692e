"""Parquet shards with an image in each row, as Hugging Face publishes imagenet-1k.

A row can be read alone, but only by unpacking its row group of some ten megabytes, which for a
shuffled order would read everything a hundred times over. So `unpack` copies the images once, in
the files' own order, into plain files that are read at random from then on.
"""

import functools
import json
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from etils import epath

from data_prep.commandline import UserError

if TYPE_CHECKING:
    from data_prep.sources import ImageRef

ROW = "parquet row"
_INDEX = ".index.json"


class Row(NamedTuple):
    """One row: its number in the file, its label, and the name that the file gives the image."""

    number: int
    label: int
    name: str


def class_names(path: pathlib.Path) -> list[str] | None:
    """The names of the label column's classes, where the file carries them."""
    metadata = _open(path).schema_arrow.metadata or {}
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return list(features["label"]["names"])
    except (KeyError, ValueError, TypeError):
        return None


def rows(path: pathlib.Path) -> Iterator[Row]:
    """The rows of a file without their images.

    Raises:
        UserError: it lacks the columns `image` (with `bytes`) and `label`, or is damaged.
    """
    file = _open(path)
    columns = {file.schema.column(i).path for i in range(len(file.schema))}
    if not {"image.bytes", "label"} <= columns:
        raise UserError(
            f"{path} has the columns {', '.join(sorted(columns))}: image.bytes and label are wanted"
        )
    names = [name for name in ("image.path",) if name in columns]
    number = 0
    for batch in file.iter_batches(columns=["label", *names]):
        labels = batch.column("label").to_pylist()
        paths = batch.column("image").to_pylist() if names else [None] * len(labels)
        for label, image in zip(labels, paths, strict=True):
            name = (image or {}).get("path") or f"{path.stem}_{number:06d}"
            yield Row(number, label, pathlib.PurePosixPath(name).name)
            number += 1


def read_row(path: str, number: int) -> bytes:
    """One image's bytes, by unpacking its row group."""
    file = _open(pathlib.Path(path))
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if number < count:
            table = file.read_row_group(group, columns=["image.bytes"])
            return table.column("image")[number]["bytes"].as_py() or b""
        number -= count
    raise UserError(f"{path} has no row {number}: it changed since it was listed")


def unpack(
    refs: Sequence["ImageRef"], directory: epath.Path, on_file: Callable[[int], None]
) -> list["ImageRef"]:
    """Copies the images of parquet rows into plain files.

    Args:
        refs: of any packing; those that are no parquet rows are given back as they are.
        directory: where the plain files go, one for each parquet file; finished ones are reused.
        on_file: called with the number of images of each file that is done.

    Returns:
        The same images in the same order, at their new positions.
    """
    by_path: dict[str, set[int]] = {}
    for ref in refs:
        if ref.packing == ROW:
            by_path.setdefault(ref.path, set()).add(ref.offset)
    places = {}
    for index, (path, numbers) in enumerate(sorted(by_path.items())):
        target = directory / f"{index:05d}"
        offsets = _unpack_file(path, numbers, target)
        places[path] = (str(target), offsets)
        on_file(len(numbers))
    moved = []
    for ref in refs:
        if ref.packing == ROW:
            target_path, offsets = places[ref.path]
            offset, size = offsets[str(ref.offset)]
            ref = ref._replace(path=target_path, offset=offset, size=size, packing="")
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
    number = position = 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as output:
        for batch in _open(pathlib.Path(path)).iter_batches(16, columns=["image.bytes"]):
            for image in batch.column("image"):
                if number in numbers:
                    data = image["bytes"].as_py() or b""
                    offsets[str(number)] = [position, len(data)]
                    position += output.write(data)
                number += 1
    index.write_text(json.dumps(offsets))
    return offsets


@functools.lru_cache(maxsize=16)
def _open(path: pathlib.Path) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{path} cannot be read as parquet ({error}): download it again") from None
