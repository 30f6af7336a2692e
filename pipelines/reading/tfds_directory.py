"""Data sets that TensorFlow Datasets itself has written."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from base.errors import UserError
from data_prep import schema
from pipelines.reading.shard_files import ShardFile


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What a data set's own metadata says.

    Attributes:
        names: the classes in label order.
        shards: the files of the splits `train` and `validation`. Many data sets have no
            `validation` but a labelled `test`: then that is the validation split here.
        encoding: `jpeg`, `png`, or empty where it can be either.
        remark: a line about splits that are not read, or read as another; empty where all are as
            they are named.
    """

    names: tuple[str, ...]
    shards: dict[str, tuple[ShardFile, ...]]
    encoding: str
    remark: str


def read_metadata(directory: epath.Path) -> Metadata:
    """Reads a TensorFlow Datasets directory.

    Raises:
        UserError: it cannot be read, has no image and label, or its files are no TFRecords.
    """
    # Here, because it takes seconds and our own data sets don't need it.
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder_from_directory(os.fspath(directory))
    except Exception as error:  # its own errors are of many types
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{directory} is not a TensorFlow Datasets directory: {reason}") from None
    info = builder.info
    features = (
        dict(info.features.items()) if isinstance(info.features, tfds.features.FeaturesDict) else {}
    )
    image, label = features.get(schema.IMAGE), features.get(schema.LABEL)
    if not isinstance(image, tfds.features.Image) or not isinstance(
        label, tfds.features.ClassLabel
    ):
        raise UserError(
            f"{directory} has no features 'image' and 'label' (it has: {', '.join(features)})"
        )
    if info.file_format.value != "tfrecord":
        raise UserError(
            f"{directory} holds {info.file_format.value} files, and only tfrecord is read: "
            "prepare it again with file_format='tfrecord'"
        )
    splits = {schema.TRAIN: schema.TRAIN, schema.VALIDATION: schema.VALIDATION}
    if schema.VALIDATION not in info.splits and "test" in info.splits:
        splits[schema.VALIDATION] = "test"
    shards = {
        ours: tuple(
            ShardFile(os.fspath(path), length, 0, length)
            for path, length in zip(
                info.splits[theirs].filepaths, info.splits[theirs].shard_lengths, strict=True
            )
        )
        for ours, theirs in splits.items()
        if theirs in info.splits
    }
    remark = _remark(directory, splits, list(info.splits))
    return Metadata(tuple(label.names), shards, _encoding(image), remark)


def _remark(directory: epath.Path, splits: Mapping[str, str], found: Sequence[str]) -> str:
    said = [
        f"split {theirs!r} is taken for {ours}"
        for ours, theirs in splits.items()
        if theirs != ours and theirs in found
    ]
    left = ", ".join(repr(name) for name in sorted(found) if name not in splits.values())
    said += [f"not read: split {left}"] if left else []
    return f"{directory}: {'; '.join(said)}" if said else ""


def _encoding(image: Any) -> str:
    return str(image.to_json_content().encoding_format or "")
