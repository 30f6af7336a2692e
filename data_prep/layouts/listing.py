"""A source's listing, kept beside the data set, so that it is made once.

Listing the official tars takes minutes: each of 1.3 million images has a header of its own. What
was listed is kept in `<data_dir>/.listings/`, and check_source, build, its continuation and repair
use it as long as the source is what it was: the same names beside the archives, and of each archive
the size, the time, and the bytes of blocks spread over it. Only a source whose images all lie in
archives is kept: what is in folders is seen by going through them.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from base.files import atomic
from data_prep.layouts import opening
from data_prep.layouts.listed import Each
from data_prep.progress import Progress
from data_prep.source import containers, official, synsets
from data_prep.source.entries import readable
from data_prep.source.images import ImageRef, Refs, Source
from data_prep.source.remarks import Remarks

_ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error)
DIRECTORY = ".listings"
# Goes up with each change of what a listing gives.
_FORMAT = 2
_SAID = "said"
# So many files are looked at, at most, to see that a source is what it was; and so many blocks of
# all of them together, as each may be a seek.
_MOST_FILES, _BLOCKS = 20_000, 512


class Where(Protocol):
    """What the flags say of a source."""

    @property
    def source(self) -> str:
        """Its path; empty: the sample."""

    @property
    def layout(self) -> str:
        """Its layout's name, or `auto`."""

    @property
    def allow(self) -> tuple[str, ...]:
        """Kinds of remarks that do not stop the job."""


def open_or_generate(
    where: Where,
    splits: Collection[str],
    data_dir: str,
    say: Callable[[str], None],
    each: Each = map,
) -> Source:
    """The source that the flags name; without --source the sample, made where it is missing.

    Args:
        where: what the flags say.
        splits: those that are wanted.
        data_dir: where the sample lies, and what was listed is kept.
        say: prints a line.
        each: goes through the files of a source of many tars.
    """
    path = where.source
    if not path:
        # Here, as it draws with libraries that --help has no need of.
        from data_prep.source import sample

        path = str(sample.ensure(data_dir, say))
        say(f"no --source: taking the embedded sample, GENERATED images, no photographs: {path}")
    source = opened(path, where.layout, splits, where.allow, data_dir, each)
    images = f"{len(source.refs):,} images"
    say(f"source {readable(path)}: layout {source.layout}, by {readable(source.why)}; {images}")
    return source


def opened(
    path: str,
    layout: str,
    splits: Collection[str],
    allowed: Collection[str],
    data_dir: str,
    each: Each = map,
) -> Source:
    """`opening.open_source`, from what is kept in `data_dir`, where that is still true.

    Says how far it is, where it has to be made. Raises UserError as `open_source`.
    """
    root = opening.root_of(path)
    if "://" in data_dir:
        return opening.open_source(path, layout, splits, allowed, _counted, each)
    asked = json.dumps([_FORMAT, str(root), layout, sorted(splits)])
    name = hashlib.sha256(asked.encode()).hexdigest()[:24]
    file = pathlib.Path(data_dir) / DIRECTORY / f"{name}.npz"
    if known := _load(file, root, allowed):
        return known
    source = opening.open_source(path, layout, splits, allowed, _counted, each)
    archives = source.refs.archives
    state = _state(root, archives) if archives else None
    if state:
        with contextlib.suppress(OSError):  # a place that cannot be written: it is made again
            _save(file, source, state)
    return source


def _counted(refs: Iterable[ImageRef]) -> Iterator[ImageRef]:
    """Says how many images were listed so far."""
    progress = Progress(0, label="listing")
    try:
        for count, ref in enumerate(refs, 1):
            if count % 8192 == 0:
                progress.add(8192)
            yield ref
    finally:
        progress.close()


def _state(root: pathlib.Path, archives: Collection[str]) -> dict[str, Any] | None:
    """What a listing depends on; None where that cannot be read, or is too much to look at.

    It is the names in the folders of the archives, and each archive's and each small file's size,
    time and a hash of some of its bytes; the devkit's, too.
    """
    files = {pathlib.Path(path) for path in archives}
    folders = {path.parent for path in files} | {root} if root.is_dir() else set()
    if devkit := official.find_devkit(root):
        files |= {path for path in devkit.rglob("*") if path.is_file()} or {devkit}
    try:
        names = {str(folder): sorted(os.listdir(folder)) for folder in sorted(folders)}
        if sum(map(len, names.values())) > _MOST_FILES or len(files) > _MOST_FILES:
            return None
        files |= {path for path in map(root.joinpath, names.get(str(root), ())) if path.is_file()}
        blocks = max(2, _BLOCKS // len(files))
        found = []
        for path in sorted(files):
            status = path.stat()
            digest = hashlib.sha256(containers.spread_blocks(str(path), blocks)).hexdigest()
            found.append([str(path), status.st_size, status.st_mtime_ns, digest])
    except OSError:
        return None
    return {"names": names, "files": found}


def _save(file: pathlib.Path, source: Source, state: Mapping[str, Any]) -> None:
    said = {
        "state": state,
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
    arrays = {_SAID: np.frombuffer(json.dumps(said).encode(), np.uint8), **source.refs.columns}
    with atomic(file) as output:
        np.savez(output, **arrays)  # type: ignore[arg-type]


def _load(file: pathlib.Path, root: pathlib.Path, allowed: Collection[str]) -> Source | None:
    """What a file holds; None where there is none, it is damaged, or the source has changed."""
    try:
        with np.load(file) as arrays:
            columns = {name: arrays[name] for name in arrays.files}
        said = json.loads(columns.pop(_SAID).tobytes())
        refs = Refs(columns)
        if said["state"] != _state(root, refs.archives or ()):
            return None
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
            refs,
            Remarks(allowed, said["remarks"]),
            tuple(said["splits"]),
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, *_ZIP_DAMAGE):
        return None
    # They take seconds, and are of the bytes that were looked at.
    vars(source).update(fingerprint=said["fingerprint"], content=said["content"])
    return source
