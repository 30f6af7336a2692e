"""The plan: which images go into which shard, in which order.

The order of a split is that of a keyed hash of (seed, split, class, name), so it is a global
shuffle that depends on nothing but the images' names: not on the layout of the source, not on
the machine, not on a random generator's version. A subset keeps the order of the whole.
"""

import collections
import dataclasses
import hashlib
from collections.abc import Sequence

from data_prep import schema
from data_prep.source.images import ImageRef


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
    refs: tuple[ImageRef, ...]


def shuffled(
    refs: Sequence[ImageRef],
    seed: int,
    wnids: frozenset[str] | None = None,
    max_per_class: int = 0,
    holdout: int = 0,
) -> dict[str, list[ImageRef]]:
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
    keyed: dict[str, list[tuple[bytes, ImageRef]]] = {}
    for ref in refs:
        if wnids is None or ref.wnid in wnids:
            text = f"{ref.split}/{ref.wnid}/{ref.name}".encode()
            digest = hashlib.blake2b(text, digest_size=8, key=key).digest()
            keyed.setdefault(ref.split, []).append((digest, ref))
    result = {}
    for split, pairs in keyed.items():
        pairs.sort()
        ordered = [ref for _, ref in pairs]
        result[split] = _first_of_each_class(ordered, max_per_class) if max_per_class else ordered
    if holdout:
        last = set(_first_of_each_class(result.get(schema.TRAIN, [])[::-1], holdout))
        train = result.get(schema.TRAIN, [])
        result = {
            schema.TRAIN: [ref for ref in train if ref not in last],
            schema.VALIDATION: [
                ref._replace(split=schema.VALIDATION) for ref in train if ref in last
            ],
        }
    return result


def shard_tasks(refs: Sequence[ImageRef], count: int) -> list[ShardTask]:
    """Cuts a split's images into `count` consecutive shards whose sizes differ by one at most."""
    bounds = [index * len(refs) // count for index in range(count + 1)]
    return [
        ShardTask(refs[0].split, index, count, tuple(refs[bounds[index] : bounds[index + 1]]))
        for index in range(count)
    ]


def _first_of_each_class(refs: Sequence[ImageRef], limit: int) -> list[ImageRef]:
    seen: collections.Counter[str] = collections.Counter()
    kept = []
    for ref in refs:
        seen[ref.wnid] += 1
        if seen[ref.wnid] <= limit:
            kept.append(ref)
    return kept
