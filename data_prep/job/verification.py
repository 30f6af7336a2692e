"""Whether a finished data set is what its manifest says that it is."""

import concurrent.futures
import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator, Sequence

import simplejpeg
import tensorflow as tf
from etils import epath

from base.errors import UserError
from base.files import matching
from base.parallel import in_order
from data_prep import schema
from data_prep.image import jpeg_header
from data_prep.job import tfds_metadata
from data_prep.job.shards import size_and_sha256

_CHUNK = 32  # records that a thread looks at
_AHEAD = 64  # chunks that wait for a thread, at most


@dataclasses.dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        file: in the data set directory.
        text: what was found, in one line.
    """

    file: str
    text: str


def faults(
    directory: epath.Path,
    manifest: schema.Manifest,
    workers: int,
    on_images: Callable[[int], None] = lambda count: None,
) -> list[Fault]:
    """Everything that is wrong with a data set directory.

    Args:
        directory: of the data set.
        manifest: its own.
        workers: threads.
        on_images: called with the number of records of each shard that is done.
    """
    found = list(metadata_faults(directory, manifest))
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for split in schema.SPLITS:
            for shard in manifest.shards[split]:
                found += shard_faults(directory, shard, manifest, pool)
                on_images(shard.records)
    return found


def metadata_faults(directory: epath.Path, manifest: schema.Manifest) -> Iterator[Fault]:
    """What is wrong with the files beside the shards."""
    if schema.label_order_hash(manifest.wnids) != manifest.label_order:
        yield Fault(schema.MANIFEST_FILE, "its label order is not the hash of its classes")
    problem = tfds_metadata.disagreement(manifest, directory)
    if problem:
        yield Fault(schema.DATASET_INFO_FILE, problem)
    try:
        statistics = schema.Statistics.load(directory)
    except UserError as error:
        yield Fault(schema.STATISTICS_FILE, str(error))
        return
    train = manifest.num_records(schema.TRAIN)
    if statistics.class_counts.sum() != train or statistics.size_counts.sum() != train:
        yield Fault(
            schema.STATISTICS_FILE,
            f"it is of {statistics.class_counts.sum():,} images, the manifest has {train:,}",
        )
    expected = {shard.file for split in schema.SPLITS for shard in manifest.shards[split]}
    for path in matching(directory, "*.tfrecord-*"):
        if path.name not in expected:
            yield Fault(path.name, "the manifest does not list it")


def shard_faults(
    directory: epath.Path,
    shard: schema.Shard,
    manifest: schema.Manifest,
    pool: concurrent.futures.Executor,
) -> Iterator[Fault]:
    """What is wrong with one shard; at most one fault of its records.

    Records are read by this thread and looked at by those of the pool: TensorFlow, which reads
    them, has crashed where several threads made data sets at once.
    """
    path = directory / shard.file
    if not path.exists():
        yield Fault(shard.file, "it is missing")
        return
    hashed = pool.submit(size_and_sha256, path)
    records = _Records(path)
    chunks = iter(lambda: list(itertools.islice(records, _CHUNK)), [])
    count, problem = 0, ""
    for looked_at, problem in in_order(
        pool, lambda chunk: _first_problem(chunk, manifest), chunks, _AHEAD
    ):
        count += looked_at
        if problem:
            break
    size, sha256 = hashed.result()
    if size != shard.bytes:
        yield Fault(shard.file, f"it has {size:,} bytes, the manifest says {shard.bytes:,}")
    elif sha256 != shard.sha256:
        yield Fault(shard.file, f"its SHA-256 is {sha256}, not {shard.sha256}")
    if problem := problem or records.problem:
        yield Fault(shard.file, f"record {count}: {problem}")
    elif count != shard.records:
        yield Fault(shard.file, f"it has {count:,} records, the manifest says {shard.records:,}")


class _Records(Iterator[bytes]):
    """The records of a shard up to the first that is damaged.

    Attributes:
        problem: what is wrong with that one; empty where there is none.
    """

    def __init__(self, path: epath.Path) -> None:
        self._records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        self.problem = ""

    def __next__(self) -> bytes:
        if self.problem:
            raise StopIteration
        try:
            return next(self._records)
        except tf.errors.DataLossError as error:
            # TensorFlow says between what was found where in its own graph that was.
            self.problem = re.sub(r"\{\{.*\}\}|\[Op.*|;.*|\(.*", "", error.message).strip()
            raise StopIteration from None


def _first_problem(records: Sequence[bytes], manifest: schema.Manifest) -> tuple[int, str]:
    """How many records are in order, and what is wrong with the next, or nothing."""
    for index, record in enumerate(records):
        if problem := _record_problem(record, manifest):
            return index, problem
    return len(records), ""


def _record_problem(record: bytes, manifest: schema.Manifest) -> str:
    example = tf.train.Example()
    try:
        example.ParseFromString(record)
        feature = example.features.feature
        encoded = feature[schema.IMAGE].bytes_list.value[0]
        name = feature[schema.FILE_NAME].bytes_list.value[0].decode()
        label, height, width = (
            feature[key].int64_list.value[0] for key in (schema.LABEL, schema.HEIGHT, schema.WIDTH)
        )
    except Exception as error:  # protobuf's errors share no class with those of a missing value
        return f"it is no example of the schema ({type(error).__name__})"
    if not 0 <= label < manifest.num_classes:
        return f"{name} has label {label}: there are {manifest.num_classes} classes"
    if manifest.settings.encoding == "raw":
        whole = len(encoded) == height * width * 3
        return "" if whole else f"{name} has {len(encoded):,} bytes, not {height} x {width} x 3"
    header = jpeg_header.read(encoded)
    if header is None or not header.is_plain:
        return f"{name} is no baseline colour JPEG"
    try:
        pixels = simplejpeg.decode_jpeg(encoded)
    except ValueError as error:
        return f"{name} does not decode: {error}"
    if pixels.shape[:2] != (height, width):
        return f"{name} is {pixels.shape[0]} x {pixels.shape[1]}, not {height} x {width}"
    return ""
