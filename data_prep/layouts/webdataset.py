"""WebDataset's tars: an image, and beside it under the same name its label.

The label is in `x.cls` (a number or a name), in `x.json` (`label` or `cls`, with the class's name
in `class_name` or `wnid`), or in `x.txt` (a name).
"""

import json
import pathlib
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from base.errors import UserError
from data_prep.layouts import numbered
from data_prep.layouts.listed import Each, Listed
from data_prep.source import containers, naming, split_tree, tar_files, trees, zip_files
from data_prep.source.entries import Entry, Passed
from data_prep.source.images import ImageRef
from data_prep.source.remarks import Remarks

_LABELS = (".cls", ".json", ".txt")  # the first that a sample has is taken
_LOOKED_AT = 20  # members by which a tar is seen to be one of these
_LONGEST = 1 << 20  # bytes of a label's file
_NUMBERED = re.compile(r"(.*?)([0-9]{1,9})")
_WORD = re.compile(r"[a-z]+")


class _Sample(NamedTuple):
    image: Entry
    label: int | str
    name: str | None


def recognise(root: pathlib.Path) -> str:
    """The first tar, and how many more there are."""
    found = _files(root)
    if not found or not _begins_so(found[0]):
        return ""
    return f"{found[0].name} and {len(found) - 1} more"


def list_images(
    root: pathlib.Path, splits: Collection[str], remarks: Remarks, each: Each = map
) -> Listed:
    """Tars whose names, or whose folders' names, have the word train, val or validation in them."""
    found_splits: dict[str, str] = {}
    for path in _files(root):
        if split := _split(path, root):
            found_splits[str(path)] = split
        elif any(naming.is_test(word) for word in _WORD.findall(path.stem.lower())):
            remarks.note("test", path.name)
        else:
            remarks.note("beside", path.name)
    if not found_splits:
        raise UserError(
            f"no tar in {root} has the word train, val or validation in its name: rename them"
        )
    listed: list[tuple[str, list[_Sample]]] = []
    for split, (found, noted) in zip(
        found_splits.values(), each(list_tar, list(found_splits)), strict=True
    ):
        listed.append((split, found))
        remarks.add(noted)
    _note_missing(root, remarks)
    samples = [sample for _, found in listed for sample in found]
    names: dict[int | str, str] = {}
    for sample in samples:
        if sample.name and names.setdefault(sample.label, sample.name) != sample.name:
            raise UserError(
                f"{sample.image.name} in {sample.image.path} has label {sample.label} and the name "
                f"{sample.name!r}, which others call {names[sample.label]!r}: mend the names"
            )
    known = [names.get(label) for label in range(len(names))]
    complete = [name for name in known if name] if known and all(known) else None
    classes, ids = numbered.classes_of(complete, [sample.label for sample in samples], remarks)
    refs = []
    for split, found in listed:
        for image, label, _ in found if split in splits else []:
            if label not in ids:
                raise UserError(
                    f"{image.name} in {image.path} has label {label}: 0 to {len(ids) - 1} are known"
                )
            refs.append(ImageRef.of(image, split, ids[label])._replace(name=image.name))
    return classes, refs


def list_tar(path: str) -> tuple[list[_Sample], Mapping[str, tuple[int, list[str]]]]:
    """One tar's samples, and what was noted of it. Raises UserError as `list_images`."""
    remarks = Remarks()
    return list(_samples(pathlib.Path(path), remarks)), remarks.found()


def _files(root: pathlib.Path) -> list[pathlib.Path]:
    if root.is_file():
        return [root] if root.suffix == ".tar" else []
    found = (path for up in ("", "*/") for path in root.glob(f"{up}*.tar"))
    return sorted(
        path
        for path in found
        if not any(naming.hidden(part) for part in path.relative_to(root).parts)
    )


