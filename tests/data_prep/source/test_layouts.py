"""Every layout lists the same images, and says what is wrong with it."""

import pathlib
import zipfile

import pytest

from base.errors import UserError
from data_prep.layouts import opening
from data_prep.source import official, sample
from data_prep.source.images import Source
from tests.making import small_sources


def stored(directory: pathlib.Path) -> pathlib.Path:
    return small_sources.zip_of(directory, zipfile.ZIP_STORED)


def as_it_is(directory: pathlib.Path) -> pathlib.Path:
    return directory


FORMS = [
    ("tars", small_sources.tars, as_it_is),
    ("folders", small_sources.folders, as_it_is),
    ("folders", small_sources.folders, small_sources.zip_of),
    ("folders", small_sources.folders, small_sources.tar_of),
    ("folders", small_sources.folders_with_devkit, as_it_is),
    ("kaggle", small_sources.kaggle, as_it_is),
    ("kaggle", small_sources.kaggle, small_sources.zip_of),
    ("kaggle", small_sources.kaggle, stored),
    ("tiny_imagenet", small_sources.tiny_imagenet, as_it_is),
    ("tiny_imagenet", small_sources.tiny_imagenet, small_sources.tar_of),
    ("tiny_imagenet", small_sources.tiny_imagenet, small_sources.zip_of),
    ("parquet", small_sources.parquet, as_it_is),
]


def contents(source: Source) -> dict[tuple[str, str, str], bytes]:
    found = {(ref.split, ref.wnid, ref.name): ref.read() for ref in source.refs}
    assert len(found) == len(source.refs)
    return found


@pytest.mark.parametrize(
    "layout, make, pack", FORMS, ids=lambda value: getattr(value, "__name__", value)
)
def test_each_layout_is_recognised_and_lists_the_same_images(layout, make, pack, tmp_path):
    source = opening.open_source(str(pack(make(tmp_path / "source"))))
    assert source.layout == layout
    assert source.why
    assert source.classes.wnids == small_sources.WNIDS
    assert contents(source) == small_sources.everything()


def test_a_layout_named_by_hand_is_taken(tmp_path):
    small_sources.tars(tmp_path)
    small_sources.folders(tmp_path)
    assert opening.open_source(str(tmp_path)).layout == "tars"
    assert opening.open_source(str(tmp_path), "folders").layout == "folders"


def test_sizes_agree_between_layouts_so_that_the_fingerprints_do(tmp_path):
    prints = {
        opening.open_source(str(pack(make(tmp_path / f"{number}")))).fingerprint
        for number, (layout, make, pack) in enumerate(FORMS)
        if layout != "parquet"
    }
    assert len(prints) == 1


def test_words_come_from_the_source(tmp_path):
    for number, make in enumerate(
        (small_sources.tars, small_sources.kaggle, small_sources.tiny_imagenet)
    ):
        source = opening.open_source(str(make(tmp_path / f"{number}")))
        assert source.classes.words == small_sources.WORDS


@pytest.mark.parametrize(
    "name, expected",
    [("imagenette2-160", "imagenette2_160"), ("2nd set.v1", "images_2nd_set"), ("data", "data")],
)
def test_the_data_set_is_named_after_the_source(name, expected, tmp_path):
    assert opening.open_source(str(small_sources.folders(tmp_path / name))).name == expected


def test_the_embedded_sample_says_that_it_is_generated(tmp_path):
    sample.generate(tmp_path, 1, 1)
    source = opening.open_source(str(tmp_path))
    assert (source.generated, source.name) == (True, "generated")


def test_partial_validation_is_labelled_by_number(sample_dir):
    source = opening.open_source(str(sample_dir / "ilsvrc2012_sample"))
    assert source.name == "ilsvrc2012"
    labels = {
        ref.name: source.classes.labels[ref.wnid]
        for ref in source.refs
        if ref.split == "validation"
    }
    # The devkit's first ground truths, in sorted-WNID order.
    first = [65, 970, 230, 809, 516, 57, 334, 415, 674, 332]
    expected = {f"ILSVRC2012_val_{i + 1:08d}.JPEG": label for i, label in enumerate(first)}
    present = expected.keys() & labels.keys()
    assert len(present) >= 3
    assert all(labels[name] == expected[name] for name in present)


