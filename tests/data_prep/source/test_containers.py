"""Positions in directories, tars and zips; the bytes there."""

import pathlib
import struct
import tarfile
import tempfile
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import UserError
from data_prep.source import containers, sample, tar_files
from tests.making import small_sources

FILES = {
    "a.jpg": b"first",
    "deep/er/b.jpg": bytes(range(256)) * 300,
    "c" * 150 + ".jpg": b"a name too long for a plain tar header",
    "empty.jpg": b"",
    "noise.jpg": np.random.default_rng(0).bytes(100_000),
}


def contents(path: pathlib.Path) -> dict[str, bytes]:
    return {entry.name: containers.read(entry) for entry in containers.entries(path)}


def directory(root: pathlib.Path) -> pathlib.Path:
    for name, data in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def zipped(path: pathlib.Path, method: int) -> pathlib.Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
        archive.mkdir("nothing")
        archive.comment = b"a comment at the end"
    return path


def test_a_directory(tmp_path):
    assert contents(directory(tmp_path)) == FILES


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_of_either_form_of_long_names(form, tmp_path):
    path = tmp_path / "files.tar"
    with tarfile.open(path, "w", format=form) as archive:
        archive.add(directory(tmp_path / "files"), ".")
    assert {name.removeprefix("./"): data for name, data in contents(path).items()} == FILES


def test_a_tar_within_a_tar(tmp_path):
    outer = tmp_path / "outer.tar"
    inner = sample.tar_bytes(FILES)
    outer.write_bytes(sample.tar_bytes({"x.tar": sample.tar_bytes({"x": b"x"}), "y.tar": inner}))
    place = list(tar_files.walk(outer))[1]
    found = tar_files.walk(outer, place.offset, place.size)
    assert {entry.name: containers.read(entry) for entry in found} == FILES


def test_a_tar_without_its_end_marker_does_not_run_into_the_next(tmp_path):
    outer = tmp_path / "outer.tar"
    short = sample.tar_bytes({"x": b"x" * 512})[:1024]  # header and content, no zero blocks
    outer.write_bytes(sample.tar_bytes({"x.tar": short, "y.tar": short}))
    for place in tar_files.walk(outer):
        names = [entry.name for entry in tar_files.walk(outer, place.offset, place.size)]
        assert names == ["x"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip(method, tmp_path):
    path = zipped(tmp_path / "files.zip", method)
    assert contents(path) == FILES
    assert {entry.name: entry.size for entry in containers.entries(path)} == {
        name: len(data) for name, data in FILES.items()
    }


def test_a_zip_whose_offsets_are_beyond_four_gigabytes(tmp_path):
    path = tmp_path / "huge.zip"
    with open(path, "wb") as file:
        file.truncate(5 * 10**9)  # a hole: it takes no room
        file.seek(0, 2)
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("b.jpg", b"content")
    with open(path, "r+b") as file:
        file.write(b"PK\x03\x04")  # as it would begin
    assert contents(path) == {"b.jpg": b"content"}


def test_an_unknown_packing_is_said_when_listing(tmp_path):
    path = zipped(tmp_path / "files.zip", zipfile.ZIP_BZIP2)
    with pytest.raises(UserError, match="only deflate is known"):
        contents(path)


PARTS = st.from_regex(r"[A-Za-z0-9_.-]{1,12}", fullmatch=True).filter(
    lambda part: part.strip(".") != ""
) | st.text("äß漢字 '()", min_size=1, max_size=5).filter(lambda part: part == part.strip())


@st.composite
def trees(draw) -> dict[str, bytes]:
    """Files by their paths; no file stands where another's directory does."""
    tree: dict[str, bytes] = {}
    for name in draw(st.lists(st.lists(PARTS, min_size=1, max_size=4).map("/".join), max_size=8)):
        if not any(f"{a}/".startswith(f"{b}/") for t in tree for a, b in ((t, name), (name, t))):
            tree[name] = draw(st.binary(max_size=2000))
    return tree


@settings(max_examples=40)
@given(tree=trees())
def test_a_directory_a_tar_and_a_zip_of_any_tree_hold_the_same(tree):
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        whole, places = root / "files", {"directory": root / "files"}
        whole.mkdir()
        small_sources.write(whole, tree)
        for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            places[f"tar {form}"] = root / f"{form}.tar"
            with tarfile.open(places[f"tar {form}"], "w", format=form) as archive:
                for file in tree:
                    archive.add(whole / file, file)
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            places[f"zip {method}"] = root / f"{method}.zip"
            with zipfile.ZipFile(places[f"zip {method}"], "w", method) as archive:
                for file, data in tree.items():
                    archive.writestr(file, data)
        for form, place in places.items():
            if tree or not form.startswith("zip"):  # an empty zip does not begin as one does
                assert contents(place) == tree, form


def cut(path: pathlib.Path, size: int) -> pathlib.Path:
    path.write_bytes(path.read_bytes()[:size])
    return path


@pytest.mark.parametrize("size", [100_000, 500, 20])
def test_a_truncated_archive_is_said_when_listing(size, tmp_path):
    tar = tmp_path / "files.tar"
    tar.write_bytes(sample.tar_bytes(FILES))
    for path in (cut(tar, size), cut(zipped(tmp_path / "f.zip", zipfile.ZIP_DEFLATED), size)):
        with pytest.raises(UserError, match=r"truncated|no tar") as caught:
            contents(path)
        assert path.name in str(caught.value)


def test_an_inner_tar_that_claims_more_than_there_is(tmp_path):
    outer = tmp_path / "outer.tar"
    outer.write_bytes(sample.tar_bytes({"x.tar": sample.tar_bytes(FILES)}))
    with pytest.raises(UserError, match="truncated"):
        list(tar_files.walk(outer, 512, 10**9))


def test_a_damaged_directory_of_a_zip_is_said(tmp_path):
    path = zipped(tmp_path / "files.zip", zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x05\x06")
    data[at + 16 : at + 20] = struct.pack("<I", 7)
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"directory of .* is damaged"):
        contents(path)


@pytest.mark.parametrize("field", [20, 24, 42])  # packed size, size, offset of the local header
def test_a_zip_whose_fields_cannot_be_is_refused_before_memory_is_asked_for(field, tmp_path):
    path = zipped(tmp_path / "files.zip", zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + field : at + field + 4] = struct.pack("<I", 4_000_000_000)
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"directory of .* is damaged"):
        contents(path)


def test_a_zip_that_ends_within_its_last_record_is_said(tmp_path):
    path = zipped(tmp_path / "files.zip", zipfile.ZIP_STORED)
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"PK\x05\x06") + 10])
    with pytest.raises(UserError, match=r"directory of .* is damaged"):
        contents(path)


def test_a_changed_archive_is_said_when_reading(tmp_path):
    path = zipped(tmp_path / "files.zip", zipfile.ZIP_DEFLATED)
    entries = {entry.name: entry for entry in containers.entries(path)}
    path.write_bytes(b"\0" * 1000)
    with pytest.raises(UserError, match="zip header"):
        containers.read(entries["a.jpg"])
    with pytest.raises(UserError, match=r"truncated|cannot read"):
        containers.read(entries["noise.jpg"])
