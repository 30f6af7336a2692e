"""Files that are no archives, however they are given: what they are is said, and what is wanted."""

import pathlib

import pytest

from base.errors import UserError
from data_prep.layouts import opening
from data_prep.source import official, sample
from tests.making import small_sources

PAGE = b"\n<!DOCTYPE html>\n<html><title>Sign in</title>"


def refused(path: pathlib.Path, layout: str = "auto") -> str:
    with pytest.raises(UserError) as caught:
        opening.open_source(str(path), layout)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "name, content, is_, remedy",
    [
        ("list.txt", "é first line\nsecond".encode(), "text ('é first line')", "give a directory"),
        ("words", "wörter".encode("utf-16"), "text ('wörter')", "give a directory"),
        ("old.txt", "Bäume\n".encode("latin-1"), "text ('Bäume')", "give a directory"),
        ("half.csv", ("a" * 511 + "é").encode(), "text ('aaaa", "give a directory"),
        ("set.tar", b"404: Not Found", "text ('404: Not Found')", "download it again"),
        ("set.zip", PAGE, "a web page", "download it again"),
        ("set.tar", b"", "empty", "download it again"),
        ("x.jpg", small_sources.encoded(small_sources.picture(1)), "an image", "holds train/"),
        ("paper.pdf", b"%PDF-1.5\n\x00", "a PDF", "give a directory"),
        ("real.json", b"[[65], [970, 795], []]", "text", "evaluate.py, as --real_labels"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_a_file_that_is_no_archive_is_named_as_what_it_is(name, content, is_, remedy, tmp_path):
    (tmp_path / name).write_bytes(content)
    said = refused(tmp_path / name)
    assert f"{name} is no tar or zip but " in said
    assert is_ in said and remedy in said


def test_a_pointer_of_git_lfs_in_a_tars_place_says_how_to_get_the_tar(tmp_path):
    (tmp_path / "set.tar").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert "set.tar is a pointer of Git LFS" in refused(tmp_path / "set.tar")


@pytest.mark.parametrize("layout", ["folders", "kaggle", "tiny_imagenet", "parquet", "evaluation"])
def test_also_where_the_layout_is_named(layout, tmp_path):
    (tmp_path / "list.txt").write_text("a.jpg 0\n")
    assert "is no tar or zip but text ('a.jpg 0')" in refused(tmp_path / "list.txt", layout)


def text_as(name: str):
    def make(root: pathlib.Path) -> None:
        small_sources.write(root, {name: b"no"})

    return make


def official_tar(root: pathlib.Path) -> None:
    (small_sources.tars(root) / official.TRAIN_TAR).write_bytes(b"no")


def class_tar_in_the_official(root: pathlib.Path) -> None:
    tar = sample.tar_bytes({"n00000011.tar": b"no"})
    (small_sources.tars(root) / official.TRAIN_TAR).write_bytes(tar)


def class_tar_in_a_split(root: pathlib.Path) -> None:
    small_sources.folders(root)
    small_sources.write(root, {"train/n00000044.tar": b"no"})


@pytest.mark.parametrize(
    "make, wanted",
    [
        (official_tar, "tar"),
        (class_tar_in_the_official, "tar"),
        (class_tar_in_a_split, "tar"),
        (text_as("n00000011.tar"), "tar"),
        (text_as("train-000.tar"), "archive"),
        (text_as("train-00000-of-00001.parquet"), "parquet file"),
    ],
)
def test_also_within_a_source(make, wanted, tmp_path):
    make(tmp_path)
    assert f"no {wanted} but text ('no'): download it again" in refused(tmp_path)


@pytest.mark.parametrize("home", ["BZh9", "BM0001", "%PDF", "PAR1", "[[1", "<html"])
def test_a_tar_may_begin_with_any_name(home, tmp_path):
    root = small_sources.folders(tmp_path / "source" / home).parent
    source = opening.open_source(str(small_sources.tar_of(root)))
    assert {ref[:3] for ref in source.refs} == small_sources.everything().keys()
