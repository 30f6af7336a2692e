"""What lies where in a directory, a tar or a zip, without unpacking it.

`entries(path)` lists the regular files that a container holds, each as a position; `read(entry)`
gives its bytes. Both archives are read by their headers alone: a million files in 150 GB are
listed in minutes, in memory that does not grow.
"""

import os
import pathlib
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from base.errors import UserError

PLAIN, DEFLATED = "", "deflated"


class Entry(NamedTuple):
    """One file.

    Attributes:
        name: its path within the container, with slashes.
        path: the file on the disk that its bytes are in.
        offset: where they begin, in bytes; for a zip, where its local header does.
        size: of the file itself, in bytes.
        packing: PLAIN, or DEFLATED for what is behind a local header of a zip.
    """

    name: str
    path: str
    offset: int
    size: int
    packing: str = PLAIN


def entries(path: pathlib.Path) -> Iterator[Entry]:
    """The regular files of a directory (at any depth, sorted), a tar or a zip.

    Raises:
        UserError: the path is none of these, unreadable or truncated.
    """
    if path.is_dir():
        yield from _directory_entries(path)
    elif is_zip(path):
        yield from _zip_entries(path)
    else:
        yield from tar_entries(path)


def is_zip(path: pathlib.Path) -> bool:
    """Whether a file begins as a zip archive does."""
    with open(path, "rb") as file:
        return file.read(4) == _LOCAL_HEADER


def read(entry: Entry) -> bytes:
    """A file's bytes. Raises UserError where the container has shrunk, changed or gone."""
    try:
        with open(entry.path, "rb", buffering=0) as file:
            file.seek(entry.offset)
            if entry.packing == DEFLATED:
                data = _read_zipped(file.read(30), file.read, entry.size)
            else:
                data = file.read(entry.size)
    except (OSError, zlib.error, struct.error) as error:
        raise UserError(f"cannot read {entry.name} in {entry.path}: {error}") from None
    if len(data) != entry.size:
        raise UserError(
            f"{entry.path} ends within {entry.name} (at byte {entry.offset + len(data)}): "
            "it is truncated, or changed since it was listed"
        )
    return data


def tar_entries(path: pathlib.Path, start: int = 0, length: int | None = None) -> Iterator[Entry]:
    """The regular files of a tar, which may lie within another file at `start`.

    Raises:
        UserError: it is truncated or no tar.
    """
    try:
        with open(path, "rb") as file:
            total = os.fstat(file.fileno()).st_size
            end = total if length is None else start + length
            if end > total:
                raise UserError(f"{path} is truncated at byte {total}: download it again")
            file.seek(start)
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    archive.members = []  # type: ignore[attr-defined]  # or it keeps them all
                    if member.offset >= end:
                        break  # there was no end marker, and this is the next tar's header
                    if member.isreg():
                        if member.offset_data + member.size > end:
                            raise UserError(
                                f"{path} is truncated within {member.name}: download it again"
                            )
                        yield Entry(member.name, str(path), member.offset_data, member.size)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except tarfile.TarError as error:
        where = f" (in the tar at its byte {start:,})" if start else ""
        raise UserError(f"{path} is truncated or no tar{where}: {error}") from None


def _directory_entries(root: pathlib.Path) -> Iterator[Entry]:
    for directory, inner, files in os.walk(root, followlinks=True):
        inner.sort()
        prefix = os.path.relpath(directory, root).replace(os.sep, "/")
        for file in sorted(files):
            path = os.path.join(directory, file)
            name = file if prefix == "." else f"{prefix}/{file}"
            yield Entry(name, path, 0, os.stat(path).st_size)


# Zip: PKWARE's APPNOTE.TXT, sections 4.3.7, 4.3.12, 4.3.14-16. The standard library's module
# keeps an object of a kilobyte for each of Kaggle's two million members.

_LOCAL_HEADER, _CENTRAL_HEADER = b"PK\x03\x04", b"PK\x01\x02"
_END, _END_64, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_STORED, _DEFLATE = 0, 8
_IN_EXTRA = 0xFFFFFFFF  # a 32-bit field that says: see the zip64 extra field
_MOST_GROWTH = 1032  # times a file grows at most where it is inflated


def _zip_entries(path: pathlib.Path) -> Iterator[Entry]:
    try:
        yield from _listed_members(path)
    except (OSError, struct.error, OverflowError):  # fields that are cut off, or point anywhere
        raise UserError(_damaged(path)) from None


def _damaged(path: pathlib.Path) -> str:
    return f"the directory of {path} is damaged: download it again"


def _listed_members(path: pathlib.Path) -> Iterator[Entry]:
    with open(path, "rb") as file:
        offset, count = _central_directory(file, path)
        file.seek(offset)
        for _ in range(count):
            fixed = file.read(46)
            if len(fixed) < 46 or fixed[:4] != _CENTRAL_HEADER:
                raise UserError(_damaged(path))
            method, _, _, _, packed, size, named, more, noted = struct.unpack_from(
                "<HHHIIIHHH", fixed, 10
            )
            (header,) = struct.unpack_from("<I", fixed, 42)
            name = file.read(named).decode("utf-8", "replace")
            extra = file.read(more)
            file.seek(noted, os.SEEK_CUR)
            if _IN_EXTRA in (size, packed, header):
                size, packed, header = _zip64_fields(extra, size, packed, header)
            if name.endswith("/"):
                continue
            if method not in (_STORED, _DEFLATE):
                raise UserError(
                    f"{path} holds {name} packed by method {method}: only deflate is known"
                )
            # Memory is had for so much at once: a size that cannot be must not be believed.
            if header + packed > offset or size > packed * _MOST_GROWTH:
                raise UserError(_damaged(path))
            yield Entry(name, str(path), header, size, DEFLATED)


def _central_directory(file: BinaryIO, path: pathlib.Path) -> tuple[int, int]:
    """(offset, number of members) of the central directory."""
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - 22 - 65535)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0:
        raise UserError(f"{path} is truncated: it has no end-of-zip record: download it again")
    count, _, offset = struct.unpack_from("<HII", tail, at + 10)
    locator = tail.find(_LOCATOR_64, max(0, at - 20), at)
    if locator >= 0:
        (end64,) = struct.unpack_from("<Q", tail, locator + 8)
        file.seek(end64)
        record = file.read(56)
        if record[:4] != _END_64:
            raise UserError(f"{path} has no zip64 record where it should: download it again")
        count, _, offset = struct.unpack_from("<QQQ", record, 32)
    return offset, count


def _zip64_fields(extra: bytes, size: int, packed: int, header: int) -> tuple[int, int, int]:
    """The three fields, those that say so replaced by the zip64 extra field's, in its order."""
    position, wide = 0, b""
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        if kind == 1:
            wide = extra[position + 4 : position + 4 + length]
        position += 4 + length
    fields = []
    for field in (size, packed, header):
        if field == _IN_EXTRA:
            (field,) = struct.unpack_from("<Q", wide)
            wide = wide[8:]
        fields.append(field)
    return fields[0], fields[1], fields[2]


def _read_zipped(header: bytes, read_more: Callable[[int], bytes], size: int) -> bytes:
    """What is behind a local header: stored, or deflated."""
    if header[:4] != _LOCAL_HEADER:
        raise OSError("its local zip header is not where the directory says")
    (method,) = struct.unpack_from("<H", header, 8)
    named, more = struct.unpack_from("<HH", header, 26)
    read_more(named + more)
    if method == _STORED:
        return read_more(size)
    # Deflate grows what it cannot pack by 5 bytes in each block, which is 16 KB or more.
    packed = read_more(size + size // 1000 + 64)
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size + 1)
