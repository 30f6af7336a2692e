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

ROW = "parquet row"


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
    with _named(path):
        for batch in file.iter_batches(columns=["label", *names]):
            labels = batch.column("label").to_pylist()
            paths = batch.column("image").to_pylist() if names else [None] * len(labels)
            for label, image in zip(labels, paths, strict=True):
                name = (image or {}).get("path") or f"{path.stem}_{number:06d}"
                yield Row(number, label, pathlib.PurePosixPath(name).name)
                number += 1


def read_row(path: str, number: int) -> bytes:
    """One image's bytes, by unpacking its row group. Raises UserError where it cannot be read."""
    file = _open(pathlib.Path(path))
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if number < count:
            with _named(pathlib.Path(path)):
                table = file.read_row_group(group, columns=["image.bytes"])
            return table.column("image")[number]["bytes"].as_py() or b""
        number -= count
    raise UserError(f"{path} has no row {number}: it changed since it was listed")


def images(path: str) -> Iterator[bytes]:
    """Every image's bytes, in the order of the rows. Raises UserError where they are damaged."""
    file = _open(pathlib.Path(path))
    with _named(pathlib.Path(path)):
        for batch in file.iter_batches(16, columns=["image.bytes"]):
            for image in batch.column("image"):
                yield image["bytes"].as_py() or b""


@functools.lru_cache(maxsize=16)
def _open(path: pathlib.Path) -> Any:
    import pyarrow.parquet

    with _named(path):
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
