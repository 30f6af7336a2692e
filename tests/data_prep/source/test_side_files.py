"""Class lists, words and truth tables, however they were saved; paths, however they are written."""

import gzip
import os
import pathlib
import shutil
import zipfile

import pytest

from base.errors import UserError
from data_prep.config import SourceConfig
from data_prep.layouts import listing, opening
from data_prep.source.images import Source
from tests.making import small_sources


def names(source: Source) -> set[tuple[str, str, str]]:
    return {ref[:3] for ref in source.refs}


def saved(text: str, how: str) -> bytes:
    if how == "crlf":
        return text.replace("\n", "\r\n").encode()
    if how == "latin-1":
        return (text + "n00000099\tcrème brûlée\n").encode("latin-1")
    return text.encode(how)


HOW = ["utf-8-sig", "utf-16", "crlf", "latin-1"]


def rewritten(path: pathlib.Path, how: str) -> None:
    path.write_bytes(saved(path.read_text(), how))


@pytest.mark.parametrize("how", HOW)
def test_tiny_imagenets_lists_in_any_encoding(how, tmp_path):
    root = small_sources.tiny_imagenet(tmp_path)
    rewritten(root / "tiny/words.txt", how)
    rewritten(root / "tiny/val/val_annotations.txt", how)
    if how != "latin-1":
        rewritten(root / "tiny/wnids.txt", how)
    source = opening.open_source(str(root))
    assert names(source) == small_sources.everything().keys()
    assert source.classes.words == small_sources.WORDS


@pytest.mark.parametrize("how", HOW[:3])
def test_kaggles_lists_in_any_encoding(how, tmp_path):
    root = small_sources.kaggle(tmp_path)
    for name in ("LOC_synset_mapping.txt", "LOC_val_solution.csv"):
        rewritten(root / name, how)
    source = opening.open_source(str(root))
    assert names(source) == small_sources.everything().keys()
    assert source.classes.words == small_sources.WORDS


@pytest.mark.parametrize("pack", [lambda root: root, small_sources.zip_of])
def test_kaggles_truth_may_still_be_zipped(pack, tmp_path):
    root = small_sources.kaggle(tmp_path / "source")
    table = root / "LOC_val_solution.csv"
    with zipfile.ZipFile(root / "LOC_val_solution.csv.zip", "w") as archive:
        archive.write(table, table.name)
    table.unlink()
    assert names(opening.open_source(str(pack(root)))) == small_sources.everything().keys()


@pytest.mark.parametrize(
    "content, words",
    [
        (b"PK\x03\x04 and no more", r"LOC_val_solution\.csv\.zip .* download it again"),
        (b"", r"LOC_val_solution\.csv\.zip .* download it again"),
    ],
)
def test_a_damaged_zipped_truth_is_named(content, words, tmp_path):
    root = small_sources.kaggle(tmp_path)
    (root / "LOC_val_solution.csv").unlink()
    (root / "LOC_val_solution.csv.zip").write_bytes(content)
    with pytest.raises(UserError, match=words):
        opening.open_source(str(root))


