"""Zips, read in place by their directory: PKWARE's APPNOTE.TXT, sections 4.3.7, 4.3.12, 4.3.14-16.

The standard library's module keeps an object of a kilobyte for each of Kaggle's two million
members. The directory is read to its end by its size and not by the number of members, as macOS
writes more than 65,535 of them, and more than 4 GB, without the fields of zip64 that would say so:
it lets the numbers run over.
"""

import os
import pathlib
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from base.errors import UserError
from data_prep.source import naming
from data_prep.source.entries import DEFLATED, Entry, Folder, Item, relative

_LOCAL_HEADER, _CENTRAL_HEADER = b"PK\x03\x04", b"PK\x01\x02"
_END, _END_64, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_STORED, _DEFLATE = 0, 8
_IN_EXTRA = 0xFFFFFFFF  # a 32-bit field that says: see the zip64 extra field
_OVERFLOW = 1 << 32
_ENCRYPTED, _UTF8 = 1, 1 << 11  # bits of a member's flags
_MOST_GROWTH = 1032  # times a file grows at most where it is inflated


class _Directory(NamedTuple):
    """Where the central directory lies.

    Attributes:
        offset: of its first byte in the file.
        size: in bytes.
        wide: whether zip64's fields say where members lie.
    """

    offset: int
    size: int
    wide: bool


def is_zip(path: pathlib.Path) -> bool:
    """Whether a file begins as a zip archive does, also an empty one."""
    with open(path, "rb") as file:
        return file.read(4) in naming.ZIP


def walk(path: pathlib.Path) -> Iterator[Item]:
    """What a zip holds.

    Raises:
        UserError: it is truncated, damaged, encrypted, or packed otherwise than by deflate.
    """
    try:
        with open(path, "rb") as file:
            yield from _members(file, path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (struct.error, OverflowError):  # fields that are cut off, or point anywhere
        raise UserError(_damaged(path)) from None


def read_member(header: bytes, read_more: Callable[[int], bytes], size: int) -> bytes:
    """What is behind a local header: stored, or deflated.

    Args:
        header: its 30 fixed bytes.
        read_more: gives the bytes behind them.
        size: of the file in bytes.
    """
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


def _members(file: BinaryIO, path: pathlib.Path) -> Iterator[Item]:
    directory = _central_directory(file, path)
    file.seek(directory.offset)
    left, high, before = directory.size, 0, 0
    while left > 0:
        fixed = file.read(46)
        if fixed[:4] != _CENTRAL_HEADER:
            raise UserError(_damaged(path))
        flags, method = struct.unpack_from("<HH", fixed, 8)
        packed, size, named, more, noted = struct.unpack_from("<IIHHH", fixed, 20)
        (header,) = struct.unpack_from("<I", fixed, 42)
        name, extra = _name(file.read(named), flags), file.read(more)
        file.seek(noted, os.SEEK_CUR)
        left -= 46 + named + more + noted
        if _IN_EXTRA in (size, packed, header):
            size, packed, header = _zip64_fields(extra, size, packed, header)
        elif not directory.wide:
            # Members lie in order: an offset below the one before has run over.
            high += _OVERFLOW if header + high < before else 0
            header += high
            before = header
        if name.endswith("/"):
            yield Folder(name.rstrip("/"))
            continue
        if flags & _ENCRYPTED:
            raise UserError(f"{path} holds {name} encrypted: unpack it with its password")
        if method not in (_STORED, _DEFLATE):
            raise UserError(
                f"{path} holds {name} packed by method {method}: only deflate is known: unpack it"
            )
        # Memory is had for so much at once: a size that cannot be must not be believed.
        if header + packed > directory.offset or size > packed * _MOST_GROWTH:
            raise UserError(_damaged(path))
        yield Entry(name, str(path), header, size, DEFLATED)


def _name(raw: bytes, flags: int) -> str:
    """A member's name: UTF-8 where its flag says so or where it is, else DOS's own code page."""
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        name = raw.decode("utf-8", "replace") if flags & _UTF8 else raw.decode("cp437")
    if "/" not in name:  # some programs on Windows write it so, against the specification
        name = name.replace("\\", "/")
    return relative(name) + "/" * name.endswith("/")


def _central_directory(file: BinaryIO, path: pathlib.Path) -> _Directory:
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - 22 - 65535)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0:
        raise UserError(f"{path} is truncated: it has no end-of-zip record: download it again")
    length, offset = struct.unpack_from("<II", tail, at + 12)
    locator = tail.find(_LOCATOR_64, max(0, at - 20), at)
    if locator >= 0:
        (end64,) = struct.unpack_from("<Q", tail, locator + 8)
        file.seek(end64)
        record = file.read(56)
        if record[:4] != _END_64:
            raise UserError(f"{path} has no zip64 record where it should: download it again")
        length, offset = struct.unpack_from("<QQ", record, 40)
        return _Directory(offset, length, wide=True)
    # It lies right before its end record, wherever an offset that has run over says that it is.
    before = start + at - length
    if before < 0 or before % _OVERFLOW != offset:
        raise UserError(_damaged(path))
    return _Directory(before, length, wide=False)


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


def _damaged(path: pathlib.Path) -> str:
    return f"the directory of {path} is damaged: download it again"
