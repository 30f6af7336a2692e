"""Label order, against facts of the official devkit."""

import gzip
import pathlib
import tarfile

import pytest

from base.errors import UserError
from data_prep.source import official, sample, synsets
from tests.making.small_sources import WNIDS, WORDS

# Of the official devkit: ILSVRC2012_ID 1 is n02119789, label 278; ID 449 is n01440764, label 0.
FACTS = {"n02119789": 278, "n01440764": 0, "n15075141": 999}


def test_the_table_is_ilsvrc_2012():
    classes = synsets.ilsvrc2012()
    assert len(classes.wnids) == 1000
    assert list(classes.wnids) == sorted(classes.wnids)
    assert {wnid: classes.labels[wnid] for wnid in FACTS} == FACTS
    assert sum(classes.train_images) == 1_281_167
    assert (min(classes.train_images), max(classes.train_images)) == (732, 1300)
    assert classes.train_images.count(1300) == 895
    assert classes.train_images[classes.labels["n02089078"]] == 732
    assert sum(words.split(",")[0] == "crane" for words in classes.words) == 2


def test_the_official_devkit(sample_dir):
    devkit = synsets.read_devkit(sample_dir / "ilsvrc2012_sample" / f"{official.DEVKIT}.tar.gz")
    assert devkit.classes == synsets.ilsvrc2012()
    labels = [devkit.classes.labels[wnid] for wnid in devkit.validation]
    assert labels[:10] == [65, 970, 230, 809, 516, 57, 334, 415, 674, 332]
    assert labels[-1] == 355
    assert len(labels) == 50_000
    assert {labels.count(label) for label in range(0, 1000, 100)} == {50}


def devkit(tmp_path: pathlib.Path, content: bytes | None = None) -> pathlib.Path:
    path = tmp_path / f"{official.DEVKIT}.tar.gz"
    made = sample.devkit_archive(WNIDS, WORDS, (2, 0, 1), 4)
    path.write_bytes(made if content is None else content)
    return path


def test_a_devkit_packed_or_unpacked_says_the_same(tmp_path):
    path = devkit(tmp_path)
    found = synsets.read_devkit(path)
    assert found.classes == synsets.Classes(WNIDS, WORDS, (4, 4, 4))
    assert found.validation == (WNIDS[2], WNIDS[0], WNIDS[1])
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    assert synsets.read_devkit(tmp_path / "unpacked") == found


def test_parents_are_no_classes_and_ids_are_no_labels(tmp_path):
    wnids = [f"n{number:08d}" for number in range(20)]
    path = tmp_path / "devkit.tar.gz"
    path.write_bytes(sample.devkit_archive(wnids, wnids, list(range(20)), 1))
    found = synsets.read_devkit(path)
    assert list(found.classes.wnids) == wnids
    assert list(found.validation) == wnids


@pytest.mark.parametrize(
    "content, words",
    [
        (b"no archive", "cannot be read"),
        (gzip.compress(sample.tar_bytes({"readme.txt": b""})), f"holds no {synsets.META_FILE}"),
        (
            gzip.compress(
                sample.tar_bytes({synsets.META_FILE: b"x" * 300, synsets.GROUND_TRUTH_FILE: b"1"})
            ),
            "meta.mat",
        ),
    ],
    ids=["no archive", "lacks a file", "damaged file"],  # an archive's bytes hold the time
)
def test_a_damaged_devkit_is_named(content, words, tmp_path):
    with pytest.raises(UserError, match=words) as caught:
        synsets.read_devkit(devkit(tmp_path, content))
    assert "download it again" in str(caught.value)


def test_a_ground_truth_of_another_devkit_is_refused(tmp_path):
    with tarfile.open(devkit(tmp_path)) as archive:
        meta = archive.extractfile(f"{official.DEVKIT}/data/{synsets.META_FILE}").read()
    files = {synsets.META_FILE: meta, synsets.GROUND_TRUTH_FILE: b"1\n2\n77\n"}
    path = devkit(tmp_path, gzip.compress(sample.tar_bytes(files)))
    with pytest.raises(UserError, match="77"):
        synsets.read_devkit(path)


def test_classes_of_other_sources_get_ilsvrcs_words_where_it_has_them():
    known = synsets.known_classes(["n01440764", "n01443537"])
    assert known.words == ("tench, Tinca tinca", "goldfish, Carassius auratus")
    assert known.train_images is None
    own = synsets.known_classes(["dog", "cat"], {"cat": "a cat"})
    assert (own.wnids, own.words) == (("cat", "dog"), ("a cat", "dog"))
    assert synsets.known_classes(synsets.ilsvrc2012().wnids) == synsets.ilsvrc2012()
