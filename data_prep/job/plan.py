"""The plan: which images go into which shard, in which order.

The order of a split is that of a keyed hash of (seed, split, class, name), so it is a global
shuffle that depends on nothing but the images' names: not on the layout of the source, not on
the machine, not on a random generator's version. A subset keeps the order of the whole.
"""

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np

from data_prep import schema
from data_prep.source.images import ImageRef, Refs


@dataclasses.dataclass(frozen=True)
class ShardTask:
    """One shard to build.

    Attributes:
        split: `train` or `validation`.
        index: of the shard in its split.
        count: of the shards of its split.
        refs: its images, in order.
    """

    split: str
    index: int
    count: int
    refs: Sequence[ImageRef] = dataclasses.field(hash=False)


def shuffled(
    refs: Refs,
    seed: int,
    wnids: frozenset[str] | None = None,
    max_per_class: int = 0,
    holdout: int = 0,
) -> dict[str, Refs]:
    """Each split's images in their final order.

    Args:
        refs: all images of the source.
        seed: of the shuffle.
        wnids: the classes to keep; None keeps all.
        max_per_class: how many images of each class to keep in each split, the first ones of the
            shuffled order; 0 keeps all.
        holdout: how many of each class's training images, the last of those, make up the validation
            split, in place of the source's own; 0 leaves the splits as they are.
    """
    key = seed.to_bytes(8, "big", signed=True)
    digests = np.empty(len(refs), np.uint64)
    for row, ref in enumerate(refs):
        text = f"{ref.split}/{ref.wnid}/{ref.name}".encode()
        digest = hashlib.blake2b(text, digest_size=8, key=key).digest()
        digests[row] = int.from_bytes(digest, "big")
    split_codes, splits = refs.codes("split")
    wnid_codes, known = refs.codes("wnid")
    kept = np.array([wnids is None or wnid in wnids for wnid in known], bool)[wnid_codes]
    result = {}
    for code, split in enumerate(splits):
        rows = np.flatnonzero(kept & (split_codes == code))
        rows = rows[np.argsort(digests[rows], kind="stable")]
        if max_per_class:
            rows = rows[_first_of_each_class(wnid_codes[rows], max_per_class)]
        result[split] = refs.take(rows)
    if holdout:
        train = result.get(schema.TRAIN, refs.take(np.arange(0)))
        last = _first_of_each_class(train.codes("wnid")[0][::-1], holdout)[::-1]
        result = {
            schema.TRAIN: train.take(np.flatnonzero(~last)),
            schema.VALIDATION: train.take(np.flatnonzero(last), schema.VALIDATION),
        }
    return result


def shard_tasks(refs: Sequence[ImageRef], count: int) -> list[ShardTask]:
    """Cuts a split's images into `count` consecutive shards whose sizes differ by one at most."""
    bounds = [index * len(refs) // count for index in range(count + 1)]
    return [
        ShardTask(refs[0].split, index, count, refs[bounds[index] : bounds[index + 1]])
        for index in range(count)
    ]


def _first_of_each_class(codes: np.ndarray, limit: int) -> np.ndarray:
    """Which are among the first so many of their class: bool [n]."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    within = np.arange(len(codes)) - np.repeat(starts, np.diff(starts, append=len(codes)))
    first = np.empty(len(codes), bool)
    first[order] = within < limit
    return first