def _note_missing(root: pathlib.Path, remarks: Remarks) -> None:
    """Notes unfinished and packed files beside the tars, and holes in their numbers."""
    files = _files(root)
    for folder in sorted({path.parent for path in files}) if root.is_dir() else ():
        for path in sorted(folder.iterdir()):
            kind = naming.kind_of(path.name)
            if kind == naming.UNFINISHED:
                remarks.note("half", path.name)
            elif kind == naming.PACKED:
                remarks.note("archive" if _split(path, root) else "beside", path.name)
    counted: dict[tuple[pathlib.Path, str, int], set[int]] = {}
    for path in files:
        if match := _NUMBERED.fullmatch(path.stem):
            key = (path.parent, match[1], len(match[2]))
            counted.setdefault(key, set()).add(int(match[2]))
    for (_, prefix, digits), numbers in counted.items():
        for number in sorted({*range(min(numbers), max(numbers))} - numbers):
            remarks.note("missing", f"{prefix}{number:0{digits}d}.tar")


def _split(path: pathlib.Path, root: pathlib.Path) -> str | None:
    names = (path.stem, path.parent.name) if path.parent != root else (path.stem,)
    for name in names:
        for word in _WORD.findall(name.lower()):
            if split := naming.split_of(word):
                return split
    return None


def _begins_so(path: pathlib.Path) -> bool:
    """Whether images and their labels lie beside each other at a tar's beginning."""
    seen: dict[str, set[str]] = {}
    try:
        if zip_files.is_zip(path):
            return False
        for number, item in enumerate(tar_files.walk(path)):
            stem, suffix = _divided(item.name)
            kind = "image" if naming.kind_of(item.name) == naming.IMAGE else suffix
            seen.setdefault(stem, set()).add(kind)
            if number == _LOOKED_AT:
                break
    except (UserError, OSError):  # said by the layout that it is of, if it is of any
        return False
    return any("image" in kinds and kinds & set(_LABELS) for kinds in seen.values())


def _divided(name: str) -> tuple[str, str]:
    """What the files of one sample share, and the rest: WebDataset divides at the first dot."""
    above, _, last = name.rpartition("/")
    stem, dot, suffix = last.partition(".")
    return f"{above}/{stem}", (dot + suffix).lower()


def _samples(path: pathlib.Path, remarks: Remarks) -> Iterator[_Sample]:
    """A tar's samples; a sample's files follow one another."""
    images: dict[str, Entry] = {}
    labels: dict[str, dict[str, Entry]] = {}
    for item in tar_files.walk(path):
        if isinstance(item, Passed):
            remarks.note(item.reason, item.name)
        elif isinstance(item, Entry):
            stem, suffix = _divided(item.name)
            if naming.hidden(item.name.rsplit("/", 1)[-1]):
                remarks.note("hidden", item.name)
            elif suffix in _LABELS:
                if labels.setdefault(stem, {}).setdefault(suffix, item) is not item:
                    remarks.note("sample", item.name)
            elif split_tree.is_image(item, remarks) and images.setdefault(stem, item) is not item:
                remarks.note("sample", item.name)
    for stem in labels.keys() - images.keys():
        remarks.note("sample", next(iter(labels[stem].values())).name)
    for stem, image in images.items():
        found = labels.get(stem, {})
        entry = next((found[suffix] for suffix in _LABELS if suffix in found), None)
        if entry is None:
            raise UserError(f"{image.name} in {path} has no .cls, .json or .txt beside it")
        yield _Sample(image, *_label(entry, path))


def _label(entry: Entry, path: pathlib.Path) -> tuple[int | str, str | None]:
    """The label that a file says, and its class's name where it says that too."""
    text = trees.decoded(containers.beginning(entry, _LONGEST)).strip()
    said: Any = text
    name = None
    if entry.name.lower().endswith(".json"):
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise UserError(f"{entry.name} in {path} is no JSON object")
        said = next((content[key] for key in ("label", "cls") if key in content), None)
        name = next((content[key] for key in ("wnid", "class_name") if key in content), None)
        said = name if said is None else said
    if isinstance(said, str) and re.fullmatch(r"-?[0-9]{1,9}", said):
        said = int(said)
    if isinstance(said, bool) or not isinstance(said, int | str) or not 0 < len(str(said)) < 200:
        raise UserError(f"{entry.name} in {path} says no label: a number or a name is wanted")
    return said, None if name is None else str(name)
