"""What a listing does not take is said, with a count and an example, in every layout."""

import os
import pathlib
import socket
import tarfile
import zipfile

import pytest

from base.errors import UserError
from data_prep.layouts import opening
from data_prep.source import official, sample
from data_prep.source.images import Source
from data_prep.source.remarks import ALLOWED, BREAKS, KINDS, Remarks
from tests.making import small_sources

PHOTO = small_sources.encoded(small_sources.picture(77))


def as_it_is(directory: pathlib.Path) -> pathlib.Path:
    return directory


PACKS = (as_it_is, small_sources.tar_of, small_sources.zip_of)
TREES = {
    "folders": (small_sources.folders, ""),
    "kaggle": (small_sources.kaggle, "ILSVRC/Data/CLS-LOC/"),
    "tiny_imagenet": (small_sources.tiny_imagenet, "tiny/"),
}


def broken(source: Source) -> list[str]:
    return [text for level, text in source.remarks.lines() if level == BREAKS]


def said(source: Source) -> str:
    return " | ".join(f"{level} {text}" for level, text in source.remarks.lines())


def with_files(layout: str, root: pathlib.Path, files: dict[str, bytes]) -> pathlib.Path:
    make, home = TREES[layout]
    small_sources.write(make(root), {home + name: data for name, data in files.items()})
    return root


# What is put beside a whole source; by which kind it is noted, how often, and whether it breaks.
BESIDE = {
    "hidden folders": (
        {
            "train/.cache/a.JPEG": PHOTO,
            "train/n00000011/@eaDir/SYNO@thumb.jpg": PHOTO,
            "__MACOSX/train/n00000011/._x.JPEG": b"\0\5\x16\7",
        },
        "hidden",
        3,
    ),
    "system files": (
        {"train/Thumbs.db": b"x", "train/n00000022/._n1.JPEG": b"\0", "val/desktop.ini": b"x"},
        "hidden",
        3,
    ),
    "other files": (
        {"train/n00000011/readme.html": b"<html>", "train/list.csv": b"a,b"},
        "other",
        2,
    ),
    "half": ({"train/n00000011/n1_99.JPEG.crdownload": PHOTO[:99]}, "half", 1),
    "compressed": ({"train/n00000044.tar.gz": b"\x1f\x8b", "train/more.zip": b"PK"}, "archive", 2),
    "inside a class": ({"train/n00000011/rest.tar": b"x" * 512}, "archive", 1),
    "loose": ({"train/n00000011_77.JPEG": PHOTO}, "loose", 1),
    "outside": ({"preview/a.png": PHOTO, "cover.jpg": PHOTO}, "outside", 2),
    "beside": ({"more.tar": b"x", "rest.zip": b"PK"}, "beside", 2),
}


def expected_harmless(layout: str, kind: str) -> int:
    """What the whole sources already have of a kind: a .DS_Store, Tiny-ImageNet's annotations."""
    return {("folders", "hidden"): 1, ("tiny_imagenet", "other"): 1}.get((layout, kind), 0)


@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize("layout", TREES)
@pytest.mark.parametrize("what", BESIDE)
def test_what_lies_beside_the_images_is_counted_and_not_taken(what, layout, pack, tmp_path):
    files, kind, count = BESIDE[what]
    source = opening.open_source(str(pack(with_files(layout, tmp_path / "source", files))))
    assert source.layout == layout
    assert source.remarks.count(kind) == count + expected_harmless(layout, kind), said(source)
    assert source.classes.wnids == small_sources.WNIDS
    assert {(r.split, r.wnid, r.name) for r in source.refs} == small_sources.everything().keys()
    if KINDS[kind].level == "breaks":
        assert f"--allow={kind}" in broken(source)[0]
    else:
        assert not broken(source)


@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize("layout", TREES)
def test_an_image_without_suffix_is_taken_for_what_it_is(layout, pack, tmp_path):
    files = {"train/n00000011/photo": PHOTO, "train/n00000022/x.jpg_1": PHOTO}
    source = opening.open_source(str(pack(with_files(layout, tmp_path / "source", files))))
    assert source.remarks.count("suffix") == 2
    assert len(source.refs) == len(small_sources.everything()) + 2
    assert sum(ref.read() == PHOTO for ref in source.refs) == 2


@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize("layout", ["kaggle", "tiny_imagenet"])
def test_a_folder_that_the_class_list_does_not_name_stops_and_moves_no_label(
    layout, pack, tmp_path
):
    files = {"train/aaa/n1.JPEG": PHOTO}
    source = opening.open_source(str(pack(with_files(layout, tmp_path / "source", files))))
    assert source.classes.wnids == small_sources.WNIDS
    assert "train/aaa" in broken(source)[0]


