"""What the name of a file or folder says: hidden, an image, an archive, a split, a download."""

import pathlib

from data_prep.schema import IMAGE_SUFFIXES, TRAIN, VALIDATION
from data_prep.source import containers
from data_prep.source.entries import Entry
from data_prep.source.remarks import Remarks

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
# How image files begin; of WebP and AVIF, behind four bytes of a size.
_BEGINNINGS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*"),
    b"\0\0\0\x0cjP  ",
)

IMAGE, TAR, PACKED, UNFINISHED, OTHER = "image", "tar", "packed", "unfinished", "other"


def split_of(name: str) -> str | None:
    """The split that a folder's or file's name means, in any case; None where it means none."""
    return _SPLITS.get(name.lower())


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


def is_image(entry: Entry, remarks: Remarks) -> bool:
    """Whether a file where images belong is one; what is odd about it, or it is not, is noted."""
    kind = kind_of(entry.name)
    if kind == IMAGE:
        return True
    if kind == OTHER and _begins_as_image(containers.beginning(entry)):
        remarks.note("suffix", entry.name)
        return True
    noted = {TAR: "archive", PACKED: "archive", UNFINISHED: "half"}
    remarks.note(noted.get(kind, "other"), entry.name)
    return False


def _begins_as_image(data: bytes) -> bool:
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return True
    if data.startswith(b"BM") and data[6:10] == b"\0\0\0\0":
        return True
    return data[4:12] in (b"ftypavif", b"ftypheic") or data.startswith(_BEGINNINGS)
