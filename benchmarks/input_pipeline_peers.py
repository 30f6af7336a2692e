"""One input system in a process of its own, for `input_pipelines.py`.

    python -m benchmarks.input_pipeline_peers SYSTEM TASK DIRECTORY BATCH_SIZE THREADS

Prints `ready` after the first batch; then, for every line with a number of seconds, the images per
second over that time. Each system gets its own best: records in memory where it cannot read our
shards, its quick JPEG options, uint8 batches, prefetching.
"""

import concurrent.futures
import io
import itertools
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from base.comparison import OURS
from benchmarks.input_pipelines import BOUND, CROP
from data_prep import schema
from pipelines.config import PipelineConfig

SIZE = 224

# Batches, endlessly: (directory, task, batch size, threads) -> anything per batch.
System = Callable[[str, str, int, int], Iterator[Any]]


def ours(directory: str, task: str, batch_size: int, threads: int) -> Iterator[Any]:
    """The workspace's training pipeline, as the trainers run it."""
    from pipelines.input_pipeline import InputPipeline
    from pipelines.reading.dataset import open_dataset

    crop = "decode_random_crop" if task == CROP else "decode_random_resized_crop"
    config = PipelineConfig(
        data_dir=directory,
        train_batch_size=batch_size,
        train_map=f"{crop}({SIZE})|random_flip",
        map_threads=threads,
    )
    return iter(InputPipeline(open_dataset(config), config).train(batch_size))


def libjpeg_turbo(directory: str, task: str, batch_size: int, threads: int) -> Iterator[Any]:
    """The bound: decodes whole images, quickly, in threads, and does nothing else."""
    import simplejpeg

    files = _images(directory)
    pool = concurrent.futures.ThreadPoolExecutor(threads)

    def decode(part: list[bytes]) -> None:
        for file in part:
            simplejpeg.decode_jpeg(file, fastdct=True, fastupsample=True)

    for batch in _batches(files, batch_size):
        yield list(pool.map(decode, [batch[start::threads] for start in range(threads)]))


def tutorial(directory: str, task: str, batch_size: int, threads: int) -> Iterator[Any]:
    """tf.data as most tutorials write it: one map for each step, stateful random ops."""
    import tensorflow as tf

    def parse(record: tf.Tensor) -> tf.Tensor:
        features = {schema.IMAGE: tf.io.FixedLenFeature([], tf.string)}
        return tf.io.parse_single_example(record, features)[schema.IMAGE]

    def crop(image: tf.Tensor) -> tf.Tensor:
        if task == CROP:
            return tf.image.random_crop(image, [SIZE, SIZE, 3])
        box = tf.image.sample_distorted_bounding_box(
            tf.shape(image), tf.zeros([0, 0, 4]), 0.1, use_image_if_no_bounding_boxes=True
        )
        return tf.image.resize(tf.slice(image, box[0], box[1]), [SIZE, SIZE])

    dataset = tf.data.TFRecordDataset(_shards(directory)).repeat().shuffle(1000)
    for step in (
        parse,
        lambda image: tf.io.decode_jpeg(image, channels=3),
        crop,
        tf.image.random_flip_left_right,
        lambda image: tf.cast(image, tf.float32),
    ):
        dataset = dataset.map(step, num_parallel_calls=threads)
    return iter(dataset.batch(batch_size).prefetch(2))


def dali(directory: str, task: str, batch_size: int, threads: int) -> Iterator[Any]:
    """NVIDIA DALI on the CPU: crops while decoding, with the quick transform."""
    from nvidia.dali import fn, pipeline_def, tfrecord, types

    shards = _shards(directory)
    index_directory = tempfile.TemporaryDirectory()
    indices = [_write_dali_index(shard, index_directory.name) for shard in shards]

    @pipeline_def(batch_size=batch_size, num_threads=threads, device_id=None, seed=1)
    def pipeline() -> Any:
        files = fn.readers.tfrecord(
            path=shards,
            index_path=indices,
            features={schema.IMAGE: tfrecord.FixedLenFeature([], tfrecord.string, "")},
            random_shuffle=True,
            initial_fill=1000,
        )[schema.IMAGE]
        options = {"device": "cpu", "output_type": types.RGB, "use_fast_idct": True}
        if task == CROP:
            images = fn.decoders.image_crop(
                files,
                crop=(SIZE, SIZE),
                crop_pos_x=fn.random.uniform(range=(0.0, 1.0)),
                crop_pos_y=fn.random.uniform(range=(0.0, 1.0)),
                **options,
            )
        else:
            part = fn.decoders.image_random_crop(
                files, random_area=[0.08, 1.0], random_aspect_ratio=[3 / 4, 4 / 3], **options
            )
            images = fn.resize(part, size=(SIZE, SIZE))
        return fn.flip(images, horizontal=fn.random.coin_flip())

    running = pipeline()
    running.build()
    while True:
        yield running.run()


def pytorch(directory: str, task: str, batch_size: int, threads: int) -> Iterator[Any]:
    """PyTorch's DataLoader with worker processes and Pillow."""
    import torch

    files = _images(directory)

    class Images(torch.utils.data.Dataset):
        """The data set's images, cropped and flipped."""

        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, index: int) -> Any:
            return torch.from_numpy(_with_pillow(files[index], task))

    sampler = torch.utils.data.RandomSampler(files, replacement=True, num_samples=1 << 40)
    loader = torch.utils.data.DataLoader(
        Images(), batch_size, sampler=sampler, num_workers=threads, prefetch_factor=2
    )
    return iter(loader)


