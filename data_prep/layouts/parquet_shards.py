"""Hugging Face's parquet shards: image bytes and labels, a row an image."""

import collections
import pathlib
import re
from collections.abc import Collection, Iterator, Sequence

from base.errors import UserError
from data_prep.layouts import numbered
from data_prep.layouts.listed import Listed
from data_prep.source import naming, parquet
from data_prep.source.images import ImageRef
from data_prep.source.remarks import Remarks

_SUFFIX = ".parquet"
_COUNTED = re.compile(r"(.+)-(\d+)-of-(\d{1,6})")


def recognise(root: pathlib.Path) -> str:
    """One of its files, and how many more there are."""
    found = _files(root)
    return f"{found[0].name} and {len(found) - 1} more" if found else ""


def list_images(root: pathlib.Path, splits: Collection[str], remarks: Remarks) -> Listed:
    """SPLIT-00000-of-00294.parquet or SPLIT/0000.parquet, also in data/ or in a configuration."""
    by_split = _by_split(root, remarks)
    files = [path for found in by_split.values() for path in found]
    if not files:
        raise UserError(
            f"no parquet file in {root} is named train-*.parquet or validation-*.parquet, nor lies "
            "in a folder train/ or validation/: rename it"
        )
    # Of an unwanted split, too: a class that only it has keeps its label.
    names = next((found for path in files if (found := parquet.class_names(path))), None)
    listed = [
        (split, path, _rows(path))
        for split, found in by_split.items()
        for path in found
        if split in splits or names is None
    ]
    for _, path, _ in listed:
        if parquet.class_names(path) not in (None, names):
            raise UserError(
                f"{path} numbers its classes otherwise than {files[0]}: they are of two data sets: "
                "move one away"
            )
    if root.is_dir():
        _note_missing([path for split in splits for path in by_split.get(split, [])], remarks)
    classes, ids = numbered.classes_of(
        names, [row.label for _, _, rows in listed for row in rows], remarks
    )
    _check_labels(listed, ids)
    refs = [
        ImageRef(
            split,
            ids[row.label],
            row.name or f"{path.stem}_{row.number:06d}",
            str(path),
            row.number,
            0,
            parquet.ROW,
        )
        for split, path, rows in listed
        if split in splits
        for row in rows
    ]
    return classes, _told_apart(refs)


def _files(root: pathlib.Path) -> list[pathlib.Path]:
    if root.is_file():
        return [root] if root.suffix == _SUFFIX else []
    return sorted(
        path
        for up in ("", "*/", "*/*/")
        for path in root.glob(f"{up}*{_SUFFIX}")
        if not any(naming.hidden(part) for part in path.relative_to(root).parts)
    )


def _by_split(root: pathlib.Path, remarks: Remarks) -> dict[str, list[pathlib.Path]]:
    """The files of each split, of one configuration alone."""
    found: dict[str, list[pathlib.Path]] = {}
    homes: dict[pathlib.Path, None] = {}
    for path in _files(root):
        said = path.stem.split("-")[0]
        split, home = naming.split_of(said), path.parent
        if split is None and path != root:
            said = path.parent.name.removeprefix("partial-")
            split, home = naming.split_of(said), path.parent.parent
        homes |= {home: None} if split else {}
        if split and home == next(iter(homes)):
            found.setdefault(split, []).append(path)
        elif naming.is_test(path.stem.split("-")[0]) or naming.is_test(path.parent.name):
            remarks.note("test", path.name)
        elif not split:
            remarks.note("other", path.name)
    for other in list(homes)[1:]:
        remarks.note("second", str(other.relative_to(root)))
    return {split: found[split] for split in sorted(found)}


def _note_missing(files: Sequence[pathlib.Path], remarks: Remarks) -> None:
    """Notes half-finished downloads beside the files, and shards that their names count."""
    counted: dict[tuple[pathlib.Path, str, str], set[int]] = {}
    for path in files:
        if match := _COUNTED.fullmatch(path.stem):
            counted.setdefault((path.parent, match[1], match[3]), set()).add(int(match[2]))
    for (_, prefix, count), numbers in counted.items():
        for number in range(int(count)):
            if number not in numbers:
                name = f"{prefix}-{number:0{len(count)}d}-of-{count}{_SUFFIX}"
                remarks.note("missing", name)
    for folder in sorted({path.parent for path in files}):
        for path in sorted(folder.iterdir()):
            if naming.kind_of(path.name) == naming.UNFINISHED and _SUFFIX in path.name:
                remarks.note("half", path.name)


def _rows(path: pathlib.Path) -> list[parquet.Row]:
    return list(parquet.rows(path))


def _check_labels(
    listed: Sequence[tuple[str, pathlib.Path, list[parquet.Row]]], ids: Collection[int | str | None]
) -> None:
    for _, path, rows in listed:
        for row in rows:
            if row.label not in ids:
                said = "no label" if row.label is None else f"label {row.label}"
                raise UserError(
                    f"row {row.number} of {path} has {said}: 0 to {len(ids) - 1} are known: "
                    "take the row out, or give it its label"
                )


def _told_apart(refs: Sequence[ImageRef]) -> Iterator[ImageRef]:
    """The images; where several of a class have one name, by file and row instead."""
    counts = collections.Counter(ref[:3] for ref in refs)
    for ref in refs:
        if counts[ref[:3]] > 1:
            path = pathlib.Path(ref.path)
            suffix = pathlib.PurePosixPath(ref.name).suffix
            ref = ref._replace(name=f"{path.stem}_{ref.offset:06d}{suffix}")
        yield ref
