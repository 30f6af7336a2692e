"""A source: its classes, and where each of its images lies.

An image is an `ImageRef`: a position, not a file. Archives are read in place: the official train
tar is a tar of 1000 uncompressed tars, so every JPEG in it is one read.
"""

import dataclasses
import functools
import hashlib
import heapq
import re
from typing import NamedTuple

from data_prep.schema import SPLITS, label_order_hash
from data_prep.source import containers, parquet, synsets
from data_prep.source.entries import readable
from data_prep.source.remarks import Remarks

EVALUATION = "evaluation"  # the layout of sets that are made to evaluate ILSVRC's nets on


class ImageRef(NamedTuple):
    """Where one image's file lies.

    Attributes:
        split: `train` or `validation`.
        wnid: its class.
        name: its file name, unique within split and class.
        path: the file to read from.
        offset: of its first byte in bytes, or its row (`packing`).
        size: of the image's file in bytes; 0 where the source does not say before it is read.
        packing: how it lies there: `containers.PLAIN`, `containers.DEFLATED` or `parquet.ROW`.
    """

    split: str
    wnid: str
    name: str
    path: str
    offset: int
    size: int
    packing: str = containers.PLAIN

    @classmethod
    def of(cls, entry: containers.Entry, split: str, wnid: str) -> "ImageRef":
        """The image that an entry of a directory or an archive is."""
        name = entry.name.rsplit("/", 1)[-1]
        return cls(split, wnid, name, entry.path, entry.offset, entry.size, entry.packing)

    def read(self) -> bytes:
        """The image file's bytes. Raises UserError where the source has shrunk or gone."""
        if self.packing == parquet.ROW:
            return parquet.read_row(self.path, self.offset)
        return containers.read(
            containers.Entry(self.name, self.path, self.offset, self.size, self.packing)
        )


@dataclasses.dataclass(frozen=True)
class Source:
    """All images of one source.

    Attributes:
        layout: its name in `layouts.opening.LAYOUTS`.
        why: by what it was recognised.
        path: where it lies.
        classes: in label order.
        refs: every image, in the source's own order.
        remarks: what was not taken, or is odd.
        splits: those that were asked for.
    """

    layout: str
    why: str
    path: str
    classes: synsets.Classes
    refs: list[ImageRef]
    remarks: Remarks = dataclasses.field(default_factory=Remarks)
    splits: tuple[str, ...] = SPLITS

    @property
    def name(self) -> str:
        """The data set's name: `ilsvrc2012`, `generated`, or after the source's own directory."""
        # A set to evaluate on has ILSVRC's labels, and is another.
        if self.layout != EVALUATION and self.classes.wnids == synsets.ilsvrc2012().wnids:
            return "ilsvrc2012"
        if self.generated:
            return "generated"
        stem = readable(self.path).rstrip("/").rsplit("/", 1)[-1].split(".")[0]
        name = re.sub(r"\W+", "_", stem).strip("_").lower()
        return name if name[:1].isalpha() else f"images_{name}"

    @property
    def generated(self) -> bool:
        """Whether it is the embedded sample (`sample`), whose ids start with s."""
        return all(re.fullmatch(r"s\d{8}", wnid) for wnid in self.classes.wnids)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the label order and of every image's split, class, name and size.

        It does not depend on the container: the official tars and their unpacked folders agree.
        """
        digest = hashlib.sha256(label_order_hash(self.classes.wnids).encode())
        for ref in sorted(self.refs):
            digest.update(f"\n{ref.split}/{ref.wnid}/{ref.name} {ref.size}".encode())
        return digest.hexdigest()

    @functools.cached_property
    def content(self) -> str:
        """SHA-256 of the bytes of some images, as the fingerprint knows names and sizes alone.

        The images are chosen by a hash of their names, so that the same are taken from each
        container. Of parquet files it is of their ends, which say where each column's bytes lie,
        and of blocks spread over them: a single row takes unpacking ten megabytes.

        Raises:
            UserError: they cannot be read.
        """
        digest = hashlib.sha256()
        for path in sorted({ref.path for ref in self.refs if ref.packing == parquet.ROW}):
            digest.update(parquet.spread_blocks(path))
        files = (ref for ref in self.refs if ref.packing != parquet.ROW)
        for _, ref in heapq.nsmallest(_READ, ((_drawn(ref), ref) for ref in files)):
            digest.update(hashlib.sha256(ref.read()).digest())
        return digest.hexdigest()


_READ = 48  # images whose bytes tell one source from another


def _drawn(ref: ImageRef) -> bytes:
    text = f"{ref.split}/{ref.wnid}/{ref.name}".encode()
    return hashlib.blake2b(text, digest_size=8).digest()