def test_with_a_devkit_a_stray_folder_moves_no_label_and_an_empty_class_keeps_its_own(tmp_path):
    root = small_sources.folders_with_devkit(tmp_path)
    small_sources.write(root, {"train/backup/n1.JPEG": PHOTO})
    for file in (root / "train/n00000022").iterdir():
        file.unlink()
    source = opening.open_source(str(root))
    assert source.classes.wnids == small_sources.WNIDS
    assert {ref.wnid for ref in source.refs if ref.split == "train"} == {*small_sources.WNIDS[::2]}
    assert "train/backup" in broken(source)[0]
    assert "lacks class folders without an image: 1 (train/n00000022)" in said(source)
    allowed = opening.open_source(str(root), allowed=["stray"])
    assert not broken(allowed)
    assert "by --allow=stray" in said(allowed)


def test_an_empty_class_folder_is_a_class(tmp_path):
    root = small_sources.folders(tmp_path)
    for split in ("train", "val"):
        (root / split / "n00000015").mkdir()
    source = opening.open_source(str(root))
    assert source.classes.labels["n00000022"] == 2
    assert source.remarks.count("empty") == 2
    assert not broken(source)


@pytest.mark.parametrize("pack", PACKS[:2])
def test_class_tars_in_a_split_are_read_in_place(pack, tmp_path):
    root = small_sources.folders(tmp_path / "source")
    files = small_sources.train_images()["n00000022"]
    for name in files:
        (root / "train/n00000022" / name).unlink()
    (root / "train/n00000022").rmdir()
    small_sources.write(
        root, {"train/n00000022.tar": sample.tar_bytes(files | {"._n1.JPEG": b"\0"})}
    )
    source = opening.open_source(str(pack(root)))
    assert {(r.split, r.wnid, r.name): r.read() for r in source.refs} == small_sources.everything()
    assert source.remarks.count("in_place") == 1


def test_a_class_that_is_a_folder_and_a_tar_is_there_twice(tmp_path):
    root = small_sources.folders(tmp_path)
    tar = sample.tar_bytes({"other_1.JPEG": PHOTO})
    small_sources.write(root, {"train/n00000022.tar": tar})
    assert "n00000022.tar" in broken(opening.open_source(str(root)))[0]


def test_classes_in_one_split_only(tmp_path):
    root = small_sources.folders(tmp_path)
    small_sources.write(root, {"val/n00000099/v.JPEG": PHOTO, "train/n00000098/t.JPEG": PHOTO})
    source = opening.open_source(str(root))
    assert source.remarks.count("train_only") == 1
    assert "n00000099" in broken(source)[0]
    train = opening.open_source(str(root), splits=["train"])
    assert not broken(train)
    assert train.classes == source.classes  # the label order does not hang on --split


@pytest.mark.parametrize("pack", PACKS)
def test_a_second_data_set_beside_the_first_stops(pack, tmp_path):
    for name in ("cats", "dogs"):
        small_sources.folders(tmp_path / "both" / name)
    assert "dogs/" in broken(opening.open_source(str(pack(tmp_path / "both"))))[0]


def test_two_folders_of_one_split_stop(tmp_path):
    root = small_sources.folders(tmp_path)
    small_sources.write(root, {"validation/n00000011/v.JPEG": PHOTO})
    assert "validation" in broken(opening.open_source(str(root)))[0]


def test_links_pipes_and_circles_are_named(tmp_path):
    root = small_sources.folders(tmp_path)
    (root / "train/n00000011/gone.JPEG").symlink_to("/nowhere/x.JPEG")
    (root / "val/n00000077").symlink_to("/nowhere/folder")
    (root / "train/n00000011/round").symlink_to(root / "train")
    os.mkfifo(root / "train/n00000011/pipe.JPEG")
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(os.path.relpath(root / "train/socket"))
    (root / "train/n00000011/n1_link.JPEG").symlink_to(root / "train/n00000011/n00000011_1.JPEG")
    source = opening.open_source(str(root))
    assert len(source.refs) == len(small_sources.everything()) + 1
    counts = {kind: source.remarks.count(kind) for kind in ("dangling", "circle", "special")}
    assert counts == {"dangling": 2, "circle": 1, "special": 2}
    assert "gone.JPEG" in broken(source)[0]
    assert not broken(opening.open_source(str(root), allowed=["dangling"]))


