"""What a source is: its classes one by one, and the bytes behind its fingerprints."""

import json
import pathlib

import numpy as np
import pytest

from base.errors import UserError
from data_prep.layouts import opening
from data_prep.source import synsets
from data_prep.source.remarks import BREAKS
from tests.making import small_sources


def image(number: int) -> bytes:
    return small_sources.encoded(small_sources.picture(number))


def write(path: pathlib.Path, names: list[str] | None = None, **columns: list) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(columns)
    if names is not None:
        label = next(name for name in columns if "label" in name)
        features = {label: {"names": names, "_type": "ClassLabel"}}
        info = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": info})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def images(count: int, path: str | None = None) -> list[dict]:
    return [{"bytes": image(number), "path": path} for number in range(count)]


def test_two_classes_of_one_name_stay_two(tmp_path):
    names = ["crane", "fox", "crane", "crane_2"]
    write(tmp_path / "train-0.parquet", names, image=images(8), label=[0, 1, 2, 3] * 2)
    source = opening.open_source(str(tmp_path))
    assert source.classes.wnids == ("crane", "crane_2", "crane_3", "fox")
    assert source.classes.words == ("crane", "crane_2", "crane", "fox")
    assert [ref.wnid for ref in source.refs[:4]] == ["crane", "fox", "crane_3", "crane_2"]


@pytest.mark.parametrize("of", ["wnids", "words"])
def test_ilsvrcs_names_are_ilsvrc(of, tmp_path):
    names = list(getattr(synsets.ilsvrc2012(), of))
    write(tmp_path / "train-0.parquet", names, image=images(2), label=[0, 999])
    source = opening.open_source(str(tmp_path))
    assert source.name == "ilsvrc2012"
    assert [ref.wnid for ref in source.refs] == ["n01440764", "n15075141"]


def test_a_thousand_other_names_are_not(tmp_path):
    names = [f"bird {number}" for number in range(1000)]
    write(tmp_path / "train-0.parquet", names, image=images(2), label=[0, 999])
    assert opening.open_source(str(tmp_path)).classes.wnids == tuple(sorted(names))


@pytest.mark.parametrize(
    "columns",
    [
        {"img": images(2), "label": [0, 1]},
        {"image": [image(0), image(1)], "fine_label": [0, 1], "coarse_label": [0, 0]},
        {"jpg": [image(0), image(1)], "labels": [0, 1]},
    ],
)
def test_columns_of_other_names_are_read(columns, tmp_path):
    write(tmp_path / "data/train-00000-of-00001.parquet", ["a", "b"], **columns)
    source = opening.open_source(str(tmp_path))
    assert [ref.wnid for ref in source.refs] == ["a", "b"]
    assert [ref.read() for ref in source.refs] == [image(0), image(1)]


def test_labels_that_are_text_name_their_classes(tmp_path):
    write(tmp_path / "train.parquet", image=images(3), label=["fox", "cat", "fox"])
    assert [ref.wnid for ref in opening.open_source(str(tmp_path)).refs] == ["fox", "cat", "fox"]


@pytest.mark.parametrize("home", ["", "default/", "full/"])
def test_the_folder_of_a_parquet_file_says_its_split(home, tmp_path):
    for split in ("train", "validation", "test"):
        place = tmp_path / f"{home}{split}/0000.parquet"
        write(place, ["a", "b"], image=images(2), label=[0, 1])
    source = opening.open_source(str(tmp_path))
    assert [ref.split for ref in source.refs] == ["train", "train", "validation", "validation"]
    assert source.remarks.count("test") == 1


def test_a_second_configuration_stops(tmp_path):
    for home in ("cropped", "full"):
        place = tmp_path / f"{home}/train/0000.parquet"
        write(place, ["a", "b"], image=images(2), label=[0, 1])
    source = opening.open_source(str(tmp_path))
    assert len(source.refs) == 2
    found = [text for level, text in source.remarks.lines() if level == BREAKS]
    assert "full" in found[0]


def test_images_of_one_name_are_told_by_file_and_row(tmp_path):
    for shard in range(2):
        place = tmp_path / f"train-{shard:05d}-of-00002.parquet"
        write(place, ["a"], image=images(3, "image.jpg"), label=[0] * 3)
    found = [ref.name for ref in opening.open_source(str(tmp_path)).refs]
    assert len(set(found)) == 6
    assert found[0] == "train-00000-of-00002_000000.jpg"


@pytest.mark.parametrize("labels, words", [([0, None], "row 1 .* no label"), ([0, 7], "label 7")])
def test_a_label_that_is_none_is_named_with_its_row(labels, words, tmp_path):
    write(tmp_path / "validation-3.parquet", ["a", "b"], image=images(2), label=labels)
    with pytest.raises(UserError, match=words) as caught:
        opening.open_source(str(tmp_path))
    assert "validation-3.parquet" in str(caught.value)


def test_a_pointer_of_git_lfs_is_named(tmp_path):
    write(tmp_path / "train-0.parquet", ["a"], image=images(1), label=[0])
    (tmp_path / "train-1.parquet").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(UserError, match=r"train-1\.parquet is a pointer of Git LFS"):
        opening.open_source(str(tmp_path))


def test_columns_that_are_not_known_are_listed(tmp_path):
    write(tmp_path / "train-0.parquet", picture=images(1), kind=[0])
    with pytest.raises(UserError, match=r"columns picture .*, kind .* are wanted"):
        opening.open_source(str(tmp_path))


# The hash of the content.

CONTAINERS = [
    (small_sources.folders, lambda root: root),
    (small_sources.folders, small_sources.tar_of),
    (small_sources.folders, small_sources.zip_of),
    (small_sources.tars, lambda root: root),
    (small_sources.kaggle, lambda root: root),
    (small_sources.tiny_imagenet, lambda root: root),
]


def test_the_content_is_the_same_in_every_container(tmp_path):
    sources = [
        opening.open_source(str(pack(make(tmp_path / f"{number}"))))
        for number, (make, pack) in enumerate(CONTAINERS)
    ]
    assert len({source.content for source in sources}) == 1


@pytest.mark.parametrize("make", [small_sources.folders, small_sources.parquet])
def test_other_bytes_under_the_same_names_are_another_source(make, tmp_path):
    before = opening.open_source(str(make(tmp_path / "source")))
    assert before.content == opening.open_source(str(tmp_path / "source")).content
    picture = small_sources.picture
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_sources, "picture", lambda seed, *a: 255 - picture(seed, *a))
        make(tmp_path / "source")
    assert np.any(picture(0) != 255 - picture(0))
    after = opening.open_source(str(tmp_path / "source"))
    assert sorted(ref[:3] for ref in before.refs) == sorted(ref[:3] for ref in after.refs)
    assert before.content != after.content


def test_shards_that_are_not_there_and_half_downloads_stop(tmp_path):
    root = small_sources.parquet(tmp_path)
    (root / "train-00001-of-00002.parquet").rename(root / "train-00001-of-00002.parquet.part")
    source = opening.open_source(str(root))
    found = " ".join(text for level, text in source.remarks.lines() if level == BREAKS)
    assert "train-00001-of-00002.parquet.part" in found
    assert source.remarks.count("missing") == 1
    assert "missing" not in opening.open_source(str(root), splits=["validation"]).remarks
