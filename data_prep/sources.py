"""Sources of images: what lies where, in each layout that ILSVRC comes in.

A layout is one function, `open_<layout>(directory) -> Source`, beside one that recognises it, both
in the table LAYOUTS. Adding a layout touches this file alone.

An image is an `ImageRef`: a position, not a file. Tars are read in place: the official train tar
is a tar of 1000 uncompressed tars, so every JPEG in it is one `pread`.
"""

import dataclasses
import hashlib
import pathlib
import re
import tarfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

from data_prep import synsets
from data_prep.commandline import UserError
from data_prep.schema import TRAIN, VALIDATION, label_order_hash

TRAIN_TAR = "ILSVRC2012_img_train.tar"
VALIDATION_TAR = "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12"
VALIDATION_NAME = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG", re.IGNORECASE)


class ImageRef(NamedTuple):
    """Where one image's file lies.

    Attributes:
        split: `train` or `validation`.
        wnid: its class.
        name: its file name, unique within split and class.
        path: the file to read from.
        offset: of its first byte, in bytes.
        size: in bytes.
    """

    split: str
    wnid: str
    name: str
    path: str
    offset: int
    size: int

    def read(self) -> bytes:
        """The image file's bytes. Raises UserError where the source has shrunk or gone."""
        try:
            with open(self.path, "rb", buffering=0) as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise UserError(f"cannot read {self.path}: {error.strerror}") from None
        if len(data) != self.size:
            raise UserError(
                f"{self.path} ends within {self.name} (byte {self.offset + len(data)}): "
                "the file is truncated, or changed since the job began"
            )
        return data


@dataclasses.dataclass(frozen=True)
class Source:
    """All images of one source.

    Attributes:
        layout: its name in LAYOUTS.
        why: by what it was recognised.
        classes: in label order.
        refs: every image, in the source's own order.
    """

    layout: str
    why: str
    classes: synsets.Classes
    refs: list[ImageRef]

    @property
    def name(self) -> str:
        """The data set's name: `ilsvrc2012`, `generated`, or the layout's."""
        if self.classes.wnids == synsets.ilsvrc2012().wnids:
            return "ilsvrc2012"
        return "generated" if self.generated else self.layout

    @property
    def generated(self) -> bool:
        """Whether it is the embedded sample (`data_prep/sample.py`), whose ids start with s."""
        return all(re.fullmatch(r"s\d{8}", wnid) for wnid in self.classes.wnids)

    def fingerprint(self) -> str:
        """SHA-256 of the label order and of every image's split, class, name and size.

        It does not depend on the layout: the official tars and their unpacked folders agree.
        """
        digest = hashlib.sha256(label_order_hash(self.classes.wnids).encode())
        for ref in sorted(self.refs):
            digest.update(f"\n{ref.split}/{ref.wnid}/{ref.name} {ref.size}".encode())
        return digest.hexdigest()


def open_source(directory: str, layout: str = "auto") -> Source:
    """Lists the images of a source.

    Args:
        directory: where it lies.
        layout: a name in LAYOUTS, or `auto` to recognise it.

    Raises:
        UserError: it is missing, of no known layout, incomplete or damaged.
    """
    root = pathlib.Path(directory)
    if not root.exists():
        raise UserError(f"--source={directory} does not exist")
    names = [layout] if layout != "auto" else list(LAYOUTS)
    for name in names:
        recognise, list_images = LAYOUTS[name]
        why = recognise(root)
        if why:
            classes, refs = list_images(root)
            if not refs:
                raise UserError(f"--source={root} ({name}: {why}) holds no images")
            return Source(name, why, classes, refs)
    found = ", ".join(sorted(path.name for path in root.iterdir())[:5]) if root.is_dir() else root
    raise UserError(
        f"--source={root} is not of layout {layout} (found: {found or 'nothing'}); "
        f"wanted: {WANTED if layout == 'auto' else WANTED_OF[layout]}"
    )


