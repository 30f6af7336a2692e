"""Tars, read in place, to their very end.

Python's module stops without a word at a header that it cannot read, as if the tar ended there. So
what it stopped at is looked at: an end is two blocks of zeros (tar pads them to 10,240 bytes), and
behind it comes nothing, or another tar (`cat a.tar b.tar`). Anything else is damage.
"""

import os
import pathlib
import posixpath
import tarfile
from collections.abc import Generator, Iterator
from typing import BinaryIO

from base.errors import UserError
from data_prep.source import naming
from data_prep.source.entries import (
    APPENDED,
    DANGLING,
    SPARSE,
    SPECIAL,
    Entry,
    Folder,
    Item,
    Passed,
    readable,
    relative,
)

_BLOCK = 512
_RECORD = 20 * _BLOCK  # to a multiple of which tar pads an archive
_LONGEST_PADDING = 1 << 20  # by tar's option --blocking-factor, as for tapes
_AGAIN = "download it again"


def walk(path: pathlib.Path, start: int = 0, length: int | None = None) -> Iterator[Item]:
    """What a tar holds, which may lie within another file at `start`.

    Links to members of the tar are resolved, at the end.

    Raises:
        UserError: it is truncated, damaged or no tar.
    """
    links: dict[str, str] = {}
    for item in _members(path, start, length):
        if isinstance(item, _Link):
            links[item.name] = item.target
        else:
            yield item
    if links:
        yield from _resolved(path, start, length, links)


def _resolved(
    path: pathlib.Path, start: int, length: int | None, links: dict[str, str]
) -> Iterator[Item]:
    """The members that links mean, under the links' names; by a second look through the headers."""
    names: dict[str, list[str]] = {}
    for name, target in links.items():
        for _ in links:  # a link may mean another, but not for ever
            if target not in links:
                break
            target = links[target]
        names.setdefault(target, []).append(name)
    for item in _members(path, start, length):
        if isinstance(item, Entry) and item.name in names:
            for name in names.pop(item.name):
                yield item._replace(name=name)
    for left in names.values():
        for name in left:
            yield Passed(name, DANGLING)


class _Link:
    """A hard or symbolic link among the members: its name, and that of the member it means."""

    def __init__(self, member: tarfile.TarInfo):
        self.name = relative(readable(member.name))
        target = member.linkname
        if member.issym():
            target = posixpath.join(posixpath.dirname(member.name), target)
        self.target = relative(readable(target))


def _members(path: pathlib.Path, start: int, length: int | None) -> Iterator[Item | _Link]:
    try:
        with open(path, "rb") as file:
            total = os.fstat(file.fileno()).st_size
            end = total if length is None else start + length
            if end > total:
                raise UserError(f"{path} is truncated at byte {total}: {_AGAIN}")
            position: int | None = start
            while position is not None:
                stop = yield from _one_archive(file, path, position, end)
                position = _next_archive(file, path, start, stop, end, inner=length is not None)
                if position is not None:
                    yield Passed(f"byte {position:,}", APPENDED)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def _one_archive(
    file: BinaryIO, path: pathlib.Path, start: int, end: int
) -> Generator[Item | _Link, None, int]:
    """The members up to an end marker or to what is no header; returns where that is."""
    file.seek(start)
    member_end = start
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]  # or it keeps them all
                if member.offset >= end:
                    break  # there was no end marker, and this is the next tar's header
                member_end = archive.offset
                name = relative(readable(member.name))
                if member.islnk() or member.issym():
                    yield _Link(member)
                elif member.isdir():
                    yield Folder(name)
                elif not member.isreg() or member.issparse():
                    yield Passed(name, SPARSE if member.issparse() else SPECIAL)
                else:
                    if member.offset_data + member.size > end:
                        raise UserError(f"{path} is truncated within {name}: {_AGAIN}")
                    yield Entry(name, str(path), member.offset_data, member.size)
    except tarfile.TarError as error:
        if member_end == start:
            _refuse_other(file, path, start, end)
        where = _where(start)
        raise UserError(f"{path} is truncated or no tar{where} ({error}): {_AGAIN}") from None
    return member_end


def _where(start: int) -> str:
    return f" (in the tar at its byte {start:,})" if start else ""


def _refuse_other(file: BinaryIO, path: pathlib.Path, start: int, end: int) -> None:
    """Raises UserError where what should be a tar is plainly something else."""
    file.seek(start)
    data = file.read(min(end - start, naming.BEGINNING))
    if kind := naming.compression(data):
        unpack = {"gzip": "gunzip", "bzip2": "bunzip2", "zstandard": "unzstd"}.get(kind, "7z x")
        raise UserError(f"{path}{_where(start)} is compressed ({kind}): unpack it ({unpack})")
    naming.refuse_other(path, data, "tar", _where(start))


def _next_archive(
    file: BinaryIO, path: pathlib.Path, start: int, stop: int, end: int, *, inner: bool
) -> int | None:
    """Where another tar begins behind one that stopped at `stop`; None where nothing follows."""
    file.seek(stop)
    rest = file.read(min(end - stop, _LONGEST_PADDING + _RECORD))
    if not rest:
        if inner:
            return None
        raise UserError(f"{path} ends at byte {end:,} without an end marker: {_AGAIN}")
    if stop == start:
        _refuse_other(file, path, start, end)
    data = rest.lstrip(b"\0")
    zeros = len(rest) - len(data)
    if not data:
        if stop + len(rest) < end:
            raise UserError(
                f"{path} holds nothing but zeros from byte {stop:,} on, {end - stop:,} of them: "
                f"the download stopped there: {_AGAIN}"
            )
        return None
    follows = stop + zeros // _BLOCK * _BLOCK
    if zeros >= 2 * _BLOCK and (follows - start) % _RECORD == 0 and zeros < 2 * _BLOCK + _RECORD:
        try:
            tarfile.TarInfo.frombuf(
                rest[follows - stop : follows - stop + _BLOCK], "utf-8", "surrogateescape"
            )
        except tarfile.HeaderError:
            pass
        else:
            return follows
    kind = "zeros" if zeros >= _BLOCK else "something else"
    raise UserError(
        f"{path} is damaged at byte {stop:,}: {kind} where the next file's header should "
        f"be: {_AGAIN}"
    )
