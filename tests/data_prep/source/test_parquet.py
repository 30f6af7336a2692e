"""Parquet rows: labels without images, single images, and unpacking for random access."""

import pathlib

import pytest
from etils import epath

from base.commandline import UserError
from data_prep.job import unpacking
from data_prep.source import layouts
from tests.making import small_sources


def test_unpacking_gives_the_same_images_at_random(tmp_path):
    refs = layouts.open_source(str(small_sources.parquet(tmp_path / "source"))).refs
    done: list[int] = []
    moved = unpacking.unpack(refs, epath.Path(tmp_path / "plain"), done.append)
    assert sum(done) == len(refs)
    assert [ref.name for ref in moved] == [ref.name for ref in refs]
    assert [ref.read() for ref in moved] == [ref.read() for ref in refs]
    assert all(ref.packing == "" for ref in moved)


def test_unpacking_continues_where_it_stopped(tmp_path):
    refs = layouts.open_source(str(small_sources.parquet(tmp_path / "source"))).refs
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


def test_other_rows_are_left_where_they_are(tmp_path):
    refs = layouts.open_source(str(small_sources.tars(tmp_path))).refs
    assert unpacking.unpack(refs, epath.Path(tmp_path / "plain"), lambda count: None) == refs


def write(path: pathlib.Path, **columns: list) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), path)


def test_numbers_without_names_are_ilsvrcs_labels(tmp_path):
    images = [{"bytes": small_sources.encoded(small_sources.picture(0)), "path": None}] * 2
    write(tmp_path / "train-00000-of-00001.parquet", image=images, label=[0, 999])
    source = layouts.open_source(str(tmp_path))
    assert source.name == "ilsvrc2012"
    assert [ref.wnid for ref in source.refs] == ["n01440764", "n15075141"]
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
        layouts.open_source(str(tmp_path))


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "train-00000-of-00001.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match=r"train-00000-of-00001\.parquet cannot be read"):
        layouts.open_source(str(tmp_path))


def test_a_file_that_is_damaged_within_is_named(tmp_path):
    source = small_sources.parquet(tmp_path / "source")
    refs = layouts.open_source(str(source)).refs
    for path in source.iterdir():  # what the listing has read is whole, the images are not
        data = bytearray(path.read_bytes())
        data[4:-2000] = b"\xff" * (len(data) - 2004)
        path.write_bytes(data)
    with pytest.raises(UserError, match=r"\.parquet cannot be read as parquet"):
        unpacking.unpack(refs, epath.Path(tmp_path / "plain"), lambda count: None)
