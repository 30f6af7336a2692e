"""Makes small data set directories for tests: valid by data_prep.schema, with known pixels."""

import hashlib
import io
import json
import pathlib
import tarfile
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from PIL import Image

from data_prep import schema

NAME = "tiny"


def jpeg(pixels: np.ndarray, quality: int = 90) -> bytes:
    """uint8 [h, w, 3] as JPEG bytes."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def smooth_image(generator: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A random image without hard edges: uint8 [height, width, 3]."""
    small = Image.fromarray(generator.integers(0, 256, (5, 6, 3), np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def described(path: pathlib.Path, records: int) -> schema.Shard:
    """A finished shard, as the manifest has it."""
    content = path.read_bytes()
    return schema.Shard(path.name, records, len(content), hashlib.sha256(content).hexdigest())


def record(image: bytes, label: int, name: str) -> bytes:
    """One serialized `tf.train.Example`, as data_prep.schema has it."""
    width, height = Image.open(io.BytesIO(image)).size

    def integer(value: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    def string(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    features = {
        schema.IMAGE: string(image),
        schema.LABEL: integer(label),
        schema.FILE_NAME: string(name.encode()),
        schema.HEIGHT: integer(height),
        schema.WIDTH: integer(width),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString()


def write_dataset(
    directory: pathlib.Path,
    *,
    train: int = 60,
    validation: int = 10,
    num_shards: int = 4,
    num_classes: int = 5,
    size: int = 40,
    settings: schema.ImageSettings | None = None,
    photographs: Sequence[bytes] = (),
) -> pathlib.Path:
    """Writes a data set of smooth random images, or of the given JPEGs, labelled in turns.

    Shards differ in length by one or two. `file_name` is '<split>_<stored number>'.
    """
    settings = settings or schema.ImageSettings(size=size)
    directory.mkdir(parents=True)
    generator = np.random.default_rng(0)
    wnids = tuple(f"n{label:08d}" for label in range(num_classes))
    shards = {}
    for split, count in ((schema.TRAIN, train), (schema.VALIDATION, validation)):
        files = max(1, min(num_shards, count // 2)) if split == schema.TRAIN else 1
        bounds = np.linspace(0, count, files + 1).astype(int)
        listed = []
        for index in range(files):
            path = directory / schema.shard_file(NAME, split, index, files)
            numbers = range(int(bounds[index]), int(bounds[index + 1]))
            with tf.io.TFRecordWriter(str(path)) as writer:
                for number in numbers:
                    if photographs:
                        image = photographs[number % len(photographs)]
                    else:
                        image = jpeg(smooth_image(generator, size, size + number % 17))
                    name = f"{split}_{number}"
                    writer.write(record(image, number % num_classes, name))
            listed.append(described(path, len(numbers)))
        shards[split] = tuple(listed)
    manifest = schema.Manifest(
        name=NAME,
        source={},
        generated=True,
        settings=settings,
        seed=0,
        wnids=wnids,
        words=tuple(f"class {label}" for label in range(num_classes)),
        label_order=schema.label_order_hash(wnids),
        shards=shards,
        rejected=(),
    )
    (directory / schema.MANIFEST_FILE).write_text(manifest.to_json())
    (directory / schema.DATASET_INFO_FILE).write_text(json.dumps({"name": NAME}))
    np.savez(
        directory / schema.STATISTICS_FILE,
        channel_mean=np.array([120.0, 115.0, 104.0]),
        channel_std=np.array([70.0, 68.0, 72.0]),
        eigenvalues=np.array([14000.0, 1200.0, 300.0]),
        eigenvectors=np.linalg.qr(generator.normal(size=(3, 3)))[0],
        mean_image=generator.uniform(90, 130, (size, size, 3)),
    )
    return directory


def sample_photographs(sample_dir: pathlib.Path, count: int) -> list[bytes]:
    """The first photographs of the real sample, as they are stored there."""
    path = sample_dir / "ilsvrc2012_sample" / "ILSVRC2012_img_val.tar"
    with tarfile.open(path) as tar:
        members = [member for member, _ in zip(tar, range(count), strict=False)]
        return [tar.extractfile(member).read() for member in members]


def pixels(encoded: bytes) -> np.ndarray:
    """A file's image by Pillow: uint8 [height, width, 3]."""
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))
