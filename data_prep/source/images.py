"""A source: its classes, and where each of its images lies.

An image is an `ImageRef`: a position, not a file. Archives are read in place: the official train
tar is a tar of 1000 uncompressed tars, so every JPEG in it is one read.
"""

import array
import dataclasses
import functools
import hashlib
import heapq
import json
import operator
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, overload

import numpy as np

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
        packing: how it lies there: `entries.PLAIN`, `entries.DEFLATED` or `parquet.ROW`.
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


_CODED = ("split", "wnid", "head", "packing")  # the fields of which there are few values


def _values(columns: Mapping[str, np.ndarray]) -> dict[str, list[str]]:
    return {name: json.loads(columns[f"{name}s"].tobytes()) for name in _CODED}


class Refs(Sequence[ImageRef]):
    """Image references in columns: a million take 60 MB, where a list of them takes 500.

    `take` gives some of them, in another order, over the same columns.
    """

    _TEXTS = ("name", "tail")
    _CHUNK = 4096  # rows that are made into references at once

    def __init__(
        self,
        columns: Mapping[str, np.ndarray],
        rows: np.ndarray | None = None,
        split: str = "",
        values: Mapping[str, list[str]] | None = None,
    ) -> None:
        """Made by `of`, `take` and what is saved of `columns`.

        Args:
            columns: int64 `offset` and `size`; for each coded field an index into its values, which
                are JSON under the field's plural; for each text all of them in UTF-8 under its
                plural, and where each ends. A path is a head and a tail.
            rows: which of them, in which order; None: all.
            split: what their split is taken for; empty: what it is.
            values: what the coded fields' indices mean, where that was read already.
        """
        self.columns, self._split = columns, split
        self._rows = np.arange(len(columns["offset"])) if rows is None else rows
        self._values = _values(columns) if values is None else values

    @classmethod
    def of(cls, refs: Iterable[ImageRef]) -> "Refs":
        """All of an iterable, which is gone through once."""
        codes: dict[str, dict[str, int]] = {name: {} for name in _CODED}
        numbers = {name: array.array("q") for name in (*_CODED, "offset", "size")}
        texts = {name: (bytearray(), array.array("q", [0])) for name in cls._TEXTS}
        for ref in refs:
            # A file of its own is named in its path; those in an archive share the archive's.
            own = not ref.offset and ref.packing == containers.PLAIN
            head, slash, tail = ref.path.rpartition("/") if own else (ref.path, "", "")
            coded = (ref.split, ref.wnid, head, ref.packing)
            for name, value in zip(_CODED, coded, strict=True):
                numbers[name].append(codes[name].setdefault(value, len(codes[name])))
            numbers["offset"].append(ref.offset)
            numbers["size"].append(ref.size)
            for name, text in zip(cls._TEXTS, (ref.name, slash + tail), strict=True):
                blob, ends = texts[name]
                blob += text.encode("utf-8", "surrogateescape")
                ends.append(len(blob))
        columns = {name: np.array(values, np.int64) for name, values in numbers.items()}
        for name, known in codes.items():
            columns[name] = columns[name].astype(np.int32)
            columns[f"{name}s"] = np.frombuffer(json.dumps(list(known)).encode(), np.uint8)
        for name, (blob, ends) in texts.items():
            columns[f"{name}s"] = np.frombuffer(bytes(blob), np.uint8)
            columns[f"{name}_ends"] = np.array(ends, np.int64)
        return cls(columns)

    def take(self, rows: np.ndarray, split: str = "") -> "Refs":
        """Some of them, in the order of `rows`, of a `split` that is another perhaps."""
        return Refs(self.columns, self._rows[rows], split or self._split, self._values)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> ImageRef: ...
    @overload
    def __getitem__(self, index: slice) -> "Refs": ...
    def __getitem__(self, index: int | slice) -> "ImageRef | Refs":
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        return next(iter(self.take(np.array([range(len(self))[index]]))))

    def __iter__(self) -> Iterator[ImageRef]:
        for start in range(0, len(self), self._CHUNK):
            rows = self._rows[start : start + self._CHUNK]
            splits, wnids, heads, packings = (
                [self._values[name][code] for code in self.columns[name][rows].tolist()]
                for name in _CODED
            )
            names, tails = (self._texts(name, rows) for name in self._TEXTS)
            if self._split:
                splits = [self._split] * len(rows)
            offsets, sizes = (self.columns[n][rows].tolist() for n in ("offset", "size"))
            paths = map(operator.add, heads, tails)
            yield from map(ImageRef, splits, wnids, names, paths, offsets, sizes, packings)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(operator.eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    @property
    def archives(self) -> list[str] | None:
        """The files that all of them lie in; None where an image is a file of its own."""
        return None if self.columns["tails"].size else self._values["head"]

    def codes(self, field: str) -> tuple[np.ndarray, list[str]]:
        """`split`, `wnid` or `packing` of each as an index, int32 [n], and what indices mean."""
        return self.columns[field][self._rows], self._values[field]

    def in_order(self) -> Iterator[ImageRef]:
        """As `sorted` would give them, but with one class at a time in memory."""
        keys = np.zeros(len(self), np.int64)
        for field in ("split", "wnid"):
            codes, values = self.codes(field)
            ranks = np.empty(len(values), np.int64)
            ranks[sorted(range(len(values)), key=values.__getitem__)] = range(len(values))
            keys = keys * len(values) + ranks[codes]
        order = np.argsort(keys, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
            yield from sorted(self.take(rows))

    def _texts(self, name: str, rows: np.ndarray) -> list[str]:
        blob, ends = self.columns[f"{name}s"], self.columns[f"{name}_ends"]
        return [
            blob[start:stop].tobytes().decode("utf-8", "surrogateescape")
            for start, stop in zip(ends[rows].tolist(), ends[rows + 1].tolist(), strict=True)
        ]


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
    refs: Refs
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
        for ref in self.refs.in_order():
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
        if parquet.ROW in self.refs.codes("packing")[1]:
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
