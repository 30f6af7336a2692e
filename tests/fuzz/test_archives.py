"""Damaged tars and zips are listed and read, or refused in one line."""

import io
import tarfile
import zipfile

import pytest

from base.errors import UserError
from data_prep.source import containers, sample, tar_files
from data_prep.source.entries import Entry

FILES = {
    "n01/a.jpg": b"first",
    "n01/" + "b" * 120 + ".jpg": bytes(range(256)) * 2,
    "empty.jpg": b"",
}


def zipped(method: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in FILES.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
        archive.comment = b"a comment"
    return stream.getvalue()


def zipped_64() -> bytes:
    """A zip of the form that archives beyond 4 GB have."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in FILES.items():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as file:
                file.write(data)
    return stream.getvalue()


def pax_tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in FILES.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(data), 1.5
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


ARCHIVES = {
    "tar": sample.tar_bytes(FILES),
    "pax": pax_tar(),
    "tar_in_tar": sample.tar_bytes({"n01.tar": sample.tar_bytes(FILES)}),
    "stored": zipped(zipfile.ZIP_STORED),
    "deflated": zipped(zipfile.ZIP_DEFLATED),
    "zip64": zipped_64(),
}


@pytest.mark.parametrize("form", ARCHIVES)
def test_an_archive(form, fuzz, tmp_path):
    path = tmp_path / "archive"

    def read(damaged: bytes) -> None:
        path.write_bytes(damaged)
        for entry in containers.entries(path):
            data = containers.read(entry)
            assert len(data) == entry.size
            if form == "tar_in_tar":
                for inner in tar_files.walk(path, entry.offset, entry.size):
                    if isinstance(inner, Entry):
                        containers.read(inner)

    fuzz(ARCHIVES[form], read, UserError)
