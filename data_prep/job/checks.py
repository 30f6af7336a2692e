"""What can be said of a source before hours of work go into it.

Each check gives a `Finding`: that all is well, that something is lacking but the rest can be used
(a part of ILSVRC is a source as well), or that something is broken.
"""

import collections
import dataclasses
import hashlib
import io
import math
import pathlib
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from etils import epath
from PIL import Image as PillowImage

from base.errors import UserError
from data_prep import schema
from data_prep.image import conversion, jpeg_header
from data_prep.job import shards, unpacking
from data_prep.job.plan import ShardTask, shuffled
from data_prep.source import official, parquet, remarks, synsets
from data_prep.source.images import ImageRef, Source

OK, LACKING, BROKEN = "ok", "lacking", "BROKEN"
_LEVELS = {remarks.FINE: OK, remarks.LACKS: LACKING, remarks.BREAKS: BROKEN}

# Bytes and MD5 of the official files, as image-net.org publishes them.
OFFICIAL_FILES = {
    official.TRAIN_TAR: (147_897_477_120, "1d675b47d978889d74fa0da5fadfb00e"),
    official.VALIDATION_TAR: (6_744_924_160, "29b22e2961454d5413ddabcf34fc5622"),
    "ILSVRC2012_img_test_v10102019.tar": (None, "e1b8681fff3d63731c599df9b4b6fc02"),
    f"{official.DEVKIT}.tar.gz": (2_568_145, "fa75699e90414af021442c21a62c3abf"),
}
_MEASURED = 64  # images by which sizes and times are estimated
_OVERHEAD = 1.02  # of what is beside the records, and of what the estimate may err by


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: OK, LACKING (usable, but not all of it) or BROKEN.
        text: what was found, in one line.
    """

    level: str
    text: str

    def say(self, say: Callable[[str], None]) -> None:
        """Prints it; raises UserError for what is broken."""
        if self.level == BROKEN:
            raise UserError(self.text)
        say(f"{self.level}: {self.text}")


@dataclasses.dataclass(frozen=True)
class Measured:
    """What converting a few images showed.

    Attributes:
        record_bytes: mean size of a record.
        seconds: mean time for an image on one core.
    """

    record_bytes: float
    seconds: float


def contents(source: Source) -> Iterator[Finding]:
    """Classes, images per class, and the validation set: from the listing alone."""
    refs = source.refs
    for level, text in source.remarks.lines():
        yield Finding(_LEVELS[level], text)
    keys = np.fromiter((hash(ref[:3]) for ref in refs), np.int64, len(refs))
    if doubles := len(refs) - len(np.unique(keys)):
        yield Finding(BROKEN, _same_names(refs, doubles))
    counted = collections.Counter((ref.split, ref.wnid) for ref in refs)
    counts = {
        split: collections.Counter({w: n for (s, w), n in counted.items() if s == split})
        for split in schema.SPLITS
    }
    if schema.TRAIN in source.splits:
        yield _train(source.classes, counts[schema.TRAIN])
    if schema.VALIDATION in source.splits:
        yield _validation(source, counts[schema.VALIDATION].total())


def _same_names(refs: Sequence[ImageRef], doubles: int) -> str:
    """The line about images that cannot be told apart, with the first of them."""
    seen = set()
    for ref in refs:
        if ref[:3] in seen:
            break
        seen.add(ref[:3])
    first = remarks.shown(f"{ref.split}/{ref.wnid}/{ref.name}")
    return (
        f"{doubles:,} images have the name of another of their class, such as {first}: rename them"
    )


def _train(classes: synsets.Classes, train: collections.Counter[str]) -> Finding:
    text = f"train: {train.total():,} images in {len(train):,} of {len(classes.wnids):,} classes"
    if classes.train_images is None:
        return Finding(OK if len(train) == len(classes.wnids) else LACKING, text)
    expected = dict(zip(classes.wnids, classes.train_images, strict=True))
    other = [wnid for wnid, count in expected.items() if train[wnid] != count]
    if not other:
        return Finding(OK, f"{text}, as the devkit says")
    wnid = other[0]
    return Finding(
        LACKING,
        f"{text}; the devkit says {sum(expected.values()):,}: {len(other):,} classes have another "
        f"number, such as {wnid} ({train[wnid]}, not {expected[wnid]})",
    )


def _validation(source: Source, images: int) -> Finding:
    text = f"validation: {images:,} images"
    numbers = {
        int(match[1])
        for ref in source.refs
        if ref.split == schema.VALIDATION
        and (match := official.VALIDATION_NAME.fullmatch(ref.name.rsplit("/", 1)[-1]))
    }
    if source.name != "ilsvrc2012" or not numbers:
        return Finding(OK if images else LACKING, text)
    whole = schema.ILSVRC2012_IMAGES[schema.VALIDATION]
    missing = sorted(set(range(1, whole + 1)) - numbers)
    if not missing:
        return Finding(OK, f"{text}, all of them")
    return Finding(
        LACKING, f"{text} of {whole:,}; the first that is missing is number {missing[0]}"
    )


def official_files(directory: pathlib.Path, md5: bool) -> Iterator[Finding]:
    """Sizes of the official files, and their MD5 where asked for.

    Args:
        directory: that holds them.
        md5: whether to read them whole (150 GB: some minutes on a fast disk).
    """
    for name, (size, expected) in OFFICIAL_FILES.items():
        path = directory / name
        if not path.is_file():
            continue
        found = path.stat().st_size
        if size is not None and found != size:
            text = f"{name}: {found:,} bytes, the official file has {size:,}: a part, or another"
            yield Finding(LACKING, text)
        elif md5:
            yield _md5(path, expected)
        else:
            same = "" if size is None else ", as the official file"
            yield Finding(OK, f"{name}: {found:,} bytes{same}")


def _md5(path: pathlib.Path, expected: str) -> Finding:
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found == expected:
        return Finding(OK, f"{path.name}: MD5 {found}, as the official file")
    return Finding(BROKEN, f"{path.name}: MD5 {found}, not {expected}: download it again")


def headers(refs: Iterable[ImageRef], on_image: Callable[[int], None]) -> Iterator[Finding]:
    """Reads images and the headers of them, without decoding: what kinds there are.

    Args:
        refs: which to look at.
        on_image: called with 1 for each.
    """
    kinds: collections.Counter[str] = collections.Counter()
    unreadable = []
    for ref in refs:
        data = ref.read()
        try:
            kinds[kind(data)] += 1
        except conversion.RejectedError as error:
            unreadable.append(f"{ref.name} ({error})")
        on_image(1)
    listed = ", ".join(f"{count:,} {name}" for name, count in kinds.most_common())
    yield Finding(OK, f"headers of {kinds.total() + len(unreadable):,} images: {listed}")
    if unreadable:
        yield Finding(BROKEN, f"{len(unreadable)} cannot be read, such as {unreadable[0]}")


def kind(data: bytes) -> str:
    """What an image file is, by its header.

    Raises:
        images.RejectedError: nothing that can be opened.
    """
    header = jpeg_header.read(data)
    if header is not None:
        colours = {1: "gray", 3: "colour", 4: "CMYK"}.get(header.components, "odd")
        coding = {0xC0: "", 0xC1: "", 0xC2: "progressive "}.get(header.frame, "unusual ")
        return f"{coding}{colours} JPEG"
    if not data:
        raise conversion.RejectedError("empty file")
    try:
        with PillowImage.open(io.BytesIO(data)) as image:
            return f"{image.format} {image.mode}"
    except Exception:  # Pillow's plugins raise nearly anything
        raise conversion.RejectedError(f"no image: starts with {data[:8].hex(' ')}") from None


def sample_of(source: Source, count: int) -> list[ImageRef]:
    """Some images of a source, spread over it, the same every time."""
    ordered = list(shuffled(source.refs, seed=0).values())
    total = sum(map(len, ordered))
    count = min(count, total)
    wanted = {index * total // count for index in range(count)}
    found: list[ImageRef] = []
    start = 0
    for refs in ordered:
        rows = sorted(place - start for place in wanted if start <= place < start + len(refs))
        found += refs.take(np.array(rows, np.int64))
        start += len(refs)
    return found


def measure(refs: Sequence[ImageRef], settings: schema.ImageSettings) -> Measured:
    """Converts the first few images. The sizes are the same every time, the times are not."""
    sizes = []
    seconds = 0.0
    for ref in refs[:_MEASURED]:
        data = ref.read()
        start = time.perf_counter()
        try:
            image = conversion.convert(data, settings)
        except conversion.RejectedError:
            continue
        height, width, _ = image.pixels.shape
        sizes.append(len(shards.serialize(image.encoded, 0, ref.name, height, width)))
        seconds += time.perf_counter() - start
    count = max(len(sizes), 1)
    return Measured(sum(sizes) / count, seconds / count)


def room(
    job: shards.ShardJob, images: int, tasks: Sequence[ShardTask], to_runs: int = 0
) -> Finding:
    """Free disk space against what `images` more images in `tasks` will take, by a few of them.

    So many images as `to_runs` are written to runs before, which take as much again for a while.
    """
    if not tasks:
        return Finding(OK, "every shard is finished")
    refs = tasks[0].refs
    need = (images + to_runs) * measure(refs, job.settings).record_bytes * _OVERHEAD
    need += len(tasks) * job.part_bytes
    if any(ref.packing == parquet.ROW for ref in refs[:1]):
        mean = sum(len(ref.read()) for ref in refs[:8]) / len(refs[:8])
        need += max(0, images * mean - unpacking.taken(job.work / unpacking.DIRECTORY))
    finding = space(epath.Path(job.directory), need)
    if to_runs:
        half = " (half of it for a while, as --reading=sequential sorts on the disk)"
        return dataclasses.replace(finding, text=finding.text + half)
    return finding


def space(directory: epath.Path, need: float) -> Finding:
    """Free disk space against a need in bytes."""
    text = f"about {_gigabytes(need)} will be written"
    if re.match(r"\w+://", str(directory)):
        return Finding(OK, f"{text} to {directory}")
    existing = pathlib.Path(directory).absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < need:
        return Finding(
            BROKEN,
            f"{text}, but {existing} has {_gigabytes(free)} free: make room for the data set",
        )
    return Finding(OK, f"{text}, {_gigabytes(free)} are free")


def _gigabytes(size: float) -> str:
    if size < 10**9:
        return f"{math.ceil(size / 10**6)} MB"
    return f"{size / 10**9:.1f} GB"
