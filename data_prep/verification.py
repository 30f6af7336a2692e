"""Whether a finished data set is what its manifest says that it is."""

import concurrent.futures
import dataclasses
import hashlib
import re
from collections.abc import Callable, Iterator

import simplejpeg
import tensorflow as tf
from etils import epath

from data_prep import jpeg_header, schema, tfds_metadata
from data_prep.commandline import UserError

_BLOCK = 1 << 20


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
    shards = [shard for split in schema.SPLITS for shard in manifest.shards[split]]
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        results = pool.map(lambda shard: list(shard_faults(directory, shard, manifest)), shards)
        for shard, result in zip(shards, results, strict=True):
            found += result
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
    for path in sorted(directory.glob("*.tfrecord-*")):
        if path.name not in expected:
            yield Fault(path.name, "the manifest does not list it")


def shard_faults(
    directory: epath.Path, shard: schema.Shard, manifest: schema.Manifest
) -> Iterator[Fault]:
    """What is wrong with one shard; at most one fault of its records."""
    path = directory / shard.file
    if not path.exists():
        yield Fault(shard.file, "it is missing")
        return
    size, digest = 0, hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            size += len(block)
            digest.update(block)
    if size != shard.bytes:
        yield Fault(shard.file, f"it has {size:,} bytes, the manifest says {shard.bytes:,}")
    elif digest.hexdigest() != shard.sha256:
        yield Fault(shard.file, f"its SHA-256 is {digest.hexdigest()}, not {shard.sha256}")
    count = 0
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            problem = _record_problem(record, manifest)
            if problem:
                yield Fault(shard.file, f"record {count}: {problem}")
                return
            count += 1
    except tf.errors.DataLossError as error:
        # TensorFlow says between what was found where in its own graph that was.
        text = re.sub(r"\{\{.*\}\}|\[Op.*|;.*|\(.*", "", error.message).strip()
        yield Fault(shard.file, f"record {count}: {text}")
        return
    if count != shard.records:
        yield Fault(shard.file, f"it has {count:,} records, the manifest says {shard.records:,}")


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
