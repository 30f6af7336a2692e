"""One shard: a pure function of its task and the job's settings.

A shard is built in chunks of images, which any number of threads may convert as long as they come
back in order. It is written in `.build/`, renamed to its final name when it is whole and on the
disk (`base/files.py`), and only then gets its part file `.build/<shard>.npz` with its counts, hash,
rejected images and pixel sums. So a shard with a part file is finished for ever, and a job that
was killed continues at the first one without.
"""

import dataclasses
import functools
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf
from etils import epath

from base import typed_json
from base.errors import UserError
from base.files import atomic, atomic_path
from data_prep import schema
from data_prep.image import conversion
from data_prep.image.pixel_sums import PixelSums
from data_prep.job.plan import ShardTask
from data_prep.source.images import ImageRef

WORK_DIRECTORY = ".build"
CHUNK_IMAGES = 32
SUMMARY_FORMAT = 1


@dataclasses.dataclass
class Chunk:
    """Some consecutive images of a shard, converted.

    Attributes:
        records: serialized `tf.train.Example`s.
        rejected: the manifest's entries of the images that are not in `records`.
        sums: of the pixels, for the train split; else of nothing.
        kept: of each image whether it is in `records`.
    """

    records: list[bytes]
    rejected: list[dict[str, str]]
    sums: PixelSums
    kept: list[bool] = dataclasses.field(default_factory=list)

    @property
    def images(self) -> int:
        """How many images were looked at."""
        return len(self.records) + len(self.rejected)


@dataclasses.dataclass(frozen=True)
class Part:
    """What is known of a finished shard."""

    shard: schema.Shard
    rejected: tuple[dict[str, str], ...]
    sums: PixelSums


@dataclasses.dataclass(frozen=True)
class _Summary:
    """A part file's entry `summary`: the part without its arrays."""

    shard: schema.Shard
    rejected: tuple[dict[str, str], ...]


