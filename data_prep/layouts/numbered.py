"""Classes of sources that number them, with names for the numbers or without."""

import collections
from collections.abc import Sequence

from base.errors import UserError
from data_prep.source import synsets
from data_prep.source.remarks import Remarks

_ALIKE = 0.98  # of ILSVRC's names, at the same labels: publishers mend a few of its words


def classes_of(
    names: Sequence[str] | None, labels: Sequence[int | str | None], remarks: Remarks
) -> tuple[synsets.Classes, dict[int | str | None, str]]:
    """The classes, and the id of each label.

    Args:
        names: of the labels 0, 1, ..., where the source gives them.
        labels: those that occur; numbers, or names.
        remarks: gets a line about classes without names.

    Raises:
        UserError: a number is none of a class's.
    """
    if any(isinstance(label, str) for label in labels):
        texts = {label for label in labels if isinstance(label, str)}
        return synsets.known_classes(list(texts)), {text: text for text in texts}
    if names is None:
        count = max((label for label in labels if isinstance(label, int)), default=-1) + 1
        if count > 10**6:
            raise UserError(f"label {count - 1} is too large for the number of a class")
        width = max(4, len(str(count - 1)))
        ids = [f"label_{label:0{width}d}" for label in range(count)]
        remarks.note("unnamed", f"label_{0:0{width}d}", count)
        return synsets.known_classes(ids), dict(enumerate(ids))
    table = synsets.ilsvrc2012()
    if _are_ilsvrcs(names, table):
        return table, dict(enumerate(table.wnids))
    ids = _unique(names)
    return synsets.known_classes(ids, dict(zip(ids, names, strict=True))), dict(enumerate(ids))


def _are_ilsvrcs(names: Sequence[str], table: synsets.Classes) -> bool:
    """Whether names are ILSVRC's WNIDs or words, at ILSVRC's labels."""
    if len(names) != len(table.wnids):
        return False
    for known in (table.wnids, table.words):
        same = sum(_first(a) == _first(b) for a, b in zip(names, known, strict=True))
        if same >= _ALIKE * len(known):
            return True
    return False


def _first(words: str) -> str:
    return words.split(",")[0].strip().casefold()


def _unique(names: Sequence[str]) -> list[str]:
    """The names, with a number behind those that were there before: two cranes are two classes."""
    taken = set(names)
    seen: collections.Counter[str] = collections.Counter()
    ids = []
    for name in names:
        seen[name] += 1
        unique, number = name, seen[name]
        while number > 1 and unique in taken:
            unique, number = f"{name}_{number}", number + 1
        taken.add(unique)
        ids.append(unique)
    return ids
