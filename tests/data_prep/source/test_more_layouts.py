"""WebDataset's tars, tars of class tars without a devkit, and sets to evaluate on."""

import json
import pathlib

import pytest

from base.errors import UserError
from data_prep.layouts import opening
from data_prep.source import official, sample, synsets
from data_prep.source.remarks import BREAKS
from tests.making import small_sources

PHOTOS = [small_sources.encoded(small_sources.picture(number)) for number in range(6)]


def web(root: pathlib.Path, name: str, labels: list, how: str) -> None:
    files: dict[str, bytes] = {}
    for number, label in enumerate(labels):
        files[f"{number:05d}.jpg"] = PHOTOS[number]
        said = json.dumps(label) if how == "json" else str(label)
        files[f"{number:05d}.{how}"] = said.encode()
    small_sources.write(root, {name: sample.tar_bytes(files)})


@pytest.mark.parametrize(
    "names",
    [
        ("imagenet1k-train-0000.tar", "imagenet1k-validation-00.tar"),
        ("train/000.tar", "val/000.tar"),
        ("TRAIN-{0}.tar", "set_val_1.tar"),
    ],
)
def test_webdatasets_tars(names, tmp_path):
    for name in names:
        web(tmp_path, name, [0, 2, 1], "cls")
    source = opening.open_source(str(tmp_path))
    assert source.layout == "webdataset"
    assert source.classes.wnids == ("label_0000", "label_0001", "label_0002")
    expected = [(split, wnid) for split in ("train", "validation") for wnid in (0, 2, 1)]
    found = sorted((ref.split, int(ref.wnid[-1]), ref.read()) for ref in source.refs)
    assert [(split, wnid) for split, wnid, _ in found] == sorted(expected)
    assert found[1][2] == PHOTOS[2]
    assert "unnamed" in source.remarks


def test_webdatasets_labels_in_json_with_names(tmp_path):
    table = synsets.ilsvrc2012()
    said = [{"label": label, "class_name": table.words[label]} for label in range(3)]
    web(tmp_path, "train-0.tar", said, "json")
    source = opening.open_source(str(tmp_path))
    assert source.classes.wnids == tuple(sorted(table.words[:3]))
    assert [ref.wnid for ref in source.refs] == list(table.words[:3])


def test_webdatasets_labels_as_text(tmp_path):
    web(tmp_path, "train-0.tar", ["fox", "cat"], "txt")
    assert [ref.wnid for ref in opening.open_source(str(tmp_path)).refs] == ["fox", "cat"]


@pytest.mark.parametrize(
    "name, labels, how, words",
    [
        ("train.tar", [{"caption": "a"}], "json", "00000.json .* says no label"),
        ("train.tar", [""], "cls", "says no label"),
        ("some.tar", [1], "cls", "word train, val or validation"),
        ("train.tar", [-3], "cls", "00000.jpg .* has label -3"),
    ],
)
def test_what_a_webdataset_lacks_is_named(name, labels, how, words, tmp_path):
    web(tmp_path, name, labels, how)
    if labels == [-3]:
        web(tmp_path, name, [-3, 1], how)
    with pytest.raises(UserError, match=words):
        opening.open_source(str(tmp_path))


def class_tars() -> dict[str, bytes]:
    found = small_sources.train_images()
    return {f"{wnid}.tar": sample.tar_bytes(files) for wnid, files in found.items()}


@pytest.mark.parametrize("packed", [False, True])
def test_class_tars_without_a_devkit(packed, tmp_path):
    if packed:
        path = tmp_path / "winter21.tar"
        path.write_bytes(sample.tar_bytes(class_tars() | {"._n00000011.tar": b"\0"}))
    else:
        path = tmp_path / "winter21"
        small_sources.write(path, class_tars() | {"n00000044.tar": sample.tar_bytes({})})
    source = opening.open_source(str(path))
    assert (source.layout, source.name) == ("winter21", "winter21")
    expected = {key for key in small_sources.everything() if key[0] == "train"}
    assert {ref[:3] for ref in source.refs} == expected
    assert source.classes.wnids == small_sources.WNIDS + (() if packed else ("n00000044",))
    assert source.remarks.count("empty") == (not packed)


def test_ilsvrcs_own_train_tar_alone_has_its_labels(sample_dir):
    tar = sample_dir / "ilsvrc2012_sample" / official.TRAIN_TAR
    source = opening.open_source(str(tar))
    assert source.layout == "winter21"
    assert set(source.classes.wnids) < set(synsets.ilsvrc2012().wnids)


PACKS = [lambda root: root, small_sources.tar_of, small_sources.zip_of]


@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize("above", ["", "imagenet-a/"])
def test_a_set_to_evaluate_on_by_wnids(pack, above, tmp_path):
    wnids = synsets.ilsvrc2012().wnids
    files = {f"{above}{wnids[label]}/x_{label}.jpg": PHOTOS[0] for label in (5, 700)}
    small_sources.write(tmp_path / "set", files | {f"{above}README.txt": b"x"})
    source = opening.open_source(str(pack(tmp_path / "set")))
    assert (source.layout, source.name) == ("evaluation", "set")
    assert source.classes.wnids == wnids
    assert sorted(source.classes.labels[ref.wnid] for ref in source.refs) == [5, 700]
    assert {ref.split for ref in source.refs} == {"validation"}
    assert source.remarks.count("mapped") == 2
    assert all(level != BREAKS for level, _ in source.remarks.lines())


@pytest.mark.parametrize("form", ["{}", "{:04d}"])
def test_a_set_to_evaluate_on_by_numbers(form, tmp_path):
    files = {f"v2/{form.format(label)}/a.jpeg": b"x" for label in range(1000)}
    small_sources.write(tmp_path, files)
    source = opening.open_source(str(tmp_path))
    by_folder = {int(ref.path.split("/")[-2]): ref.wnid for ref in source.refs}
    assert by_folder == dict(enumerate(synsets.ilsvrc2012().wnids))


def test_some_numbers_are_not_taken_for_ilsvrcs(tmp_path):
    small_sources.write(tmp_path, {f"{number}/a.png": b"x" for number in range(10)})
    with pytest.raises(UserError, match="no known layout"):
        opening.open_source(str(tmp_path))
