"""A tar and a zip are read to their end, or an error says where they stop."""

import io
import pathlib
import struct
import tarfile
import zipfile

import pytest

from base.errors import UserError
from data_prep.source import containers, sample, tar_files
from data_prep.source.entries import Entry, Folder, Passed

FILES = {f"set/train/a/{number}.jpg": bytes([number]) * (700 * number) for number in range(1, 9)}


def contents(path: pathlib.Path) -> dict[str, bytes]:
    return {entry.name: containers.read(entry) for entry in containers.entries(path)}


def passed(path: pathlib.Path) -> list[tuple[str, str]]:
    return [tuple(item) for item in containers.walk(path) if isinstance(item, Passed)]


def headers(data: bytes) -> list[int]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [member.offset for member in archive]


def overwritten(data: bytes, start: int, new: bytes) -> bytes:
    return data[:start] + new + data[start + len(new) :]


WHOLE = sample.tar_bytes(FILES)
AT = headers(WHOLE)
END = len(WHOLE.rstrip(b"\0")) // 512 * 512 + 512  # behind the last member


@pytest.mark.parametrize(
    "data, words",
    [
        (overwritten(WHOLE, AT[3], bytes(512)), f"byte {AT[3]:,}"),
        (overwritten(WHOLE, AT[3], bytes(2 * 512)), f"byte {AT[3]:,}"),
        (overwritten(WHOLE, AT[5], b"\xff" * 512), f"byte {AT[5]:,}"),
        (overwritten(WHOLE, AT[2] + 150, b"7777"), f"byte {AT[2]:,}"),
        (WHOLE[: AT[4]], "without an end marker"),
        (WHOLE[: AT[4] + 900], "truncated within"),
        (WHOLE[: AT[4]] + bytes(3 << 20), "nothing but zeros"),
        (WHOLE + b"<html>" * 200, "damaged"),
    ],
    ids=range(8),
)
def test_a_spoilt_tar_is_an_error_that_says_where(data, words, tmp_path):
    path = tmp_path / "set.tar"
    path.write_bytes(data)
    with pytest.raises(UserError, match="download it again") as caught:
        contents(path)
    assert words in str(caught.value)
    assert "set.tar" in str(caught.value)


def test_a_second_tar_behind_the_first_is_read_too(tmp_path):
    path = tmp_path / "two.tar"
    more = {"set/train/b/1.jpg": b"other" * 999}
    path.write_bytes(WHOLE + sample.tar_bytes(more))
    assert contents(path) == FILES | more
    assert [reason for _, reason in passed(path)] == ["appended"]


@pytest.mark.parametrize("factor", [1, 20, 256])
def test_any_padding_behind_the_end_marker_is_an_end(factor, tmp_path):
    path = tmp_path / "set.tar"
    data = WHOLE[:END] + bytes(1024)
    path.write_bytes(data + bytes(-len(data) % (factor * 512)))
    assert contents(path) == FILES


