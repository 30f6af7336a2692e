"""A manifest is read whichever version has written it, and keeps its hash."""

import dataclasses
import hashlib
import json
import math
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base import typed_json
from base.errors import UserError
from data_prep import schema
from data_prep.schema import ImageSettings, Manifest, Shard
from tests.conftest import ROOT

OLD = ROOT / "tests" / "fixtures" / "format_0" / "manifest.json"
# As the runs that were trained on it have it in their data.json.
OLD_SHA256 = "9e8760bb66f3a65269816744006da3aa21152271f0108d19fb7d8e1b1f7ac889"


@pytest.fixture
def directory(tmp_path):
    shutil.copy(OLD, tmp_path / schema.MANIFEST_FILE)
    return tmp_path


def edit(directory, change):
    path = directory / schema.MANIFEST_FILE
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def test_a_manifest_of_format_0_says_what_it_always_said(directory):
    manifest = Manifest.load(directory)
    assert (manifest.name, manifest.generated, manifest.num_classes) == ("generated", True, 10)
    assert manifest.settings == ImageSettings()
    assert manifest.words[4] == "target, bullseye"
    assert manifest.label_order == schema.label_order_hash(manifest.wnids)
    assert (manifest.num_records("train"), manifest.num_records("validation")) == (1000, 200)
    assert manifest.shards["train"][0].file == "generated-train.tfrecord-00000-of-00001"
    assert manifest.selection["holdout"] == 0
    assert manifest.rejected == ()


def test_the_hash_is_that_of_the_text_without_a_format(directory):
    assert hashlib.sha256(OLD.read_bytes()).hexdigest() == OLD_SHA256
    manifest = Manifest.load(directory)
    assert manifest.sha256 == OLD_SHA256
    (directory / schema.MANIFEST_FILE).write_text(manifest.to_json())
    assert json.loads(manifest.to_json())["format"] == schema.MANIFEST_FORMAT
    again = Manifest.load(directory)
    assert (again, again.sha256) == (manifest, OLD_SHA256)


TEXTS = st.lists(st.text(), max_size=3).map(tuple)
SHARDS = st.lists(st.builds(Shard), max_size=2).map(tuple)


@given(
    st.builds(
        Manifest,
        source=st.dictionaries(st.text(), st.integers() | st.text()),
        wnids=TEXTS,
        words=TEXTS,
        shards=st.fixed_dictionaries(dict.fromkeys(schema.SPLITS, SHARDS)),
        rejected=st.lists(st.dictionaries(st.text(), st.text()), max_size=2).map(tuple),
        selection=st.dictionaries(st.text(), st.none() | st.lists(st.text(), max_size=2)),
    )
)
def test_what_is_written_is_read(manifest):
    text = manifest.to_json()
    again = typed_json.read(text, Manifest, schema.MANIFEST_FORMAT)
    assert again == manifest
    said = dataclasses.asdict(manifest)
    if not said["settings"]["restart_markers"]:  # as before there was that setting
        del said["settings"]["restart_markers"]
    before = json.dumps(said, indent=1, sort_keys=True) + "\n"
    assert again.sha256 == hashlib.sha256(before.encode()).hexdigest()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda v: v.update(format=2), "is of format 2, this version reads formats 0 to 1: update"),
        (lambda v: v.pop("wnids"), "has no wnids: build the data set again"),
        (lambda v: v["settings"].update(size="256"), "has a settings.size that cannot be used"),
        (lambda v: v["shards"]["train"][0].pop("bytes"), "has no bytes in its shards"),
        (lambda v: v.update(rejected=3), "has a rejected that cannot be used"),
        (lambda v: v.update(seed=math.nan), "has a seed that cannot be used"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_file_and_field(directory, change, says):
    edit(directory, change)
    with pytest.raises(UserError) as raised:
        Manifest.load(directory)
    assert str(raised.value).startswith(f"{directory / schema.MANIFEST_FILE} {says}")
    assert "\n" not in str(raised.value)


def test_unknown_keys_are_passed_over_and_a_missing_or_cut_off_file_is_named(directory):
    edit(directory, lambda values: values.update(mine=[1]))
    assert Manifest.load(directory).sha256 == OLD_SHA256
    path = directory / schema.MANIFEST_FILE
    path.write_text(path.read_text()[:100])
    with pytest.raises(UserError, match=r"is not JSON .*: build the data set again"):
        Manifest.load(directory)
    path.unlink()
    with pytest.raises(UserError, match="is missing: build the data set again"):
        Manifest.load(directory)
