"""Parquet rows: labels without images, single images."""

import pathlib

import pytest

from base.errors import UserError
from data_prep.layouts import opening
from tests.making import small_sources


def write(path: pathlib.Path, **columns: list) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), path)


def test_numbers_without_names_are_not_taken_for_ilsvrcs_labels(tmp_path):
    images = [{"bytes": small_sources.encoded(small_sources.picture(0)), "path": None}] * 2
    write(tmp_path / "train-00000-of-00001.parquet", image=images, label=[0, 999])
    source = opening.open_source(str(tmp_path))
    assert source.name != "ilsvrc2012"
    assert [ref.wnid for ref in source.refs] == ["label_0000", "label_0999"]
    assert len(source.classes.wnids) == 1000
    assert "unnamed" in source.remarks
    assert len({ref.name for ref in source.refs}) == 2


@pytest.mark.parametrize(
    "name, columns, words",
    [
        ("train-0.parquet", {"label": [1]}, "image.bytes and label are wanted"),
        ("train-0.parquet", {"image": [{"bytes": b"", "path": ""}], "label": [-1]}, "label -1"),
        ("test-0.parquet", {"image": [{"bytes": b"", "path": ""}], "label": [-1]}, "no parquet"),
    ],
)
def test_other_tables_are_refused(name, columns, words, tmp_path):
    write(tmp_path / name, **columns)
    with pytest.raises(UserError, match=words):
        opening.open_source(str(tmp_path))


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "train-00000-of-00001.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match=r"train-00000-of-00001\.parquet cannot be read"):
        opening.open_source(str(tmp_path))
