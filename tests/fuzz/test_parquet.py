"""Damaged parquet files are read, or refused in one line."""

import itertools

from base.errors import UserError
from data_prep.source import parquet
from tests.making import small_sources


def test_a_parquet_file(fuzz, tmp_path):
    source = small_sources.parquet(tmp_path / "source")
    whole = (source / "train-00000-of-00002.parquet").read_bytes()
    numbers = itertools.count()

    def read(damaged: bytes) -> None:
        path = tmp_path / f"{next(numbers)}.parquet"  # what was opened is kept by its name
        path.write_bytes(damaged)
        parquet.class_names(path)
        for row in parquet.rows(path):
            parquet.read_row(str(path), row.number)
        for _ in parquet.images(str(path)):
            pass
        path.unlink()

    fuzz(whole, read, UserError)
