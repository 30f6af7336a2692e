"""Parquet rows are copied into plain files, for random access."""

import os
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from etils import epath

from base.errors import UserError
from data_prep.job import unpacking
from data_prep.layouts import opening
from tests.making import small_sources


def test_unpacking_gives_the_same_images_at_random(tmp_path):
    refs = opening.open_source(str(small_sources.parquet(tmp_path / "source"))).refs
    done: list[int] = []
    moved = unpacking.unpack(refs, epath.Path(tmp_path / "plain"), done.append)
    assert sum(done) == len(refs)
    assert [ref.name for ref in moved] == [ref.name for ref in refs]
    assert [ref.read() for ref in moved] == [ref.read() for ref in refs]
    assert all(ref.packing == "" for ref in moved)


def test_unpacking_continues_where_it_stopped(tmp_path):
    refs = opening.open_source(str(small_sources.parquet(tmp_path / "source"))).refs
    work = epath.Path(tmp_path / "plain")
    first = unpacking.unpack(refs, work, lambda count: None)
    for path in (tmp_path / "source").iterdir():
        path.touch()
    before = {path.name: path.stat().mtime for path in work.iterdir() if path.suffix != ".json"}
    assert unpacking.unpack(refs, work, lambda count: None) == first
    after = {path.name: path.stat().mtime for path in work.iterdir() if path.suffix != ".json"}
    assert after == before
    few = unpacking.unpack(refs[:3], work, lambda count: None)
    assert [ref.read() for ref in few] == [ref.read() for ref in refs[:3]]


def states(work: epath.Path) -> dict[str, tuple[int, int]]:
    found = {path.name: os.stat(path) for path in work.iterdir()}
    return {name: (stat.st_mtime_ns, stat.st_ino) for name, stat in found.items()}


def test_fewer_rows_and_fewer_files_reuse_what_is_there(tmp_path):
    refs = opening.open_source(str(small_sources.parquet(tmp_path / "source"))).refs
    work = epath.Path(tmp_path / "plain")
    unpacking.unpack(refs, work, lambda count: None)
    before = states(work)
    last = [ref for ref in refs if ref.path == refs[-1].path][1:]
    moved = unpacking.unpack(last, work, lambda count: None)
    assert [ref.read() for ref in moved] == [ref.read() for ref in last]
    assert states(work) == before
    assert unpacking.taken(work) == sum(len(ref.read()) for ref in refs)


def test_a_replaced_file_and_a_lacking_row_are_unpacked_anew(tmp_path):
    source = small_sources.parquet(tmp_path / "source")
    refs = opening.open_source(str(source)).refs
    work = epath.Path(tmp_path / "plain")
    unpacking.unpack(refs[:1], work, lambda count: None)
    moved = unpacking.unpack(refs, work, lambda count: None)
    assert [ref.read() for ref in moved] == [ref.read() for ref in refs]
    path = pathlib.Path(refs[0].path)
    image = refs[0].read()
    other = image[:300] + bytes([image[300] ^ 1]) + image[301:]
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[refs[0].offset]["image"]["bytes"] = other  # the same rows and labels
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path, row_group_size=3)
    again = unpacking.unpack(refs[:1], work, lambda count: None)
    assert again[0].read() == other


def test_other_rows_are_left_where_they_are(tmp_path):
    refs = opening.open_source(str(small_sources.tars(tmp_path))).refs
    assert unpacking.unpack(refs, epath.Path(tmp_path / "plain"), lambda count: None) == refs


def test_a_file_that_is_damaged_within_is_named(tmp_path):
    source = small_sources.parquet(tmp_path / "source")
    refs = opening.open_source(str(source)).refs
    for path in source.iterdir():  # what the listing has read is whole, the images are not
        data = bytearray(path.read_bytes())
        data[4:-2000] = b"\xff" * (len(data) - 2004)
        path.write_bytes(data)
    with pytest.raises(UserError, match=r"\.parquet cannot be read as parquet"):
        unpacking.unpack(refs, epath.Path(tmp_path / "plain"), lambda count: None)
