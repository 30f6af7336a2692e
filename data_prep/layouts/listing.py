"""A source's listing, kept beside the data set, so that it is made once.

Listing the official tars takes minutes: each of 1.3 million images has a header of its own. What
was listed is kept in `<data_dir>/.listings/`, and check_source, build, its continuation and repair
use it, as long as the archives are what they were: the same names, sizes and times, and the same
bytes in blocks spread over them. Folders are listed anew each time, as only that shows what is in
them.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator

import numpy as np

from base.files import atomic
from data_prep.layouts import opening
from data_prep.progress import Progress
from data_prep.source import containers, synsets
from data_prep.source.entries import readable
from data_prep.source.images import ImageRef, Refs, Source
from data_prep.source.remarks import Remarks

DIRECTORY = ".listings"
# Goes up with each change of what a listing gives.
_FORMAT = 1
_SOURCE = "source"
# Layouts that lie in a few archives, all of them at the top of the source.
_ARCHIVES = ("tars", "parquet", "webdataset", "winter21")


def open_or_generate(
    path: str,
    layout: str,
    splits: Collection[str],
    allowed: Collection[str],
    data_dir: str,
    say: Callable[[str], None],
) -> Source:
    """The source that the flags name; without --source the sample, made where it is missing.

    Args:
        path: --source; empty: the sample.
        layout: --layout.
        splits: those that are wanted.
        allowed: --allow.
        data_dir: where the sample lies, and what was listed is kept.
        say: prints a line.
    """
    if not path:
        from data_prep.source import (
            sample,  # here, as it draws with libraries that --help needs not
        )

        path = str(sample.ensure(data_dir, say))
        say(f"no --source: taking the embedded sample, GENERATED images, no photographs: {path}")
    source = opened(path, layout, splits, allowed, data_dir)
    images = f"{len(source.refs):,} images"
    say(f"source {readable(path)}: layout {source.layout}, by {readable(source.why)}; {images}")
    return source


def opened(
    path: str, layout: str, splits: Collection[str], allowed: Collection[str], data_dir: str
) -> Source:
    """`opening.open_source`, from what is kept in `data_dir`, where that is still true.

    Says how far it is, where it has to be made. Raises UserError as `open_source`.
    """
    root = opening.root_of(path)
    archives = _archives(root)
    key = _key(archives, [_FORMAT, str(root), layout, sorted(splits)]) if archives else ""
    place = pathlib.Path(data_dir) / DIRECTORY
    file = place / f"{hashlib.sha256(os.fsencode(root)).hexdigest()[:8]}-{key[:24]}.npz"
    if key and (known := _load(file, allowed)):
        return known
    source = opening.open_source(path, layout, splits, allowed, counted=_counted)
    if key and "://" not in data_dir and (root.is_file() or source.layout in _ARCHIVES):
        with contextlib.suppress(OSError):  # a place that cannot be written: it is made again
            _save(file, source)
    return source


def _counted(refs: Iterable[ImageRef]) -> Iterator[ImageRef]:
    """Says how many images were listed so far."""
    progress, count = Progress(0, label="listing"), 0
    for count, ref in enumerate(refs, 1):
        if count % 8192 == 0:
            progress.add(8192)
        yield ref
    progress.add(count % 8192)
    progress.close()


def _archives(root: pathlib.Path) -> list[pathlib.Path]:
    """The files that a source lies in; none where it is a tree of folders."""
    if root.is_file():
        beside = [path for path in root.parent.iterdir() if "devkit" in path.name]
        return [root, *sorted(path for path in beside if path.is_file())]
    found = sorted(path for up in ("*", "*/*", "*/*/*") for path in root.glob(up))
    files = [path for path in found if path.is_file()]
    return files if len(files) <= 20_000 else []


def _key(archives: list[pathlib.Path], asked: list[object]) -> str:
    """A hash of what the listing depends on; empty where that cannot be read."""
    digest = hashlib.sha256(json.dumps(asked).encode())
    for path in archives:
        try:
            status = path.stat()
            digest.update(f"\n{status.st_size} {status.st_mtime_ns} ".encode() + os.fsencode(path))
            digest.update(containers.spread_blocks(str(path)))
        except OSError:
            return ""
    return digest.hexdigest()


def _save(file: pathlib.Path, source: Source) -> None:
    said = {
        "layout": source.layout,
        "why": source.why,
        "path": source.path,
        "splits": list(source.splits),
        "classes": dataclasses.asdict(source.classes),
        "remarks": source.remarks.found(),
        "fingerprint": source.fingerprint,
        "content": source.content,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    for older in file.parent.glob(f"{file.name[:8]}-*.npz"):
        older.unlink()
    arrays = {_SOURCE: np.frombuffer(json.dumps(said).encode(), np.uint8), **source.refs.columns}
    with atomic(file) as output:
        np.savez(output, **arrays)  # type: ignore[arg-type]


def _load(file: pathlib.Path, allowed: Collection[str]) -> Source | None:
    """What a file holds; None where there is none, or it is damaged."""
    try:
        with np.load(file) as arrays:
            columns = {name: arrays[name] for name in arrays.files}
        said = json.loads(columns.pop(_SOURCE).tobytes())
        of = said["classes"]
        counts = of["train_images"]
        classes = synsets.Classes(
            tuple(of["wnids"]), tuple(of["words"]), None if counts is None else tuple(counts)
        )
        source = Source(
            said["layout"],
            said["why"],
            said["path"],
            classes,
            Refs(columns),
            Remarks(allowed, said["remarks"]),
            tuple(said["splits"]),
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    # They are of the bytes that the file's name is a hash of.
    vars(source).update(fingerprint=said["fingerprint"], content=said["content"])
    return source
