"""ReaL labels: which classes are really seen on ILSVRC's validation images (Beyer et al. 2020)."""

import json
import pathlib
import re

from base.errors import UserError
from data_prep import schema
from pipelines.reading.dataset import Dataset
from trainers.scoring.split_images import file_names
from trainers.scoring.tally import RealLabels

# ILSVRC 2012's first and last class in the sorted order, which is the order of these labels.
_FIRST, _LAST = "n01440764", "n15075141"
_NUMBER = re.compile(r"ILSVRC2012_val_(\d{8})\.")


def read_real_labels(path: str, dataset: Dataset) -> RealLabels:
    """Reads the published `real.json`: a list with a list of labels for each validation image.

    Args:
        path: the file. Its entry k is about the file ILSVRC2012_val_{k + 1}.
        dataset: the data set, whose validation records say which file each is.

    Returns:
        The labels by position in the data set's validation split.

    Raises:
        UserError: the file is not such a list, or the data set is not ILSVRC 2012's validation set.
    """
    labels = _read(path)
    wnids = dataset.wnids
    if (len(wnids), wnids[0], wnids[-1]) != (schema.ILSVRC2012_CLASSES, _FIRST, _LAST):
        raise UserError(
            f"--real_labels number the 1000 classes of ILSVRC 2012, {dataset.directory} has "
            f"{len(wnids)} classes from {wnids[0]} to {wnids[-1]}"
        )
    found = []
    for name in file_names(dataset, schema.VALIDATION):
        match = _NUMBER.search(name)
        number = int(match[1]) if match else 0
        if not 1 <= number <= len(labels):
            raise UserError(
                f"--real_labels={path} has {len(labels)} entries, none of them for {name!r}: its "
                "entries are for files ILSVRC2012_val_00000001.JPEG and so on: give a --data_dir "
                "of ILSVRC's own validation images (built without --holdout)"
            )
        found.append(labels[number - 1])
    return RealLabels(found)


def _read(path: str) -> list[frozenset[int]]:
    try:
        listed = json.loads(pathlib.Path(path).read_text("utf-8-sig"))
    except OSError as error:
        raise UserError(f"--real_labels={path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, list) or not all(isinstance(each, list) for each in listed):
        raise UserError(
            f"--real_labels={path} is not a list of lists of labels: download real.json again from "
            "github.com/google-research/reassessed-imagenet"
        )
    for number, each in enumerate(listed, 1):
        for label in each:
            if type(label) is not int or not 0 <= label < schema.ILSVRC2012_CLASSES:
                raise UserError(
                    f"--real_labels={path}: entry {number} has {str(label)[:40]!r}, and labels "
                    f"are 0 to {schema.ILSVRC2012_CLASSES - 1}: download it again"
                )
    return [frozenset(each) for each in listed]