def test_kaggles_truth_without_its_columns_is_named(tmp_path):
    root = small_sources.kaggle(tmp_path)
    (root / "LOC_val_solution.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="no columns ImageId"):
        opening.open_source(str(root))


def test_kaggles_images_still_packed_are_named(tmp_path):
    root = small_sources.kaggle(tmp_path)
    shutil.rmtree(root / "ILSVRC")
    with pytest.raises(UserError, match="download the images"):
        opening.open_source(str(root))
    (root / "imagenet_object_localization_patched2019.tar.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(UserError, match="tar xf imagenet_object_localization_patched2019"):
        opening.open_source(str(root))


def sort_validation(root: pathlib.Path, val: pathlib.Path, between: str = "") -> None:
    for name in small_sources.validation_images():
        (found,) = val.rglob(name)
        place = val / small_sources.validation_wnid(name) / between
        place.mkdir(parents=True, exist_ok=True)
        found.rename(place / name)


@pytest.mark.parametrize("between", ["", "images"])
def test_tiny_imagenets_validation_sorted_into_classes(between, tmp_path):
    root = small_sources.tiny_imagenet(tmp_path)
    sort_validation(root, root / "tiny/val", between)
    (root / "tiny/val/images").rmdir()
    (root / "tiny/val/val_annotations.txt").unlink()
    assert names(opening.open_source(str(root))) == small_sources.everything().keys()


def test_kaggles_validation_sorted_into_classes_needs_no_table(tmp_path):
    root = small_sources.kaggle(tmp_path)
    sort_validation(root, root / "ILSVRC/Data/CLS-LOC/val")
    (root / "LOC_val_solution.csv").unlink()
    assert names(opening.open_source(str(root))) == small_sources.everything().keys()


def test_tiny_imagenets_annotations_that_lack_say_so(tmp_path):
    root = small_sources.tiny_imagenet(tmp_path)
    (root / "tiny/val/val_annotations.txt").unlink()
    with pytest.raises(UserError, match=r"val_annotations\.txt.*--split=train"):
        opening.open_source(str(root))
    assert opening.open_source(str(root), splits=["train"]).refs


# Paths.


@pytest.mark.parametrize("name", ["set [v2]", "a*b?", "{x}", "café set", "(1)", "100%"])
@pytest.mark.parametrize(
    "make",
    [
        small_sources.folders,
        small_sources.tiny_imagenet,
        small_sources.kaggle,
        small_sources.tars,
        small_sources.parquet,
    ],
)
def test_a_path_is_taken_as_it_is_written(make, name, tmp_path):
    root = make(tmp_path / name)
    found = names(opening.open_source(f"{root}/"))
    assert found == small_sources.everything().keys()


def test_the_home_directory_and_the_current_one(tmp_path, monkeypatch):
    root = small_sources.folders(tmp_path / "Imagenette-v3")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert opening.open_source("~/Imagenette-v3").name == "imagenette_v3"
    monkeypatch.chdir(root)
    for path in (".", "./", "../Imagenette-v3//"):
        assert opening.open_source(path).name == "imagenette_v3"


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("set.tgz", gzip.compress(b"x", mtime=0), r"gzip.*mkdir set && tar xf .*set\.tgz -C set"),
        ("set.tar.xz", b"\xfd7zXZ\0\0\0", r"xz.*tar xf"),
        ("set.tar", gzip.compress(b"x", mtime=0), r"gzip"),
        ("set.7z", b"7z\xbc\xaf\x27\x1c", r"7z x"),
        ("set.rar", b"Rar!\x1a\x07", r"7z x"),
    ],
)
def test_a_compressed_archive_is_named_with_what_unpacks_it(name, content, words, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words):
        opening.open_source(str(tmp_path / name))
    with pytest.raises(UserError, match="to unpack"):
        opening.open_source(str(tmp_path))


def test_a_single_parquet_file_is_a_source(tmp_path):
    root = small_sources.parquet(tmp_path)
    found = names(opening.open_source(str(root / "train-00000-of-00002.parquet")))
    assert found < small_sources.everything().keys()
    assert found


def test_a_path_that_is_not_utf_8_is_read_and_named(tmp_path):
    root = tmp_path / os.fsdecode(b"caf\xe9")
    source = opening.open_source(str(small_sources.folders(root)))
    assert source.name == "café"
    assert {ref[:3]: ref.read() for ref in source.refs} == small_sources.everything()
    assert source.content
    lines: list[str] = []
    listing.open_or_generate(SourceConfig(source=str(root)), ["train"], "", lines.append)
    assert lines[0].encode()


def test_kaggles_images_without_the_class_list_say_what_is_lacking(tmp_path):
    root = small_sources.kaggle(tmp_path)
    with pytest.raises(UserError, match=r"LOC_synset_mapping\.txt.*LOC_val_solution\.csv"):
        opening.open_source(str(root / "ILSVRC"))
    (root / "LOC_synset_mapping.txt").unlink()
    with pytest.raises(UserError, match=r"LOC_synset_mapping\.txt.*kaggle\.com"):
        opening.open_source(str(root))
