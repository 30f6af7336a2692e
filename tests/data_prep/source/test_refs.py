"""Image references in columns are what a list of them is, and are kept as they are."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.layouts import listing
from data_prep.source import containers, entries, official, parquet, sample
from data_prep.source.images import ImageRef, Refs
from tests.making import small_sources

texts = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=6)
paths = st.builds(
    lambda parts, last: "/" + "/".join(parts) + os.fsdecode(last),
    st.lists(texts, max_size=3),
    st.sampled_from([b"", b"\xe9"]),
)
references = st.builds(
    ImageRef,
    split=st.sampled_from(["train", "validation"]),
    wnid=st.sampled_from(["n2", "n1", "x"]),
    name=texts,
    path=paths,
    offset=st.integers(0, 2**40),
    size=st.integers(0, 2**33),
    packing=st.sampled_from([entries.PLAIN, entries.DEFLATED, parquet.ROW]),
)


@given(st.lists(references, max_size=12), st.data())
def test_columns_are_the_list_that_they_were_made_of(listed, data):
    refs = Refs.of(iter(listed))
    assert list(refs) == listed and len(refs) == len(listed) and refs == listed
    assert list(refs.in_order()) == sorted(listed)
    start, stop = (data.draw(st.integers(-15, 15)) for _ in range(2))
    assert list(refs[start:stop]) == listed[start:stop]
    rows = data.draw(st.permutations(range(len(listed))))
    taken = refs.take(np.array(rows, np.int64), "validation")
    assert list(taken) == [listed[row]._replace(split="validation") for row in rows]
    if listed:
        place = data.draw(st.integers(-len(listed), len(listed) - 1))
        assert refs[place] == listed[place]


def listed(source, data_dir, allowed=()):
    return listing.opened(str(source), "auto", ["train", "validation"], allowed, str(data_dir))


@pytest.mark.parametrize(
    "make",
    [
        small_sources.tars,
        small_sources.parquet,
        lambda p: small_sources.tar_of(small_sources.folders(p)),
    ],
)
def test_a_listing_is_made_once_and_again_when_the_archives_change(make, tmp_path, monkeypatch):
    source = make(tmp_path / "source")
    first = listed(source, tmp_path / "data")
    (kept,) = (tmp_path / "data" / listing.DIRECTORY).iterdir()
    opened = []
    whole = listing.opening.open_source
    monkeypatch.setattr(
        listing.opening, "open_source", lambda *a, **k: opened.append(1) or whole(*a, **k)
    )
    again = listed(source, tmp_path / "data")
    assert not opened
    assert again.refs == first.refs and again.classes == first.classes
    assert (again.fingerprint, again.content) == (first.fingerprint, first.content)
    assert list(again.remarks.lines()) == list(first.remarks.lines())
    assert (again.layout, again.why, again.path, again.name) == (
        *(first.layout, first.why, first.path, first.name),
    )
    archive = source if source.is_file() else max(source.iterdir())
    os.utime(archive, ns=(1, 1))
    assert listed(source, tmp_path / "data").refs == first.refs
    assert opened == [1], "an archive of another time is listed anew"
    assert list((tmp_path / "data" / listing.DIRECTORY).iterdir()) == [kept]
    assert listed(source, tmp_path / "data").refs == first.refs
    assert opened == [1]
    kept.write_bytes(kept.read_bytes()[:700])
    assert listed(source, tmp_path / "data").refs == first.refs
    assert opened == [1, 1], "a damaged listing is made anew"
    if source.is_dir():
        (source / "another.tar").write_bytes(b"")
        listed(source, tmp_path / "data")
        assert opened == [1, 1, 1], "a name beside the archives is looked at"


def test_another_devkit_gives_another_listing(tmp_path):
    source = small_sources.tars(tmp_path / "source")
    before = listed(source, tmp_path / "data")
    devkit = sample.devkit_archive(small_sources.WNIDS, small_sources.WORDS, (0,) * 6, 4)
    (source / f"{official.DEVKIT}.tar.gz").write_bytes(devkit)
    after = listed(source, tmp_path / "data")
    assert {ref.wnid for ref in before.refs if ref.split == "validation"} > {"n00000011"}
    assert {ref.wnid for ref in after.refs if ref.split == "validation"} == {"n00000011"}


def test_folders_are_listed_each_time_and_no_file_in_them_is_read_for_that(tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "spread_blocks", lambda *_: pytest.fail("a file is read"))
    source = small_sources.folders(tmp_path / "source")
    before = listed(source, tmp_path / "data")
    next((source / "train" / "n00000011").glob("*.JPEG")).unlink()
    assert len(listed(source, tmp_path / "data").refs) == len(before.refs) - 1
    assert not (tmp_path / "data" / listing.DIRECTORY).exists()


def test_where_nothing_can_be_kept_it_is_listed_all_the_same(tmp_path):
    (tmp_path / "data").write_text("a file")
    source = small_sources.tars(tmp_path / "source")
    assert len(listed(source, tmp_path / "data").refs) == 17
