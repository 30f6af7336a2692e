"""Parquet shards with an image in each row, as Hugging Face publishes imagenet-1k.

A row can be read alone, but only by unpacking its row group of some ten megabytes, which for a
shuffled order would read everything a hundred times over: see `unpacking`.
"""

import contextlib
import functools
import json
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from base.errors import UserError
from data_prep.source import containers, naming

ROW = "parquet row"

# What publishers call the two columns, the first that is there being taken.
_IMAGES = ("image", "img", "jpg", "jpeg", "png", "webp")
_LABELS = ("label", "labels", "fine_label", "cls", "class")


class Row(NamedTuple):
    """One row.

    Attributes:
        number: in the file.
        label: a number, or a class's name; None where the file has none.
        name: of the image, where the file gives one, else after the file and the row.
    """

    number: int
    label: int | str | None
    name: str


class _Columns(NamedTuple):
    """Which columns are read: the images' bytes, the labels, and the images' names if any."""

    image: str
    bytes: str
    label: str
    path: str | None


def class_names(path: pathlib.Path) -> list[str] | None:
    """The names of the label column's classes, where the file carries them."""
    with _named(path):
        metadata = _open(path).schema_arrow.metadata or {}
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        label = next(name for name in _LABELS if name in features)
        return [str(name) for name in features[label]["names"]]
    except (KeyError, ValueError, TypeError, StopIteration, RecursionError):
        return None


def rows(path: pathlib.Path) -> Iterator[Row]:
    """The rows of a file without their images.

    Raises:
        UserError: it lacks a column of images or one of labels, or is damaged.
    """
    columns = _columns(path)
    number = 0
    with _named(path):
        wanted = [columns.label, *([columns.path] if columns.path else [])]
        for batch in _open(path).iter_batches(columns=wanted):
            labels = batch.column(columns.label).to_pylist()
            images = batch.column(columns.image).to_pylist() if columns.path else []
            for index, label in enumerate(labels):
                name = (images[index] or {}).get("path") if images else None
                if isinstance(label, float) and label.is_integer():
                    label = int(label)  # a column that once had gaps
                if not isinstance(label, int | str | None):
                    raise UserError(
                        f"row {number} of {path} has {columns.label} {str(label)[:40]}, and a "
                        "number or a name is wanted: keep one label of each image"
                    )
                yield Row(number, label, pathlib.PurePosixPath(name).name if name else "")
                number += 1


def read_row(path: str, number: int) -> bytes:
    """One image's bytes, by unpacking its row group. Raises UserError where it cannot be read."""
    place = pathlib.Path(path)
    file, columns = _open(place), _columns(place)
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if number < count:
            with _named(place):
                table = file.read_row_group(group, columns=[columns.bytes])
                return _bytes(table.column(columns.image)[number].as_py())
        number -= count
    raise UserError(f"{path} has no row {number}: it changed since it was listed")


def images(path: str) -> Iterator[bytes]:
    """Every image's bytes, in the order of the rows. Raises UserError where they are damaged."""
    place = pathlib.Path(path)
    file, columns = _open(place), _columns(place)
    with _named(place):
        for batch in file.iter_batches(16, columns=[columns.bytes]):
            for image in batch.column(columns.image):
                yield _bytes(image.as_py())


def spread_blocks(path: str) -> bytes:
    """A file's end, which describes all of its columns, and some blocks spread over it."""
    with _named(pathlib.Path(path)):
        return containers.spread_blocks(path)


def _bytes(image: Any) -> bytes:
    return (image.get("bytes") if isinstance(image, dict) else image) or b""


def _columns(path: pathlib.Path) -> _Columns:
    import pyarrow as pa

    with _named(path):
        schema = _open(path).schema_arrow
    kinds = {field.name: field.type for field in schema}
    label = next((name for name in _LABELS if name in kinds), None)
    for image in _IMAGES:
        kind = kinds.get(image)
        if label and kind is not None:
            if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
                return _Columns(image, image, label, None)
            inner = [kind.field(i).name for i in range(kind.num_fields)]
            if pa.types.is_struct(kind) and "bytes" in inner:
                named = f"{image}.path" if "path" in inner else None
                return _Columns(image, f"{image}.bytes", label, named)
    listed = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
    raise UserError(
        f"{path} has the columns {listed[:300]}: image.bytes and label are wanted: rename them"
    )


def _open(path: pathlib.Path) -> Any:
    with _named(path):
        status = path.stat()
    return _opened(path, (status.st_mtime_ns, status.st_size))


@functools.lru_cache(maxsize=16)
def _opened(path: pathlib.Path, version: tuple[int, int]) -> Any:
    """An open file; one that was replaced since (another version) is opened anew."""
    import pyarrow.parquet

    with _named(path):
        with open(path, "rb") as file:
            beginning = file.read(naming.BEGINNING)
        if not beginning.startswith(naming.PARQUET):
            naming.refuse_other(path, beginning, "parquet file")
        return pyarrow.parquet.ParquetFile(path)


@contextlib.contextmanager
def _named(path: pathlib.Path) -> Iterator[None]:
    """Turns what pyarrow raises on reading a damaged file into an error that names it."""
    import pyarrow

    try:
        yield
    except (OSError, pyarrow.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} cannot be read as parquet ({reason}): download it again") from None
