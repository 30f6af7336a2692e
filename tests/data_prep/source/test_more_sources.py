"""More sources that went wrong without a word, or with the wrong one."""

import io
import json
import pathlib
import tarfile
import zipfile

import pytest

from base.errors import UserError
from data_prep.layouts import opening
from data_prep.source import sample, synsets
from data_prep.source.images import Source
from data_prep.source.remarks import BREAKS
from tests.making import small_sources

PHOTO = small_sources.encoded(small_sources.picture(7))


def names(source: Source) -> set[tuple[str, str, str]]:
    return {ref[:3] for ref in source.refs}


def broken(source: Source) -> list[str]:
    return [text for level, text in source.remarks.lines() if level == BREAKS]


# A: classes and images.


@pytest.mark.parametrize(
    "pack", [lambda root: root, small_sources.tar_of, small_sources.zip_of], ids=["", "tar", "zip"]
)
def test_a_class_with_nothing_but_a_system_file_keeps_its_label_in_every_container(pack, tmp_path):
    root = small_sources.folders(tmp_path / "source")
    small_sources.write(root, {"train/n00000012/Thumbs.db": b"x"})
    source = opening.open_source(str(pack(root)))
    assert source.classes.labels["n00000022"] == 2
    assert source.remarks.count("empty") == 1


@pytest.mark.parametrize("other", ["N00000022", "n00000022 ", " n00000022", "n\uff100000022"])
@pytest.mark.parametrize(
    "make, where",
    [
        (small_sources.folders, "train"),
        (small_sources.folders, "val"),
        (small_sources.folders_with_devkit, "train"),
    ],
)
def test_a_class_in_another_spelling_is_named_with_the_one_that_it_is(make, where, other, tmp_path):
    root = make(tmp_path)
    (root / where / "n00000022").rename(root / where / other)
    (text,) = broken(opening.open_source(str(root)))
    assert "only case, spaces or Unicode's form" in text and "give both one name" in text
    assert "n00000022'" in text and other.strip() in text


def test_a_class_that_macos_has_spelt_is_named(tmp_path):
    files = {f"{split}/b/a.jpg": PHOTO for split in ("train", "val")}
    small_sources.write(tmp_path, files | {"train/caf\u00e9/a.jpg": PHOTO})
    small_sources.write(tmp_path, {"val/cafe\u0301/a.jpg": PHOTO})
    assert "'cafe\u0301', not 'caf\u00e9'" in broken(opening.open_source(str(tmp_path)))[0]


def test_a_split_with_a_space_behind_it_is_a_split(tmp_path):
    root = small_sources.folders(tmp_path)
    (root / "train").rename(root / "train ")
    assert names(opening.open_source(str(root))) == small_sources.everything().keys()


def test_a_zip_inside_validation_stops(tmp_path):
    root = small_sources.folders(tmp_path)
    small_sources.write(root, {"val/more.zip": b"PK\3\4"})
    assert "val/more.zip" in broken(opening.open_source(str(root)))[0]


def web(root: pathlib.Path, files: dict[str, bytes], name: str = "train-0.tar") -> pathlib.Path:
    small_sources.write(root, {name: sample.tar_bytes(files)})
    return root


@pytest.mark.parametrize(
    "files, named",
    [
        ({"a.png": PHOTO}, "a.png"),
        ({"b.cls": b"1"}, "b.cls"),
        ({"b.cls": b"1", "b.npy": b"numpy"}, "b.cls"),
    ],
    ids=["two images", "no image", "no image but another file"],
)
def test_a_webdatasets_sample_without_its_one_image_stops(files, named, tmp_path):
    root = web(tmp_path, {"a.jpg": PHOTO, "a.cls": b"0"} | files)
    (text,) = broken(opening.open_source(str(root)))
    assert f"({named})" in text and "--allow=sample" in text


def test_a_webdatasets_sample_twice_in_a_tar_does_not_get_the_others_label(tmp_path):
    with tarfile.open(tmp_path / "train-0.tar", "w") as archive:
        for label in (b"0", b"1"):
            sample._add(archive, "a.jpg", PHOTO)
            sample._add(archive, "a.cls", label)
    source = opening.open_source(str(tmp_path), allowed=["sample"])
    assert [ref.wnid for ref in source.refs] == ["label_0000"]
    assert broken(opening.open_source(str(tmp_path)))


