"""A picture is there whole or not at all."""

import pytest
from PIL import Image

from base.errors import UserError
from base.pictures import save_png


def test_a_picture_is_written_into_a_directory_that_is_made(tmp_path):
    path = tmp_path / "new" / "picture.png"
    save_png(Image.new("RGB", (3, 2), "red"), str(path))
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == ("PNG", (3, 2))
    assert list(path.parent.iterdir()) == [path]


def test_a_picture_that_is_cut_off_leaves_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    path.write_bytes(b"before")

    def full(self, file, format):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(UserError, match=r"picture\.png cannot be written: No space left"):
        save_png(Image.new("RGB", (3, 2)), str(path))
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