@pytest.mark.slow(reason="25,000 photographs are listed")
def test_real_tiny_imagenet_in_a_tar(sample_dir):
    source = opening.open_source(str(sample_dir / "tiny-imagenet-25.tar"))
    assert (source.layout, len(source.classes.wnids), len(source.refs)) == (
        "tiny_imagenet",
        25,
        13_750,
    )
    by_split = [ref.split for ref in source.refs]
    assert by_split.count("validation") == 1250
    assert source.refs[0].read().startswith(b"\xff\xd8\xff")


def missing_devkit(root: pathlib.Path) -> pathlib.Path:
    small_sources.tars(root)
    (root / f"{official.DEVKIT}.tar.gz").unlink()
    return root


def truncated_outer(root: pathlib.Path) -> pathlib.Path:
    path = small_sources.tars(root) / official.TRAIN_TAR
    path.write_bytes(path.read_bytes()[:15_000])
    return root


def truncated_validation(root: pathlib.Path) -> pathlib.Path:
    path = small_sources.tars(root) / official.VALIDATION_TAR
    path.write_bytes(path.read_bytes()[:3_000])
    return root


def no_tar(root: pathlib.Path) -> pathlib.Path:
    (small_sources.tars(root) / official.TRAIN_TAR).write_bytes(b"<html>403</html>" * 100)
    return root


def damaged_devkit(root: pathlib.Path) -> pathlib.Path:
    path = small_sources.tars(root) / f"{official.DEVKIT}.tar.gz"
    path.write_bytes(path.read_bytes()[:100])
    return root


def foreign_class(root: pathlib.Path) -> pathlib.Path:
    return small_sources.tars(root, {"n09999999": {"n09999999_1.JPEG": b"x"}})


def number_beyond(root: pathlib.Path) -> pathlib.Path:
    members = {"ILSVRC2012_val_00000099.JPEG": b"x"}
    (small_sources.tars(root) / official.VALIDATION_TAR).write_bytes(sample.tar_bytes(members))
    return root


def flat_validation(root: pathlib.Path) -> pathlib.Path:
    small_sources.folders_with_devkit(root)
    (root / f"{official.DEVKIT}.tar.gz").unlink()
    return root


def empty(root: pathlib.Path) -> pathlib.Path:
    root.mkdir()
    return root


def something_else(root: pathlib.Path) -> pathlib.Path:
    small_sources.write(root, {"holiday.jpg": b"x"})
    return root


def built_already(root: pathlib.Path) -> pathlib.Path:
    small_sources.write(root, {"insects/1.0.0/dataset_info.json": b"{}"})
    return root


def empty_tree(root: pathlib.Path) -> pathlib.Path:
    small_sources.write(root, {"train/n00000011/readme.md": b"x"})
    return root


def truncated_zip(root: pathlib.Path) -> pathlib.Path:
    path = small_sources.zip_of(small_sources.kaggle(root))
    path.write_bytes(path.read_bytes()[:-200])
    return path


@pytest.mark.parametrize(
    "make, words",
    [
        (missing_devkit, ("no ILSVRC2012_devkit_t12.tar.gz", "put the official devkit")),
        (truncated_outer, ("truncated", official.TRAIN_TAR)),
        (truncated_validation, ("truncated", official.VALIDATION_TAR)),
        (no_tar, ("no tar", official.TRAIN_TAR)),
        (damaged_devkit, ("devkit", "download it again")),
        (foreign_class, ("n09999999", "no class of the devkit")),
        (number_beyond, ("00000099", "ILSVRC2012_val_00000006.JPEG")),
        (flat_validation, ("no class's folder", "devkit")),
        (empty, ("empty directory",)),
        (something_else, ("no known layout", "holiday.jpg", "wanted: ")),
        (built_already, ("a data set that is built already", "--data_dir=")),
        (empty_tree, ("holds no images",)),
        (truncated_zip, ("truncated", "download it again")),
        (lambda root: root, ("does not exist",)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_wrong_with_a_source_is_said_in_one_line(make, words, tmp_path):
    path = make(tmp_path / "source")
    with pytest.raises(UserError) as caught:
        opening.open_source(str(path))
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_an_image_that_has_gone_is_named(tmp_path):
    source = opening.open_source(str(small_sources.tars(tmp_path)))
    ref = source.refs[-1]
    (tmp_path / official.VALIDATION_TAR).write_bytes(b"")
    with pytest.raises(UserError, match=ref.name):
        ref.read()