def grain(directory: str, task: str, batch_size: int, threads: int) -> Iterator[Any]:
    """Grain, JAX's loader, with worker processes and Pillow."""
    import grain

    images = grain.MapDataset.source(_images(directory)).seed(1).shuffle().repeat()
    images = images.map(lambda file: _with_pillow(file, task))
    # As many ahead as the others have; its own 500 for each worker would be made between rounds.
    ahead = grain.ReadOptions(num_threads=2, prefetch_buffer_size=batch_size)
    batches = images.to_iter_dataset(ahead).batch(batch_size)
    workers = grain.multiprocessing.MultiprocessingOptions(num_workers=threads)
    return iter(batches.mp_prefetch(workers))


def ffcv(directory: str, task: str, batch_size: int, threads: int) -> Iterator[Any]:
    """FFCV, from its own file of the same JPEGs."""
    return _ffcv(directory, task, batch_size, threads, "jpg")


def ffcv_raw(directory: str, task: str, batch_size: int, threads: int) -> Iterator[Any]:
    """FFCV, from its own file of decoded images: ten times the bytes, and nothing to decode."""
    return _ffcv(directory, task, batch_size, threads, "raw")


def _ffcv(directory: str, task: str, batch_size: int, threads: int, written: str) -> Iterator[Any]:
    from ffcv.fields import RGBImageField
    from ffcv.fields import rgb_image as decoders
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import RandomHorizontalFlip
    from ffcv.writer import DatasetWriter
    from PIL import Image

    pictures = [(Image.open(io.BytesIO(file)).convert("RGB"),) for file in _images(directory)]
    folder = tempfile.TemporaryDirectory()
    path = os.path.join(folder.name, "images.beton")
    field = RGBImageField(write_mode=written, jpeg_quality=90)
    DatasetWriter(path, {"image": field}, num_workers=1).from_indexed_dataset(pictures)
    # It has no plain random crop: a crop of one size is the random resized one at a fixed area.
    decoder = (
        decoders.CenterCropRGBImageDecoder((SIZE, SIZE), ratio=SIZE / 256)
        if task == CROP
        else decoders.RandomResizedCropRGBImageDecoder((SIZE, SIZE))
    )
    loader = Loader(
        path,
        batch_size=batch_size,
        num_workers=threads,
        order=OrderOption.RANDOM,
        os_cache=True,
        drop_last=True,
        pipelines={"image": [decoder, RandomHorizontalFlip()]},
    )
    while True:
        yield from loader


def _with_pillow(file: bytes, task: str) -> np.ndarray:
    """A random crop, and a flip of every second, as Pillow makes them: [SIZE, SIZE, 3]."""
    from PIL import Image

    image = Image.open(io.BytesIO(file)).convert("RGB")
    if task == CROP:
        left, top = (random.randint(0, side - SIZE) for side in image.size)
        image = image.crop((left, top, left + SIZE, top + SIZE))
    else:
        part = _resized_part(*image.size)
        image = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=part)
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.array(image)


def _resized_part(width: int, height: int) -> tuple[int, int, int, int]:
    """Torchvision's draw of a part of an image: left, top, right and bottom."""
    for _ in range(10):
        area = width * height * random.uniform(0.08, 1.0)
        ratio = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
        wide, tall = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
        if wide <= width and tall <= height:
            break
    else:
        wide, tall = width, height
    left, top = random.randint(0, width - wide), random.randint(0, height - tall)
    return left, top, left + wide, top + tall


SYSTEMS: dict[str, System] = {
    BOUND: libjpeg_turbo,
    OURS: ours,
    "dali": dali,
    "pytorch": pytorch,
    "grain": grain,
    "ffcv": ffcv,
    "ffcv_raw": ffcv_raw,
    "tutorial": tutorial,
}


def main() -> None:
    """Runs one system and answers the lines of the standard input."""
    system, task, directory, batch_size, threads = sys.argv[1:]
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
    batches = SYSTEMS[system](directory, task, int(batch_size), int(threads))
    next(batches)
    print("ready", flush=True)
    for line in sys.stdin:
        # What was prefetched while the others ran must not count.
        for _ in range(8):
            next(batches)
        count, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < float(line):
            next(batches)
            count += 1
        print(count * int(batch_size) / elapsed, flush=True)


def _shards(directory: str) -> list[str]:
    manifest = schema.Manifest.load(directory)
    return [os.path.join(directory, shard.file) for shard in manifest.shards[schema.TRAIN]]


def _records(shard: str) -> Iterator[tuple[int, bytes]]:
    """The position and the content of each record of a TFRecord file."""
    with open(shard, "rb") as file:
        position = 0
        while header := file.read(12):
            length = int.from_bytes(header[:8], "little")
            yield position, file.read(length)
            file.read(4)
            position += length + 16


def _images(directory: str) -> list[bytes]:
    """All training images, as they are stored."""
    import tensorflow as tf

    return [
        tf.train.Example.FromString(record).features.feature[schema.IMAGE].bytes_list.value[0]
        for shard in _shards(directory)
        for _, record in _records(shard)
    ]


def _batches(files: list[bytes], size: int) -> Iterator[list[bytes]]:
    endless = itertools.cycle(files)
    while True:
        yield list(itertools.islice(endless, size))


def _write_dali_index(shard: str, directory: str) -> str:
    """DALI wants a file with each record's position and size."""
    path = os.path.join(directory, os.path.basename(shard))
    with open(path, "w") as index:
        for position, record in _records(shard):
            index.write(f"{position} {len(record) + 16}\n")
    return path


if __name__ == "__main__":
    main()