@dataclasses.dataclass(frozen=True)
class ShardJob:
    """What all shards of a data set have in common.

    Attributes:
        directory: of the data set; any path that `tf.io.gfile` knows.
        name: of the data set.
        settings: of its images.
        wnids: its classes in label order.
    """

    directory: str
    name: str
    settings: schema.ImageSettings
    wnids: tuple[str, ...]

    @functools.cached_property
    def _labels(self) -> dict[str, int]:
        return {wnid: label for label, wnid in enumerate(self.wnids)}

    @property
    def mean_image_side(self) -> int:
        """Side of the mean image in pixels; 0 where the geometry gives no common square."""
        has_square = self.settings.geometry in ("short_side", "square_crop", "warp")
        return self.settings.size if has_square else 0

    @property
    def part_bytes(self) -> int:
        """About the size of a part file, which is that of its mean image."""
        return PixelSums(self.mean_image_side).image_sum.nbytes

    @property
    def work(self) -> epath.Path:
        """Where unfinished things lie: on the same file system, for the renames."""
        return epath.Path(self.directory) / WORK_DIRECTORY

    def file_name(self, task: ShardTask) -> str:
        """The shard's final file name."""
        return schema.shard_file(self.name, task.split, task.index, task.count)

    def convert(self, refs: Iterable[ImageRef]) -> Chunk:
        """Reads and converts a chunk of images; a bad one becomes an entry of `rejected`."""
        return self.convert_read((ref, ref.read()) for ref in refs)

    def convert_read(self, read: Iterable[tuple[ImageRef, bytes]]) -> Chunk:
        """The same of images that are read already."""
        chunk = Chunk([], [], PixelSums(self.mean_image_side))
        for ref, data in read:
            try:
                image = conversion.convert(data, self.settings)
            except conversion.RejectedError as reason:
                entry = {"split": ref.split, "name": ref.name, "reason": str(reason)}
                chunk.rejected.append(entry)
                chunk.kept.append(False)
                continue
            chunk.kept.append(True)
            label = self._labels[ref.wnid]
            height, width, _ = image.pixels.shape
            chunk.records.append(serialize(image.encoded, label, ref.name, height, width))
            if ref.split == schema.TRAIN:
                chunk.sums.add(image.pixels, label)
        return chunk

    def write(self, task: ShardTask, chunks: Iterable[Chunk]) -> Part:
        """Writes the shard from its chunks, in order."""
        file = self.file_name(task)
        path = epath.Path(self.directory) / file
        rejected: list[dict[str, str]] = []
        sums = PixelSums(self.mean_image_side)
        records = 0
        with atomic_path(path, beside=self.work) as temporary:
            try:
                with tf.io.TFRecordWriter(os.fspath(temporary)) as writer:
                    for chunk in chunks:
                        for record in chunk.records:
                            writer.write(record)
                        records += len(chunk.records)
                        rejected += chunk.rejected
                        sums.merge(chunk.sums)
            except tf.errors.OpError as error:  # a full disk, or a bucket that refuses
                reason = error.message.rpartition(";")[2].strip()  # what is before it is the path
                raise UserError(
                    f"cannot write {path}: {reason}: mend that, and the same command continues"
                ) from None
            size, sha256 = size_and_sha256(temporary)
        part = Part(schema.Shard(file, records, size, sha256), tuple(rejected), sums)
        self._write_part(part)
        return part

    def finished(self, task: ShardTask) -> Part | None:
        """The shard's part, if it is finished."""
        file = self.file_name(task)
        shard, path = epath.Path(self.directory) / file, self.work / f"{file}.npz"
        if not (shard.exists() and path.exists()):
            return None
        with np.load(io.BytesIO(path.read_bytes())) as arrays:
            try:
                text = str(arrays["summary"])
                summary: _Summary = typed_json.read(text, _Summary, SUMMARY_FORMAT)
            except typed_json.FileError as error:
                raise UserError(
                    f"{path}: its summary {error} (deleting {self.work} begins the job anew)"
                ) from None
            part = Part(summary.shard, summary.rejected, PixelSums.from_arrays(arrays))
        return part if shard.stat().length == part.shard.bytes else None

    def save_task(self, task: ShardTask) -> str:
        """Writes a task where any machine can load it, and gives the file's name."""
        name = f"{self.file_name(task)}.task.json"
        refs = [ref._replace(path=os.path.abspath(ref.path)) for ref in task.refs]
        with atomic(self.work / name, "w") as output:
            output.write(json.dumps((task.split, task.index, task.count, refs)))
        return name

    def load_task(self, name: str) -> ShardTask:
        """The inverse of `save_task`."""
        split, index, count, refs = json.loads((self.work / name).read_text())
        return ShardTask(split, index, count, tuple(ImageRef(*ref) for ref in refs))

    def _write_part(self, part: Part) -> None:
        text = typed_json.write(_Summary(part.shard, part.rejected), SUMMARY_FORMAT)
        arrays = {"summary": np.array(text), **part.sums.to_arrays()}
        with atomic(self.work / f"{part.shard.file}.npz") as output:
            output.write(npz(arrays))


def chunks_of(task: ShardTask) -> Iterator[tuple[ImageRef, ...]]:
    """The task's images in chunks of CHUNK_IMAGES, the last one shorter."""
    for start in range(0, len(task.refs), CHUNK_IMAGES):
        yield tuple(task.refs[start : start + CHUNK_IMAGES])


def serialize(encoded: bytes, label: int, file_name: str, height: int, width: int) -> bytes:
    """One record's bytes; the same for the same values."""
    example = tf.train.Example()
    feature = example.features.feature
    feature[schema.IMAGE].bytes_list.value.append(encoded)
    feature[schema.LABEL].int64_list.value.append(label)
    feature[schema.FILE_NAME].bytes_list.value.append(file_name.encode())
    feature[schema.HEIGHT].int64_list.value.append(height)
    feature[schema.WIDTH].int64_list.value.append(width)
    return example.SerializeToString(deterministic=True)


def size_and_sha256(path: epath.Path) -> tuple[int, str]:
    """A file's bytes and its SHA-256 in hex digits."""
    size, digest = 0, hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            size += len(block)
            digest.update(block)
    return size, digest.hexdigest()


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    """Arrays as the bytes of an .npz file; the same for the same values."""
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()
