"""What a listing did not take, or took otherwise than it stood there: nothing goes without a word.

Each kind has a count and its first example, so that a million files of one kind are one line.
What makes labels or counts wrong stops the job unless --allow names it; the rest is said.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

FINE, LACKS, BREAKS = "fine", "lacks", "breaks"


class Kind(NamedTuple):
    """One kind of remark.

    Attributes:
        level: FINE, LACKS (usable, but not all of it) or BREAKS (labels or counts are wrong).
        words: what was found, in the plural.
        remedy: what to do, or what was done.
    """

    level: str
    words: str
    remedy: str


KINDS = {
    "archive": Kind(BREAKS, "archives inside a split", "unpack them where they lie"),
    "dangling": Kind(BREAKS, "links that lead nowhere", "mend or delete them"),
    "half": Kind(BREAKS, "half-finished downloads", "finish or delete them"),
    "loose": Kind(
        BREAKS, "images in a split, but in no class's folder", "move them into their class's folder"
    ),
    "missing": Kind(
        BREAKS, "shards that the names of the others count, but that are not there", "download them"
    ),
    "sample": Kind(
        BREAKS,
        "files of WebDataset's samples that have no image, or more than one",
        "give each image a name and a label of its own",
    ),
    "second": Kind(
        BREAKS, "data sets more than the one that is read", "name one by --source, or move it away"
    ),
    "spelling": Kind(
        BREAKS,
        "class folders that only case, spaces or Unicode's form tell from a class",
        "give both one name",
    ),
    "stray": Kind(
        BREAKS, "folders that the class list does not name", "move them out of the split"
    ),
    "sparse": Kind(
        BREAKS, "files that a tar holds sparsely", "unpack it, or make it without --sparse"
    ),
    "twice": Kind(BREAKS, "classes that are there twice", "keep one of the two"),
    "unreadable": Kind(
        BREAKS, "files or folders that may not be read", "give yourself the right (chmod -R u+rX)"
    ),
    "validation_only": Kind(
        BREAKS, "class folders in validation, but not in train", "add their training images"
    ),
    "beside": Kind(LACKS, "archives beside the splits", "not read: unpack what is wanted"),
    "empty": Kind(LACKS, "class folders without an image", "they keep their labels"),
    "unpacked": Kind(
        LACKS, "folders of splits beside the official tars", "not read: see --layout=folders"
    ),
    "outside": Kind(LACKS, "images outside of any split", "not read"),
    "single": Kind(LACKS, "classes in all", "nothing can be learned from one: look at the folders"),
    "train_only": Kind(LACKS, "class folders in train, but not in validation", "used as they are"),
    "appended": Kind(FINE, "archives behind another one's end", "read too"),
    "circle": Kind(FINE, "links back to a folder that they lie in", "not followed"),
    "hidden": Kind(FINE, "hidden or system entries", "neither classes nor images"),
    "in_place": Kind(FINE, "class tars inside a split", "read in place as the classes they name"),
    "mapped": Kind(
        FINE,
        "class folders that are ILSVRC's",
        "labels are ILSVRC's 0 to 999, and all are for validation: to train on them, put them into "
        "a folder train/",
    ),
    "numbers": Kind(
        FINE, "class folders that are numbers", "labels follow the order of text: 10 before 2"
    ),
    "other": Kind(FINE, "files that are no images", "not taken"),
    "special": Kind(FINE, "pipes, sockets or devices", "not read"),
    "suffix": Kind(FINE, "images without an image's suffix", "taken for what they begin with"),
    "test": Kind(
        FINE, "test splits", "not read: one with labels is read once it is renamed to validation"
    ),
    "unnamed": Kind(
        FINE,
        "classes without names",
        "numbered in the order of their labels, and not taken for ILSVRC's",
    ),
}
ALLOWED = tuple(kind for kind, (level, _, _) in KINDS.items() if level == BREAKS)


NOTHING: Mapping[str, tuple[int, list[str]]] = {}


@dataclasses.dataclass
class _Found:
    count: int
    examples: list[str]


class Remarks:
    """What was found of each kind.

    Args:
        allowed: kinds that break and are to be passed over all the same (--allow).
        found: what another's `found` has given.
    """

    def __init__(
        self, allowed: Collection[str] = (), found: Mapping[str, tuple[int, list[str]]] = NOTHING
    ) -> None:
        self._allowed = frozenset(allowed)
        self._found: dict[str, _Found] = {}
        self.add(found)

    def note(self, kind: str, example: str, count: int = 1) -> None:
        """Adds what was found; of the examples, the first three are kept."""
        found = self._found.setdefault(kind, _Found(0, []))
        found.count += count
        if len(found.examples) < 3:
            found.examples.append(shown(example))

    def add(self, found: Mapping[str, tuple[int, list[str]]]) -> None:
        """Adds what another's `found` has given, behind what is there."""
        for kind, (count, examples) in found.items():
            mine = self._found.setdefault(kind, _Found(0, []))
            mine.count += count
            mine.examples += examples[: 3 - len(mine.examples)]

    def found(self) -> dict[str, tuple[int, list[str]]]:
        """The count and the examples of each kind."""
        return {kind: (each.count, each.examples) for kind, each in self._found.items()}

    def __contains__(self, kind: str) -> bool:
        return kind in self._found

    def count(self, kind: str) -> int:
        """How many there are of a kind."""
        return self._found[kind].count if kind in self._found else 0

    def lines(self) -> Iterator[tuple[str, str]]:
        """(level, line) of each kind that was found; what is allowed only LACKS."""
        for name, (level, words, remedy) in KINDS.items():
            if name not in self._found:
                continue
            found = self._found[name]
            more = ", ..." if found.count > len(found.examples) else ""
            text = f"{words}: {found.count:,} ({', '.join(found.examples)}{more})"
            if level == BREAKS and name in self._allowed:
                yield LACKS, f"{text}: passed over, by --allow={name}"
            elif level == BREAKS:
                yield level, f"{text}: {remedy}, or pass them over by --allow={name}"
            else:
                yield level, f"{text}: {remedy}"


def shown(name: str) -> str:
    """A name as a part of one line that any terminal prints."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in name
    )
