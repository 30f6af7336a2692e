"""The embedded sample: official in form, deterministic, not given away by colour."""

import collections
import io

import numpy as np
import pytest
from PIL import Image

from base.errors import UserError
from data_prep.layouts import opening
from data_prep.source import sample, sample_images
from data_prep.source.images import Source


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Source:
    directory = tmp_path_factory.mktemp("sample")
    sample.generate(directory, train_per_class=6, validation_per_class=2)
    return opening.open_source(str(directory))


def test_it_is_of_the_official_form(source):
    assert (source.layout, source.generated) == ("tars", True)
    assert len(source.classes.wnids) == len(sample_images.CLASSES) == 10
    assert source.classes.words[0] == "striped disk"
    counts = collections.Counter((ref.split, ref.wnid) for ref in source.refs)
    assert set(counts.values()) == {6, 2}


def test_it_is_the_same_every_time(source, tmp_path):
    sample.generate(tmp_path, train_per_class=6, validation_per_class=2)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (tmp_path.parent / source.path / path.name).read_bytes()


def test_it_says_that_it_is_generated(tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "generate", lambda directory: (directory / "x").touch())
    said: list[str] = []
    directory = sample.ensure(str(tmp_path), said.append)
    assert "generating" in said[0]
    assert sample.ensure(str(tmp_path), said.append) == directory
    assert len(said) == 1  # once made, it is taken as it is


def test_an_unfinished_one_is_made_again(tmp_path, monkeypatch):
    def fail(directory):
        (directory / "half").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(sample, "generate", fail)
    with pytest.raises(KeyboardInterrupt):
        sample.ensure(str(tmp_path), print)
    monkeypatch.setattr(sample, "generate", lambda directory: (directory / "x").touch())
    directory = sample.ensure(str(tmp_path), print)
    assert [path.name for path in directory.iterdir()] == ["x"]


def test_where_it_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot make"):
        sample.ensure(str(tmp_path / "file"), print)
    with pytest.raises(UserError, match="give a --source"):
        sample.ensure("gs://bucket/data", print)


def test_sizes_are_like_photographs(source):
    sizes = collections.Counter()
    for ref in source.refs:
        with Image.open(io.BytesIO(ref.read())) as image:
            sizes[image.size] += 1
    small = sum(count for size, count in sizes.items() if min(size) < 256)
    upright = sum(count for size, count in sizes.items() if size[1] > size[0])
    assert sizes.most_common(1)[0][0] == (500, 375)
    assert 0 < small < len(source.refs) / 4
    assert upright > 0


def test_the_mean_colour_gives_no_class_away():
    random = np.random.default_rng(0)
    means = np.array(
        [
            [sample_images.draw(label, random).mean((0, 1)) for _ in range(12)]
            for label in range(len(sample_images.CLASSES))
        ]
    )
    train, held_out = means[:, :8], means[:, 8:]
    centres = train.mean(axis=1)
    distances = np.linalg.norm(held_out[:, :, None] - centres, axis=-1)
    right = distances.argmin(axis=-1) == np.arange(len(centres))[:, None]
    assert right.mean() < 0.4  # one in ten by chance