def test_what_lacks_of_a_webdatasets_tars_stops(tmp_path):
    for number in (0, 1, 4):
        web(tmp_path, {"a.jpg": PHOTO, "a.cls": b"0"}, f"set-train-{number:03d}.tar")
    small_sources.write(tmp_path, {"set-train-005.tar.crdownload": b"x", "train-6.tar.gz": b"x"})
    found = " ".join(broken(opening.open_source(str(tmp_path))))
    assert "2 (set-train-002.tar, set-train-003.tar)" in found
    assert "set-train-005.tar.crdownload" in found and "train-6.tar.gz" in found


def test_what_lies_beside_class_tars_and_would_be_a_class_stops(tmp_path):
    small_sources.write(
        tmp_path,
        {
            "n00000001.tar": sample.tar_bytes({"a.jpg": PHOTO}),
            "n00000002/b.jpg": PHOTO,
            "n00000003.tar.part": b"x",
            "n00000004.tar.gz": b"\x1f\x8b",
            "N00000005.tar": b"x",
        },
    )
    source = opening.open_source(str(tmp_path))
    for part in ("n00000002", "n00000003.tar.part", "n00000004.tar.gz"):
        assert any(part in text for text in broken(source))
    assert source.remarks.count("beside") == 1


def test_an_empty_class_of_a_set_to_evaluate_on_is_said(tmp_path):
    wnids = synsets.ilsvrc2012().wnids
    small_sources.write(tmp_path, {f"{wnid}/a.jpg": PHOTO for wnid in wnids[:2]})
    (tmp_path / wnids[7]).mkdir()
    assert opening.open_source(str(tmp_path)).remarks.count("empty") == 1


# B: archives.


@pytest.mark.parametrize("half", [slice(0, 256), slice(256, 512)], ids=["first", "second"])
def test_a_header_that_is_half_zero_is_damage(half, tmp_path):
    path = small_sources.tar_of(small_sources.folders(tmp_path / "source"))
    with tarfile.open(path) as archive:
        place = archive.getmembers()[1].offset
    data = bytearray(path.read_bytes())
    data[place + half.start : place + half.stop] = bytes(256)
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"damaged at byte {place:,}"):
        opening.open_source(str(path))


