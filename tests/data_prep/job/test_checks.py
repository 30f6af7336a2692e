"""What is said of a source before the work begins."""

import collections
import dataclasses

import numpy as np
import pytest
from etils import epath

from data_prep import schema
from data_prep.image.jpeg_header import read as read_header
from data_prep.job import checks
from data_prep.layouts import opening
from data_prep.source import official, sample, synsets
from data_prep.source.images import ImageRef, Refs, Source
from tests.making import small_sources


def findings(source: Source) -> list[tuple[str, str]]:
    return [(finding.level, finding.text) for finding in checks.contents(source)]


def all_of_ilsvrc() -> Source:
    """The whole listing, without a byte of an image."""
    classes = synsets.ilsvrc2012()
    train = [
        ImageRef("train", wnid, f"{wnid}_{number}.JPEG", "", 0, 1)
        for wnid, count in zip(classes.wnids, classes.train_images, strict=True)
        for number in range(count)
    ]
    validation = [
        ImageRef(
            "validation",
            classes.wnids[number % 1000],
            f"ILSVRC2012_val_{number + 1:08d}.JPEG",
            "",
            0,
            1,
        )
        for number in range(50_000)
    ]
    return Source("tars", "", "", classes, Refs.of(train + validation))


@pytest.mark.slow(reason="a million images are listed")
def test_all_of_ilsvrc_is_complete_and_what_is_missing_is_named():
    source = all_of_ilsvrc()
    assert findings(source) == [
        ("ok", "train: 1,281,167 images in 1,000 of 1,000 classes, as the devkit says"),
        ("ok", "validation: 50,000 images, all of them"),
    ]
    rows = np.delete(np.arange(len(source.refs)), [0, 1_281_167 + 41])
    source = dataclasses.replace(source, refs=source.refs.take(rows))
    (train, validation) = findings(source)
    assert train[0] == validation[0] == "lacking"
    assert "n01440764 (1299, not 1300)" in train[1]
    assert "number 42" in validation[1]


def test_two_images_of_one_name_are_broken(tmp_path):
    source = opening.open_source(str(small_sources.tars(tmp_path)))
    twice = Refs.of([*source.refs, source.refs[0]])
    source = dataclasses.replace(source, refs=twice)
    assert findings(source)[0][0] == "BROKEN"


def test_headers_tell_the_kinds_and_the_unreadable(tmp_path):
    train = small_sources.train_images()
    train["n00000011"]["png.JPEG"] = small_sources.encoded(small_sources.picture(0), "PNG")
    train["n00000011"]["bad.JPEG"] = b"404 not found"
    train["n00000011"]["empty.JPEG"] = b""
    source = opening.open_source(str(small_sources.tars(tmp_path, train)))
    seen: list[int] = []
    found = list(checks.headers(source.refs, seen.append))
    assert sum(seen) == len(source.refs)
    assert found[0].text == "headers of 20 images: 17 colour JPEG, 1 PNG RGB"
    assert found[1].level == "BROKEN"
    assert "2 cannot be read" in found[1].text
    assert ".JPEG (" in found[1].text


def test_the_sample_is_spread_over_the_source(tmp_path):
    source = opening.open_source(str(small_sources.tars(tmp_path)))
    few = checks.sample_of(source, 6)
    assert len(few) == len(set(few)) == 6
    assert {ref.split for ref in few} == {"train", "validation"}
    assert few == checks.sample_of(source, 6)
    assert len(checks.sample_of(source, 1000)) == len(source.refs)


def test_the_official_files_are_known_by_size_and_md5(sample_dir, tmp_path):
    parts = sample_dir / "ilsvrc2012_sample"
    found = list(checks.official_files(parts, md5=True))
    assert [finding.level for finding in found] == ["lacking", "lacking", "ok"]
    assert "fa75699e90414af021442c21a62c3abf" in found[2].text
    devkit = f"{official.DEVKIT}.tar.gz"
    changed = bytearray((parts / devkit).read_bytes())
    changed[1000] ^= 1
    (tmp_path / devkit).write_bytes(changed)
    assert [finding.level for finding in checks.official_files(tmp_path, md5=False)] == ["ok"]
    (broken,) = checks.official_files(tmp_path, md5=True)
    assert broken.level == "BROKEN"


@pytest.mark.parametrize("need, level", [(1000, "ok"), (10**18, "BROKEN")])
def test_free_space_is_looked_at_where_the_directory_will_be(need, level, tmp_path):
    finding = checks.space(epath.Path(tmp_path / "not" / "yet"), need)
    assert finding.level == level
    assert str(tmp_path) in finding.text or level == "ok"


def test_what_will_be_written_is_measured(sample_dir):
    source = opening.open_source(str(sample_dir / "ilsvrc2012_sample"))
    settings = schema.ImageSettings()
    measured = checks.measure(checks.sample_of(source, 64), settings)
    assert 20_000 < measured.record_bytes < 40_000  # 29.3 KB is what 200 others had
    assert 0 < measured.seconds < 1
    raw = checks.measure(source.refs, dataclasses.replace(settings, encoding="raw"))
    assert raw.record_bytes > 5 * measured.record_bytes


def test_the_embedded_sample_has_nothing_to_find(tmp_path):
    sample.generate(tmp_path, train_per_class=6, validation_per_class=2)
    found = checks.contents(opening.open_source(str(tmp_path)))
    assert all(finding.level == "ok" for finding in found)


def test_the_embedded_sample_has_each_of_ilsvrcs_quirks():
    kinds, turned = collections.Counter(), 0
    for index in range(0, 1000, 50):
        data = sample._file(0, index, 0)
        kinds[checks.kind(data)] += 1
        header = read_header(data)
        turned += bool(header and header.has_exif)
    assert {"gray JPEG", "CMYK JPEG", "PNG RGB", "colour JPEG"} <= kinds.keys()
    assert turned > 0


@pytest.mark.parametrize("split", schema.SPLITS)
def test_only_the_splits_that_were_asked_for_are_looked_at(split, tmp_path):
    root = small_sources.tars(tmp_path)
    found = findings(opening.open_source(str(root), splits=[split]))
    assert [text.split(":")[0] for _, text in found] == [split]


def test_remarks_are_findings_and_what_is_allowed_stops_nothing(tmp_path):
    root = small_sources.folders(tmp_path)
    (root / "train/n00000011/gone.JPEG").symlink_to("/nowhere/x.JPEG")
    levels = [level for level, _ in findings(opening.open_source(str(root)))]
    assert levels[:2] == ["BROKEN", "ok"]
    allowed = findings(opening.open_source(str(root), allowed=["dangling"]))
    assert allowed[0][0] == "lacking"
    assert "gone.JPEG" in allowed[0][1]
