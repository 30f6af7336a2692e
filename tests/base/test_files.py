"""What is written is there whole or not at all, whatever happens meanwhile."""

import errno
import os
import pathlib
import signal
import subprocess
import sys
import threading
from typing import ClassVar

import pytest
from etils import epath
from PIL import Image

from base import files
from base.errors import UserError
from base.files import atomic, atomic_folder, atomic_path, save_png

KINDS = [pathlib.Path, epath.Path, str]


def names(directory) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_there_when_the_block_ends_and_not_before(tmp_path, kind):
    path = tmp_path / "file"
    path.write_text("before")
    with atomic(kind(path), "w") as file:
        file.write("é")
        file.flush()
        assert path.read_text() == "before"
    assert path.read_bytes() == "é".encode()
    with atomic_path(kind(path)) as temporary:
        pathlib.Path(temporary).write_text("later")
        assert path.read_bytes() == "é".encode()
    assert path.read_text() == "later"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("writer", [atomic, atomic_path])
def test_an_exception_leaves_what_was_there(tmp_path, writer):
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt), writer(path):
        raise KeyboardInterrupt
    assert path.read_text() == "before"
    assert names(tmp_path) == ["file"]


def test_a_process_that_is_killed_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_text("before")
    program = (
        "import os, signal\nfrom base.files import atomic\n"
        f"with atomic({str(path)!r}) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "before"
    with atomic(path) as file:
        file.write(b"after")
    assert path.read_text() == "after"


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_names_the_file_and_leaves_what_was_there(tmp_path, monkeypatch, kind):
    path = tmp_path / "file"
    path.write_text("before")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for writer in (atomic, atomic_path):
        with pytest.raises(OSError) as raised, writer(kind(path)) as opened:
            if writer is atomic_path:
                pathlib.Path(opened).write_text("half")
        assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(path))
    with pytest.raises(OSError) as raised, atomic(kind(path)):
        raise OSError(errno.EDQUOT, "of the write")
    assert (raised.value.errno, raised.value.filename) == (errno.EDQUOT, str(path))
    assert path.read_text() == "before"
    assert names(tmp_path) == ["file"]


def test_a_place_that_is_not_there_is_named_and_another_files_error_stays(tmp_path):
    path = tmp_path / "nowhere" / "file"
    with pytest.raises(FileNotFoundError) as raised, atomic(path):
        pass
    assert raised.value.filename == str(path)
    with pytest.raises(FileNotFoundError) as raised, atomic(tmp_path / "file"):
        (tmp_path / "source").read_text()
    assert raised.value.filename == str(tmp_path / "source")


CODES = [errno.ENOTSUP, errno.EINVAL, errno.ENOSYS, errno.EPERM]


@pytest.mark.parametrize("code", [*CODES, errno.EEXIST])
def test_a_file_system_that_renames_over_nothing_is_written_all_the_same(
    tmp_path, monkeypatch, code
):
    replaced = os.replace

    def careful(source, target):
        if os.path.exists(target):
            raise OSError(code, os.strerror(code), source, None, target)
        replaced(source, target)

    monkeypatch.setattr(os, "replace", careful)
    for content in ("before", "after"):
        with atomic(tmp_path / "file", "w") as file:
            file.write(content)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["after"]


@pytest.mark.parametrize("code", CODES)
def test_a_file_system_without_fsync_is_written_all_the_same(tmp_path, monkeypatch, code):
    def unsupported(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", unsupported)
    with atomic(tmp_path / "file") as file:
        file.write(b"there")
    assert (tmp_path / "file").read_bytes() == b"there"


def test_of_many_writers_at_once_each_leaves_a_whole_file(tmp_path):
    path, failed = tmp_path / "file", []

    def write(letter):
        for _ in range(20):
            with atomic(path) as file:
                for _ in range(100):
                    file.write(letter * 100)

    def read():
        while any(thread.is_alive() for thread in writers):
            if path.exists() and len(set(content := path.read_bytes())) != 1:
                failed.append(content)

    writers = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in writers:
        thread.start()
    read()
    for thread in writers:
        thread.join()
    assert not failed and path.stat().st_size == 10_000
    assert names(tmp_path) == ["file"]


def test_a_folder_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "folder"
    with pytest.raises(KeyboardInterrupt), atomic_folder(path) as unfinished:
        (unfinished / "half").touch()
        raise KeyboardInterrupt
    assert names(tmp_path) == []
    path.mkdir()
    with atomic_folder(path) as unfinished:
        (unfinished / "whole").touch()
        assert names(path) == []
    assert names(path) == ["whole"]
    with pytest.raises(OSError) as raised, atomic_folder(path):
        pass
    assert raised.value.filename == str(path)
    assert names(path) == ["whole"] and names(tmp_path) == ["folder"]


def test_what_killed_processes_have_left_goes_once_it_is_old(tmp_path):
    for name in ("file.0.tmp", "file.1.tmp", "other.0.tmp"):
        (tmp_path / name).touch()
    for name in ("file.0.tmp", "other.0.tmp"):
        os.utime(tmp_path / name, (0, 0))
    with atomic_path(tmp_path / "file") as temporary:
        temporary.touch()
    assert names(tmp_path) == ["file", "file.1.tmp", "other.0.tmp"]


def test_a_bucket_gets_no_local_file(tmp_path, monkeypatch):
    class Bucket(type(epath.Path("gs://bucket"))):
        """Stands for one: what it opens has no descriptor."""

        opened: ClassVar[list[str]] = []

        def open(self, mode="r", **options):
            self.opened.append(os.fspath(self))
            return (tmp_path / self.name).open(mode, **options)

        def replace(self, target):
            (tmp_path / self.name).replace(tmp_path / target.name)

    with atomic(Bucket("gs://bucket/folder/file")) as file:
        file.write(b"there")
    (temporary,) = Bucket.opened
    assert temporary.startswith("gs://bucket/folder/file.")
    assert names(tmp_path) == ["file"]
    assert not pathlib.Path("gs:").exists()


def test_an_error_without_a_number_stays_what_it_is(tmp_path):
    with pytest.raises(OSError, match="cannot write mode"), files.atomic(tmp_path / "file"):
        raise OSError("cannot write mode F as PNG")


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
