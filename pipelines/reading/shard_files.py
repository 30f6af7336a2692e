"""Shard files: checked, copied, counted, and read."""

import concurrent.futures
import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from etils import epath

from base.errors import UserError
from base.files import atomic_path
from data_prep import schema
from pipelines.reading import dataset_options

_READ_BUFFER_BYTES = 1 << 20
_PARSED_AT_ONCE = 256


@dataclasses.dataclass(frozen=True)
class ShardFile:
    """One TFRecord file.

    Attributes:
        path: where it is.
        records: how many of its records are wanted: all, or those of a subset of the classes.
        bytes: the size that the file was written with; 0: not known.
        stored_records: how many it holds.
    """

    path: str
    records: int
    bytes: int
    stored_records: int


def refuse_unreadable(shards: Sequence[ShardFile], remedy: str) -> None:
    """Raises UserError for a shard that is missing, empty, or not of its recorded size."""

    def problem(shard: ShardFile) -> str | None:
        path = epath.Path(shard.path)
        try:
            size = path.stat().length
        except (FileNotFoundError, OSError):
            return f"{path} is missing"
        if not shard.stored_records or not size:
            return f"{path} is empty"
        if shard.bytes and size != shard.bytes:
            return f"{path} has {size} bytes, not the {shard.bytes} that were written"
        return None

    # In threads: on a network file system each of these waits.
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        problems = [found for found in pool.map(problem, shards) if found]
    if problems:
        more = f" (and {len(problems) - 1} more such shards)" if len(problems) > 1 else ""
        raise UserError(f"{problems[0]}{more}: {remedy}")


def refuse_unlabelled(splits: Mapping[str, Sequence[ShardFile]], num_classes: int) -> None:
    """Raises UserError where the first records of a shard have labels that are no class.

    Test splits are often published with a label of -1 in each record, and a training should not
    find that at its first evaluation.
    """
    for split, shards in splits.items():
        for shard in {shard.path: shard for shard in (*shards[:1], *shards[-1:])}.values():
            labels = read(tf.constant(shard.path)).take(_PARSED_AT_ONCE).batch(_PARSED_AT_ONCE)
            for found in labels.map(_labels).as_numpy_iterator():
                wrong = found[(found < 0) | (found >= num_classes)]
                if wrong.size:
                    raise UserError(
                        f"{shard.path} has label {wrong[0]}, and the data set's classes are 0 to "
                        f"{num_classes - 1}: its images for {split} are not labelled: prepare "
                        f"a data set with labels for {split}"
                    )


def copied_to(shards: Sequence[ShardFile], directory: str) -> tuple[ShardFile, ...]:
    """The shards in a cache directory, after copying those that are not there yet.

    Raises:
        UserError: the directory cannot be written.
    """
    cache = epath.Path(directory)
    copies = []
    for shard in shards:
        target = cache / epath.Path(shard.path).name
        if not target.is_file() or target.stat().length != epath.Path(shard.path).stat().length:
            try:
                cache.mkdir(parents=True, exist_ok=True)
                with atomic_path(target) as partial:
                    epath.Path(shard.path).copy(partial, overwrite=True)
            except OSError as error:
                raise UserError(f"--cache: cannot write {target} ({error.strerror})") from None
        copies.append(dataclasses.replace(shard, path=os.fspath(target)))
    return tuple(copies)


def counts_of_labels(shards: Sequence[ShardFile], num_classes: int) -> np.ndarray:
    """Reads every record's label: int64 [shards, num_classes]."""
    counts = np.zeros([len(shards), num_classes], np.int64)
    for index, shard in enumerate(shards):
        labels = read(tf.constant(shard.path)).batch(_PARSED_AT_ONCE).map(_labels).prefetch(2)
        for batch in labels.with_options(dataset_options.unattended()).as_numpy_iterator():
            counts[index] += np.bincount(batch, minlength=num_classes)
    return counts


def read(path: tf.Tensor) -> tf.data.Dataset:
    """The serialized records of one file, in stored order."""
    return tf.data.TFRecordDataset(path, buffer_size=_READ_BUFFER_BYTES)


def with_labels(records: tf.data.Dataset, kept: Sequence[int]) -> tf.data.Dataset:
    """Those of the records whose stored label is one of `kept`."""
    wanted = tf.constant(sorted(kept), tf.int64)

    def select(serialized: tf.Tensor) -> tf.Tensor:
        found = tf.reduce_any(_labels(serialized)[:, tf.newaxis] == wanted, axis=1)
        return tf.boolean_mask(serialized, found)

    return records.batch(_PARSED_AT_ONCE).map(select).unbatch()


def _labels(serialized: tf.Tensor) -> tf.Tensor:
    features = {schema.LABEL: tf.io.FixedLenFeature([], tf.int64)}
    return tf.io.parse_example(serialized, features)[schema.LABEL]