def test_links_among_members_are_resolved_or_named(tmp_path):
    path = tmp_path / "links.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind, target in (
            ("./early.jpg", tarfile.SYMTYPE, "set/train/a/2.jpg"),
            ("set/train/b/hard.jpg", tarfile.LNKTYPE, "set/train/a/3.jpg"),
            ("set/train/b/soft.jpg", tarfile.SYMTYPE, "../a/4.jpg"),
            ("set/train/b/chain.jpg", tarfile.SYMTYPE, "hard.jpg"),
            ("set/train/b/gone.jpg", tarfile.SYMTYPE, "/data/5.jpg"),
            ("set/train/b/round.jpg", tarfile.SYMTYPE, "round.jpg"),
            ("set/train/b/pipe", tarfile.FIFOTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
        for name, data in FILES.items():
            sample._add(archive, name, data)
    found = contents(path)
    assert {name: found[name] for name in FILES} == FILES
    links = {name: data for name, data in found.items() if name not in FILES}
    assert links == {
        "early.jpg": FILES["set/train/a/2.jpg"],
        "set/train/b/hard.jpg": FILES["set/train/a/3.jpg"],
        "set/train/b/soft.jpg": FILES["set/train/a/4.jpg"],
        "set/train/b/chain.jpg": FILES["set/train/a/3.jpg"],
    }
    assert sorted(passed(path)) == [
        ("set/train/b/gone.jpg", "dangling"),
        ("set/train/b/pipe", "special"),
        ("set/train/b/round.jpg", "dangling"),
    ]


def test_an_inner_tar_may_lack_its_marker_but_not_a_header(tmp_path):
    path = tmp_path / "outer.tar"
    for inner, whole in ((WHOLE[:END], True), (overwritten(WHOLE, AT[3], bytes(512)), False)):
        path.write_bytes(sample.tar_bytes({"x.tar": inner}))
        (place,) = containers.entries(path)
        if whole:
            assert len(list(tar_files.walk(path, place.offset, place.size))) == len(FILES)
        else:
            with pytest.raises(UserError, match="damaged at byte"):
                list(tar_files.walk(path, place.offset, place.size))


def test_names_that_are_not_utf_8_are_shown_as_latin_1(tmp_path):
    path = tmp_path / "old.tar"
    with tarfile.open(path, "w", encoding="latin-1", format=tarfile.GNU_FORMAT) as archive:
        sample._add(archive, "train/gâteau/é.jpg", b"x")
    folder = tmp_path / "train"
    folder.mkdir()
    with open(bytes(folder) + b"/\xe9.jpg", "wb") as file:
        file.write(b"x")
    assert contents(path) == {"train/gâteau/é.jpg": b"x"}
    assert contents(folder) == {"é.jpg": b"x"}


def test_a_zip_with_more_members_than_its_count_can_say(tmp_path):
    path = tmp_path / "mac.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(3):
            archive.writestr(f"train/{number}.jpg", bytes([number]))
    data = path.read_bytes()
    at = data.rindex(b"PK\x05\x06")  # as macOS writes: the counts run over, here to 1 of 3
    path.write_bytes(overwritten(data, at + 8, struct.pack("<HH", 1, 1)))
    assert len(contents(path)) == 3


def test_a_zip_beyond_four_gigabytes_without_the_fields_that_say_so(tmp_path):
    path = tmp_path / "mac.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train/first.jpg", b"first")
    first = path.read_bytes()[: path.read_bytes().index(b"PK\x01\x02")]
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("train/b.jpg", b"second")
    second = (tmp_path / "b.zip").read_bytes()
    local, rest = second[: second.index(b"PK\x01\x02")], second[second.index(b"PK\x01\x02") :]
    central = rest[: rest.index(b"PK\x05\x06")]
    gap = 5 * 2**30
    one = path.read_bytes()
    directory = one[one.index(b"PK\x01\x02") : one.index(b"PK\x05\x06")]
    directory += overwritten(central, 42, struct.pack("<I", gap % 2**32 + 1000))
    # Its offset runs over, too; the second member's lies behind 4 GB and below the first's.
    directory = overwritten(directory, 42, struct.pack("<I", 2000 + gap % 2**32))
    with open(path, "wb") as file:
        file.write(b"PK\x03\x04")
        file.seek(2000 + gap % 2**32)
        file.write(first)
        file.seek(gap + 1000)
        file.write(local)
        start = file.tell()
        file.write(directory)
        end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 2, 2, len(directory), start % 2**32, 0)
        file.write(end)
    assert contents(path) == {"train/first.jpg": b"first", "train/b.jpg": b"second"}


def test_encrypted_members_are_named(tmp_path):
    path = tmp_path / "secret.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train/a.jpg", b"x")
    data = path.read_bytes()
    at = data.index(b"PK\x01\x02")
    path.write_bytes(overwritten(data, at + 8, struct.pack("<H", 1)))
    with pytest.raises(UserError, match=r"train/a\.jpg encrypted"):
        contents(path)


class _Unseekable(io.RawIOBase):
    """As a pipe: what is zipped into it has its sizes behind the data (data descriptors)."""

    def __init__(self) -> None:
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self.data += bytes(data)
        return len(data)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_from_a_pipe_with_backslashes_and_old_names(method, tmp_path):
    pipe = _Unseekable()
    with zipfile.ZipFile(pipe, "w", method) as archive:
        for name, data in (("set/a.jpg", b"a" * 999), ("x", b"b"), ("y", b"c")):
            info = zipfile.ZipInfo(name)
            info.filename = {"x": "set\\train\\b.jpg", "y": "se~t.jpg"}.get(name, name)
            archive.writestr(info, data, method)
    path = tmp_path / "win.zip"
    path.write_bytes(pipe.data.replace(b"se~t", b"se\x82t"))
    assert contents(path) == {"set/a.jpg": b"a" * 999, "set/train/b.jpg": b"b", "seét.jpg": b"c"}


def test_folders_are_listed_empty_or_not(tmp_path):
    (tmp_path / "set/empty").mkdir(parents=True)
    (tmp_path / "set/full").mkdir()
    (tmp_path / "set/full/a.jpg").write_bytes(b"x")
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(tmp_path / "set", ".")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in sorted((tmp_path / "set").rglob("*")):
            archive.write(path, path.relative_to(tmp_path / "set"))
    for path in (tmp_path / "set", tmp_path / "set.tar", tmp_path / "set.zip"):
        folders = {item.name for item in containers.walk(path) if isinstance(item, Folder)}
        assert folders - {""} == {"empty", "full"}
        assert [item.name for item in containers.walk(path) if isinstance(item, Entry)] == [
            "full/a.jpg"
        ]