@pytest.mark.parametrize("version", ["0.0", "0.1", "1.0"])
def test_a_sparse_image_stops(version, tmp_path):
    path = small_sources.tar_of(small_sources.folders(tmp_path / "source"))
    member = tarfile.TarInfo("train/n00000011/holes.JPEG")
    member.size = len(PHOTO)
    member.pax_headers = {
        "0.0": {"GNU.sparse.size": "9000"},
        "0.1": {"GNU.sparse.map": f"0,{len(PHOTO)}", "GNU.sparse.size": "9000"},
        "1.0": {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9000"},
    }[version]
    content = PHOTO
    if version == "1.0":
        content = f"1\n0\n{len(PHOTO)}\n".encode().ljust(512, b"\0") + PHOTO
    member.size = len(content)
    with tarfile.open(path, "a", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member, io.BytesIO(content))
    (text,) = broken(opening.open_source(str(path)))
    assert "holds sparsely: 1 (train/n00000011/holes.JPEG)" in text and "--sparse" in text


@pytest.mark.parametrize("form", ["././set//train//{}", "../../x/./train/{}", "/set/x/../train/{}"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_names_with_detours_are_as_unpacking_gives_them(kind, form, tmp_path):
    files = {
        f"{form.format(wnid)}/{name}": data
        for wnid, found in small_sources.train_images().items()
        for name, data in found.items()
    }
    path = tmp_path / f"set.{kind}"
    if kind == "tar":
        path.write_bytes(sample.tar_bytes(files))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    expected = {key for key in small_sources.everything() if key[0] == "train"}
    assert names(opening.open_source(str(path))) == expected


# D and E: labels, and tables.


def parquet_with(root: pathlib.Path, change) -> str:
    import pyarrow.parquet as pq

    path = sorted(small_sources.parquet(root).glob("*.parquet"))[1]
    pq.write_table(change(pq.read_table(path)), path)
    return path.name


def test_a_parquet_file_that_numbers_its_classes_otherwise_is_named(tmp_path):
    label = {"names": list(reversed(small_sources.WNIDS)), "_type": "ClassLabel"}
    said = json.dumps({"info": {"features": {"label": label}}})
    name = parquet_with(tmp_path, lambda t: t.replace_schema_metadata({"huggingface": said}))
    with pytest.raises(UserError, match=rf"{name} numbers its classes otherwise than"):
        opening.open_source(str(tmp_path))


def test_another_column_of_labels_changes_nothing(tmp_path):
    import pyarrow as pa

    def change(table):
        both = table.add_column(0, "label2", pa.array([0] * len(table)))
        both = both.append_column("labels", pa.array([[0, 1]] * len(table)))
        return both.replace_schema_metadata(table.schema.metadata)

    parquet_with(tmp_path, change)
    assert names(opening.open_source(str(tmp_path))) == small_sources.everything().keys()


@pytest.mark.parametrize("kind", ["float", "list", "bytes"])
def test_labels_of_other_types_are_taken_where_they_are_numbers_else_named(kind, tmp_path):
    import pyarrow as pa

    made = {"float": float, "list": lambda label: [label], "bytes": lambda label: b"%d" % label}

    def change(table):
        at = table.column_names.index("label")
        labels = pa.array([made[kind](label) for label in table["label"].to_pylist()])
        metadata = table.schema.metadata
        return table.set_column(at, "label", labels).replace_schema_metadata(metadata)

    name = parquet_with(tmp_path, change)
    if kind == "float":
        assert names(opening.open_source(str(tmp_path))) == small_sources.everything().keys()
    else:
        with pytest.raises(UserError, match=rf"row 0 of .*{name} has label .* keep one label"):
            opening.open_source(str(tmp_path))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"),
        lambda data: data.replace(b"\n", b"\r"),
        lambda data: data.replace(b",", b", "),
        lambda data: data.replace(b",", b".JPEG,").replace(b"Id.JPEG", b"Id"),
    ],
    ids=["mark and crlf", "cr", "spaces", "suffixes"],
)
def test_kaggles_table_as_programs_save_it(change, tmp_path):
    root = small_sources.kaggle(tmp_path)
    table = root / "LOC_val_solution.csv"
    table.write_bytes(change(table.read_bytes().replace(b"\r\n", b"\n")))
    assert names(opening.open_source(str(root))) == small_sources.everything().keys()


def test_a_table_that_no_program_reads_is_named(tmp_path):
    root = small_sources.kaggle(tmp_path)
    with (root / "LOC_val_solution.csv").open("a") as file:
        file.write("x," + "1 " * 100_000)
    with pytest.raises(UserError, match=r"LOC_val_solution\.csv .* damaged .* download it again"):
        opening.open_source(str(root))


def test_tiny_imagenets_annotations_with_spaces_for_tabs(tmp_path):
    root = small_sources.tiny_imagenet(tmp_path)
    table = root / "tiny/val/val_annotations.txt"
    table.write_text(table.read_text().replace("\t", "    "))
    assert names(opening.open_source(str(root))) == small_sources.everything().keys()


def test_a_webdatasets_two_names_of_one_label_are_named(tmp_path):
    said = {name: json.dumps({"label": 0, "class_name": name}).encode() for name in ("cat", "dog")}
    files = {"a.jpg": PHOTO, "a.json": said["cat"], "b.jpg": PHOTO, "b.json": said["dog"]}
    with pytest.raises(UserError, match=r"b\.jpg .* label 0 .* 'dog', which others call 'cat'"):
        opening.open_source(str(web(tmp_path, files)))


# F: remedies.


def test_of_an_archive_of_no_known_layout_the_first_names_are_shown(tmp_path):
    (tmp_path / "set.tar").write_bytes(sample.tar_bytes({"train\\n1\\a.jpg": PHOTO}))
    with pytest.raises(UserError, match=r"no known layout \(it holds train.n1.a\.jpg"):
        opening.open_source(str(tmp_path / "set.tar"))
