"""The names of ILSVRC 2012's official files, and what the devkit beside them says of an image."""

import pathlib
import re

from base.errors import UserError
from data_prep.source import synsets

TRAIN_TAR = "ILSVRC2012_img_train.tar"
VALIDATION_TAR = "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12"
VALIDATION_NAME = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG", re.IGNORECASE)


def find_devkit(root: pathlib.Path) -> pathlib.Path | None:
    """The devkit beside a source's images, packed or unpacked."""
    for directory in (root, root.parent) if root.is_file() else (root,):
        for name in (f"{DEVKIT}.tar.gz", f"{DEVKIT}.tar", DEVKIT):
            if (directory / name).exists():
                return directory / name
    return None


def devkit_of(root: pathlib.Path) -> synsets.Devkit:
    """What the devkit beside a source's images says. Raises UserError where there is none."""
    path = find_devkit(root)
    if path is None:
        raise UserError(
            f"--source={root} holds no {DEVKIT}.tar.gz, from which the labels come: "
            "put the official devkit beside the images"
        )
    return synsets.read_devkit(path)


def validation_wnid(name: str, devkit: synsets.Devkit, path: str) -> str:
    """The class of a validation image, by the number in its file name."""
    match = VALIDATION_NAME.fullmatch(name.rsplit("/", 1)[-1])
    number = int(match[1]) if match else 0
    if not 1 <= number <= len(devkit.validation):
        raise UserError(
            f"{path} holds {name}: the ground truth is for ILSVRC2012_val_00000001.JPEG to "
            f"ILSVRC2012_val_{len(devkit.validation):08d}.JPEG"
        )
    return devkit.validation[number - 1]