@pytest.mark.parametrize("what", ["train/n00000022", "train/n00000011/n00000011_2.JPEG"])
def test_what_may_not_be_read_is_named(what, tmp_path, monkeypatch):
    root = small_sources.folders(tmp_path)
    scandir, access = os.scandir, os.access

    def scan(path):
        if str(path).endswith(what):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    monkeypatch.setattr(os, "access", lambda p, m: not str(p).endswith(what) and access(p, m))
    (text,) = broken(opening.open_source(str(root)))
    assert what in text
    assert "chmod" in text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("make", [small_sources.folders, small_sources.tiny_imagenet])
def test_a_folder_without_the_right_to_read_is_named(make, tmp_path):
    folder = next(make(tmp_path).rglob("n00000022"))
    folder.chmod(0)
    try:
        (text,) = broken(opening.open_source(str(tmp_path)))
    finally:
        folder.chmod(0o755)
    assert "n00000022" in text


def test_the_official_tars_have_hidden_members_and_any_order(tmp_path):
    classes = small_sources.train_images()
    classes["n00000011"]["._n00000011_1.JPEG"] = b"\0\5"
    inner = {f"./{wnid}.tar": sample.tar_bytes(classes[wnid]) for wnid in reversed(classes)}
    root = small_sources.tars(tmp_path)
    more = {"./._n00000011.tar": b"\0\5", ".DS_Store": b"\0"}
    (root / official.TRAIN_TAR).write_bytes(sample.tar_bytes(more | inner))
    source = opening.open_source(str(root))
    assert {(r.split, r.wnid, r.name) for r in source.refs} == small_sources.everything().keys()
    assert source.remarks.count("hidden") == 3


def test_a_class_twice_in_the_official_tar_is_named(tmp_path):
    root = small_sources.tars(tmp_path)
    with tarfile.open(root / official.TRAIN_TAR, "a") as archive:
        sample._add(archive, "n00000022.tar", sample.tar_bytes({"n2_x.JPEG": PHOTO}))
    source = opening.open_source(str(root))
    assert len(source.refs) == len(small_sources.everything())
    assert "n00000022.tar" in broken(source)[0]


def test_a_split_that_is_not_wanted_is_not_read(tmp_path):
    root = small_sources.tars(tmp_path / "tars")
    (root / official.TRAIN_TAR).write_bytes(b"damaged")
    source = opening.open_source(str(root), splits=["validation"])
    assert {ref.split for ref in source.refs} == {"validation"}
    root = small_sources.kaggle(tmp_path / "kaggle")
    (root / "LOC_val_solution.csv").unlink()
    assert len(opening.open_source(str(root), splits=["train"]).refs) == 12
    with pytest.raises(UserError, match=r"LOC_val_solution\.csv.*--split=train"):
        opening.open_source(str(root))


@pytest.mark.parametrize(
    "names, kind", [(["7"], "single"), (["2", "10", "1"], "numbers"), (["a", "b"], "")]
)
def test_odd_classes_are_said(names, kind, tmp_path):
    small_sources.write(tmp_path, {f"TRAIN/{name}/{name}.jpg": PHOTO for name in names})
    remarks = opening.open_source(str(tmp_path)).remarks
    assert [found for found in ("single", "numbers") if found in remarks] == (
        [kind] if kind else []
    )


def test_a_test_split_is_said_and_not_read(tmp_path):
    root = small_sources.folders(tmp_path)
    (root / "val").rename(root / "Test")
    assert "Test" in said(opening.open_source(str(root)))


def test_a_listing_that_is_empty_says_what_it_saw(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("train/n1/a.jpg.part", b"x")
    with pytest.raises(UserError, match=r"holds no images: half-finished downloads: 1"):
        opening.open_source(str(tmp_path / "a.zip"))


def test_names_are_shown_in_one_line_and_examples_stay_few():
    remarks = Remarks()
    for number in range(1000):
        remarks.note("other", f"a\nb{number}")
    ((level, text),) = remarks.lines()
    assert (level, "\n" in text, text.count("b")) == ("fine", False, 3)
    assert "1,000" in text
    assert set(ALLOWED) < KINDS.keys()


def test_what_lies_beside_the_official_tars_is_said(tmp_path):
    root = small_sources.tars(tmp_path)
    (root / official.VALIDATION_TAR).rename(root / f"{official.VALIDATION_TAR}.crdownload")
    small_sources.write(root, {"val/n00000011/a.JPEG": PHOTO, "ILSVRC2012_img_test.tar": b"x"})
    source = opening.open_source(str(root))
    assert [source.remarks.count(kind) for kind in ("half", "unpacked", "test")] == [1, 1, 1]
    assert "crdownload" in broken(source)[0]
