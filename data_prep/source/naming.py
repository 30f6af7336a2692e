"""What a file or folder is, by its name, and what a file is by its first bytes."""

import pathlib
import re
import tarfile
import unicodedata

from base.errors import UserError
from data_prep.schema import IMAGE_SUFFIXES, TRAIN, VALIDATION

_SPLITS = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
}
_SYSTEM = frozenset(
    (
        *("__macosx", "@eadir", "#recycle", "#snapshot", "lost+found", "$recycle.bin"),
        *("system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
    )
)
_UNFINISHED = frozenset(
    (".part", ".crdownload", ".tmp", ".aria2", ".download", ".filepart", ".incomplete")
)
_PACKED = frozenset((".tgz", ".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".rar", ".tbz2", ".txz"))
_TAR = ".tar"
BEGINNING = 512  # bytes that are looked at
ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # also an empty one
PARQUET = b"PAR1"
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"7z\xbc\xaf": "7-Zip",
    b"Rar!": "RAR",
}
# How image files begin; of WebP and AVIF, behind four bytes of a size.
_IMAGE_BEGINNINGS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*"),
    b"\0\0\0\x0cjP  ",
)
_OTHERS = {PARQUET: "a parquet file", ZIP[0]: "a zip", b"%PDF": "a PDF"}
_POINTER = b"version https://git-lfs"
_PAGE = re.compile(rb"\s*<(!doctype html|html|head|\?xml)", re.IGNORECASE)
# As the labels of Beyer et al. 2020 ("ReaL") for ILSVRC's validation images are published.
_LISTS = re.compile(rb"\s*\[\s*\[\s*[\d\]]")
_ARCHIVES = (".tar", ".zip", ".parquet")

IMAGE, TAR, PACKED, UNFINISHED, OTHER = "image", "tar", "packed", "unfinished", "other"


def split_of(name: str) -> str | None:
    """The split that a folder's or file's name means, in any case; None where it means none."""
    return _SPLITS.get(name.strip().lower())


def spelt_alike(name: str) -> str:
    """The same text for names that only case, spaces or Unicode's form (macOS's) tell apart."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


def is_test(name: str) -> bool:
    """Whether a folder's name means a test split."""
    return name.lower() in ("test", "testing")


def hidden(name: str) -> bool:
    """Whether a file or folder is the system's own and nothing of a data set's."""
    return name.startswith(".") or name.lower() in _SYSTEM


def kind_of(name: str) -> str:
    """What a file is by its name."""
    suffix = pathlib.PurePosixPath(name).suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return IMAGE
    if suffix == _TAR:
        return TAR
    if suffix in _PACKED:
        return PACKED
    return UNFINISHED if suffix in _UNFINISHED else OTHER


def compression(data: bytes) -> str:
    """By what a file is compressed, or nothing."""
    return next((kind for magic, kind in _COMPRESSED.items() if data.startswith(magic)), "")


def begins_as_image(data: bytes) -> bool:
    """Whether a file begins as an image does."""
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return True
    if data.startswith(b"BM") and data[6:10] == b"\0\0\0\0":
        return True
    return data[4:12] in (b"ftypavif", b"ftypheic") or data.startswith(_IMAGE_BEGINNINGS)


def is_archive(data: bytes) -> bool:
    """Whether a file begins as a zip, a parquet file or a tar, which may begin with any name."""
    if data.startswith((*ZIP, PARQUET)):
        return True
    try:
        tarfile.TarInfo.frombuf(data[:BEGINNING], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def refuse_other(path: pathlib.Path, data: bytes, wanted: str, where: str = "") -> None:
    """Raises UserError where a file is plainly something else than it should be.

    Args:
        path: of the file.
        data: its first BEGINNING bytes, or those of what lies within it.
        wanted: what it should be.
        where: what lies within it does so.
    """
    if data.startswith(_POINTER):
        raise UserError(
            f"{path}{where} is a pointer of Git LFS, not the file itself: run git lfs pull there, "
            "or download it again"
        )
    if kind := _kind(data):
        raise UserError(f"{path}{where} is no {wanted} but {kind}: {_remedy(path, data)}")


def _kind(data: bytes) -> str:
    """What a file is, in words; nothing where its bytes do not say it."""
    if not data:
        return "empty"
    if _PAGE.match(data):
        return "a web page"
    if begins_as_image(data):
        return "an image"
    for magic, kind in _OTHERS.items():
        if data.startswith(magic):
            return kind
    return _text(data)


def _text(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data[: len(data) // 2 * 2].decode("utf-16", "replace")
    elif b"\0" in data:
        return ""
    else:
        text = data.decode("utf-8-sig", "replace").rstrip("\ufffd")  # it may end within a letter
        text = data.decode("latin-1") if "\ufffd" in text else text
    first = text.strip().partition("\n")[0].rstrip()
    printable = sum(letter.isprintable() or letter.isspace() for letter in text)
    if printable < 0.95 * len(text):
        return ""
    return f"text ({first[:40]!r}{'...' if len(first) > 40 else ''})"


def _remedy(path: pathlib.Path, data: bytes) -> str:
    suffix = path.suffix.lower()
    if _LISTS.match(data):
        return "labels of images that are in a data set go to evaluate.py, as --real_labels"
    if suffix in _ARCHIVES:
        return "download it again"
    if suffix in IMAGE_SUFFIXES:
        return "give the folder that holds train/ and val/"
    return "give a directory, a tar or a zip of images, or parquet files"