# The official tars, in place.


def recognise_tars(root: pathlib.Path) -> str:
    """The official tar files in one directory."""
    found = [name for name in (TRAIN_TAR, VALIDATION_TAR) if (root / name).is_file()]
    return " and ".join(found)


def open_tars(root: pathlib.Path) -> tuple[synsets.Classes, list[ImageRef]]:
    """The train tar of WNID tars, the flat validation tar (either may be missing), the devkit."""
    devkit = synsets.read_devkit(find_devkit(root))
    refs: list[ImageRef] = []
    if (root / TRAIN_TAR).is_file():
        refs += _nested_tar(root / TRAIN_TAR, devkit.classes)
    if (root / VALIDATION_TAR).is_file():
        path = root / VALIDATION_TAR
        for name, offset, size in _tar_members(path):
            wnid = validation_wnid(name, devkit, path)
            refs.append(ImageRef(VALIDATION, wnid, name, str(path), offset, size))
    return devkit.classes, refs


def find_devkit(root: pathlib.Path) -> pathlib.Path:
    """The devkit of a source, packed or unpacked. Raises UserError where there is none."""
    for name in (f"{DEVKIT}.tar.gz", f"{DEVKIT}.tar", DEVKIT):
        if (root / name).exists():
            return root / name
    raise UserError(
        f"--source={root} holds no {DEVKIT}.tar.gz: the labels come from it; "
        "put the official devkit beside the images"
    )


def validation_wnid(name: str, devkit: synsets.Devkit, path: pathlib.Path) -> str:
    """The class of a validation image, by the number in its file name."""
    match = VALIDATION_NAME.fullmatch(name)
    number = int(match[1]) if match else 0
    if not 1 <= number <= len(devkit.validation):
        raise UserError(
            f"{path} holds {name}: the ground truth is for ILSVRC2012_val_00000001.JPEG to "
            f"ILSVRC2012_val_{len(devkit.validation):08d}.JPEG"
        )
    return devkit.validation[number - 1]


def _nested_tar(path: pathlib.Path, classes: synsets.Classes) -> Iterator[ImageRef]:
    for inner, offset, size in _tar_members(path):
        wnid = inner.removesuffix(".tar")
        if wnid not in classes.labels:
            raise UserError(f"{path} holds {inner}, which is no class of the devkit")
        for name, start, length in _tar_members(path, offset, size):
            yield ImageRef(TRAIN, wnid, name, str(path), start, length)


def _tar_members(
    path: pathlib.Path, start: int = 0, length: int | None = None
) -> Iterator[tuple[str, int, int]]:
    """(base name, offset, size) of the regular files of a tar that may lie within another file.

    Raises UserError where it is truncated or damaged.
    """
    try:
        with open(path, "rb") as file:
            file.seek(0, 2)
            end = file.tell() if length is None else start + length
            if end > file.tell():
                raise UserError(f"{path} is truncated at byte {file.tell()}: download it again")
            file.seek(start)
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    archive.members = []  # type: ignore[attr-defined]  # or it keeps them all
                    if not member.isreg():
                        continue
                    if member.offset_data + member.size > end:
                        raise UserError(f"{path} is truncated in {member.name}: download it again")
                    yield member.name.rsplit("/", 1)[-1], member.offset_data, member.size
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except tarfile.TarError as error:
        where = f" (in the tar that starts at byte {start})" if start else ""
        raise UserError(f"{path} is truncated or no tar{where}: {error}") from None


Recognise = Callable[[pathlib.Path], str]
ListImages = Callable[[pathlib.Path], tuple[synsets.Classes, list[ImageRef]]]
LAYOUTS: dict[str, tuple[Recognise, ListImages]] = {"tars": (recognise_tars, open_tars)}
WANTED_OF = {"tars": f"{TRAIN_TAR} and/or {VALIDATION_TAR}, with {DEVKIT}.tar.gz"}
WANTED = "; or ".join(WANTED_OF.values())
