"""How fast each stage of the input pipeline is, and how much memory it takes."""

import concurrent.futures
import dataclasses
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import simplejpeg
import tensorflow as tf

from data_prep import schema
from pipelines.batches import chunk_size
from pipelines.chain import Chain
from pipelines.config import Phase
from pipelines.functions import draws
from pipelines.functions.decoders import JpegDecoder
from pipelines.input_pipeline import InputPipeline
from pipelines.reading import dataset_options

# Images that the stages after reading get from memory, again and again.
_SAMPLE = 512

ADVICE = {
    "read": "--cache=memory or --cache=DIR on a fast disk; fewer and larger shards",
    "parse": "more cores: a batch of records is parsed at once already",
    "decode": (
        "more cores; a data set built with --restart_markers, smaller stored images "
        "(build_tfrecords.py --size), or raw pixels (--encoding=raw)"
    ),
    "augment": "fewer host functions: pca_lighting and others can move to --train_device_map",
    "copy to device": "more host memory bandwidth: images travel as uint8 already",
}


@dataclasses.dataclass(frozen=True)
class Stage:
    """One thing to measure: `start` gives a function that handles images and returns how many."""

    name: str
    start: Callable[[], Callable[[], int]]


def print_stages(pipeline: InputPipeline, rounds: int, seconds: float) -> None:
    """Measures and prints every stage, all together, the bound, and the verdict."""
    dataset, config = pipeline.dataset, pipeline.config
    print(f"{dataset.directory}: {dataset.record_bytes(schema.TRAIN) / 1024:.1f} KiB a record")
    print(
        f"--train_map={config.host_map(Phase.TRAIN)}, batches of {config.train_batch_size}, "
        f"{config.threads} threads"
    )
    stages = stages_of(pipeline)
    rates = measured(stages, rounds, seconds)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    alone = {name: medians[name] for name in ADVICE if name in medians}
    # What the other host functions add to decoding, which alone gives them their input.
    extra = 1 / medians["decode and augment"] - 1 / medians["decode"]
    if extra > 0:
        alone["augment"] = 1 / extra
    print(f"\n{'alone':24}{'images/s':>10}{'us an image':>14}")
    for name in ADVICE:
        if name in alone:
            print(f"{name:24}{alone[name]:>10,.0f}{1e6 / alone[name]:>14.1f}")
    together = medians["together"]
    low, high = min(rates["together"]), max(rates["together"])
    print(f"\n{'together':24}{together:>10,.0f}  ({low:,.0f} to {high:,.0f})")
    if "bound" in medians:
        bound = medians["bound"]
        print(
            f"{'bare libjpeg-turbo':24}{bound:>10,.0f}  ({together / bound:.2f} of it is reached)"
        )
    else:
        print(f"{'bare libjpeg-turbo':24}{'-':>10}  (not measured: the images are no JPEG files)")
    print(f"{'memory':24}{resident_bytes() / 2**20:>10,.0f}  MiB, of the whole process")
    slowest = min(alone, key=alone.__getitem__)
    share = together / alone[slowest]
    print(
        f"\nverdict: {slowest} binds ({share:.0%} of what it reaches alone). Try: {ADVICE[slowest]}"
    )


def print_cap(pipeline: InputPipeline, cores: int, seconds: float) -> None:
    """Measures what so many cores could be given: where reading in order, not decoding, binds.

    Records are read, shuffled and put together as in training; in place of the parallel part, each
    call waits as long as it takes to make its chunk on one core here.
    """
    config = dataclasses.replace(pipeline.config, map_threads=cores)
    batch = config.train_batch_size
    one_core = InputPipeline(pipeline.dataset, dataclasses.replace(config, map_threads=1))
    making = _delivered("making", one_core.train(batch), batch)
    cost = 1 / measured([making], 1, seconds)["making"][0]
    chunk = chunk_size(batch)

    def wait(count: np.int32) -> np.int32:
        time.sleep(cost * count)
        return count

    def waited(records: tf.Tensor, epoch: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
        # Handing the records over to Python is a part of what a core does: `cost` has it.
        return tf.numpy_function(wait, [tf.size(records)], tf.int32, stateful=False)

    chunks = InputPipeline(pipeline.dataset, config).training_records(chunk)
    made = chunks.map(waited, num_parallel_calls=cores).prefetch(2)
    options = dataset_options.unattended()
    options.threading.private_threadpool_size = cores
    made = made.with_options(options)
    cap = measured([_delivered("cap", made, chunk)], 1, seconds)["cap"][0]
    shards = len(pipeline.dataset.split(schema.TRAIN))
    print(
        f"{cores} cores like these, {1e6 * cost:.0f} us an image on each, would make "
        f"{cores / cost:,.0f} images/s, and are given {cap:,.0f} to make, from {shards} shards: "
        f"{'reading' if cap < 0.95 * cores / cost else 'making'} binds"
    )


def print_memory(pipeline: InputPipeline, epochs: int) -> None:
    """Delivers whole epochs and prints the resident memory after each tenth of them."""
    steps = pipeline.steps_per_epoch
    first = last = 0
    for epoch, last in enumerate(memory_by_epoch(pipeline, epochs), 1):
        first = first or last
        if epoch in (1, epochs) or epoch % max(1, epochs // 10) == 0:
            print(f"epoch {epoch:>4} of {epochs} ({steps} batches): {last / 2**20:,.0f} MiB")
    print(f"growth after the first epoch: {(last - first) / 2**20:+.1f} MiB")


def memory_by_epoch(pipeline: InputPipeline, epochs: int) -> Iterator[int]:
    """The process's resident bytes after each epoch of training batches."""
    batches = iter(pipeline.train(pipeline.config.train_batch_size, epochs=epochs))
    for _ in range(epochs):
        for _ in range(pipeline.steps_per_epoch):
            next(batches)
        yield resident_bytes()


def resident_bytes() -> int:
    """The memory of this process that is in RAM."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measured(stages: Sequence[Stage], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Images per second of each stage, one value a round; the stages take turns."""
    rates: dict[str, list[float]] = {stage.name: [] for stage in stages}
    for _, stage in itertools.product(range(rounds), stages):
        handle = stage.start()
        handle()  # the first one pays for tracing and for filling buffers
        images, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            images += handle()
        rates[stage.name].append(images / elapsed)
    return rates


def stages_of(pipeline: InputPipeline) -> list[Stage]:
    """Every stage of training, each with its input in memory, and all of them together."""
    dataset, config = pipeline.dataset, pipeline.config
    batch, threads = config.train_batch_size, config.threads
    chains = pipeline.chains(Phase.TRAIN)
    host = chains.host
    decode = Chain(host.calls[:1], host.functions[:1])
    chunks = pipeline.training_records(batch)
    records = tf.concat([part for part, _, _ in chunks.take(-(-_SAMPLE // batch))], axis=0)
    index = tf.range(len(records), dtype=tf.int64)
    seeds = draws.example_seeds(config.seed, tf.constant(0, tf.int64), index)
    parsed = dataset.parse(records)
    drawn = host.draw(parsed, seeds)
    pixels = tf.zeros([batch, *chains.image_size, 3], tf.uint8)

    def mapped(inputs: Any, function: Callable[..., Any]) -> tf.data.Dataset:
        """The function over batches of the inputs, as many at once as in training."""
        slices = tf.data.Dataset.from_tensor_slices(inputs).batch(batch).repeat()
        function = tf.autograph.experimental.do_not_convert(function)
        return slices.map(function, num_parallel_calls=threads)

    def parse(serialized: tf.Tensor, seeds: tf.Tensor) -> Any:
        example = dataset.parse(serialized)
        return example, host.draw(example, seeds)

    delivered = {
        "read": chunks,
        "parse": mapped((records, seeds), parse),
        "decode": mapped((parsed, drawn[:1]), _first_levels(decode)),
        "decode and augment": mapped(
            (parsed, drawn), lambda examples, drawn: host.images(examples, drawn, chains.shape)
        ),
        "together": pipeline.train(batch),
    }
    stages = [_delivered(name, batches, batch) for name, batches in delivered.items()]
    if tf.config.list_physical_devices("GPU"):
        stages.append(Stage("copy to device", lambda: copier(pixels)))
    if isinstance(dataset.decoder, JpegDecoder):
        files = [bytes(image) for image in parsed["image"].numpy()]
        stages.append(Stage("bound", lambda: _bare_decoder(files, threads)))
    return stages


def _first_levels(decode: Chain) -> Callable[..., tf.Tensor]:
    """Runs a decoding function over examples; of images of several sizes one level is kept."""
    if decode.functions[0].windows:
        return lambda examples, drawn: decode.images(examples, drawn, [])

    def one(single: tuple[Any, Any]) -> tf.Tensor:
        return decode.apply(*single)["image"][0, 0, 0]

    return lambda examples, drawn: tf.map_fn(one, (examples, drawn), fn_output_signature=tf.uint8)


def _delivered(name: str, delivered: tf.data.Dataset, images: int) -> Stage:
    def start() -> Callable[[], int]:
        batches = iter(delivered)

        def handle() -> int:
            next(batches)
            return images

        return handle

    return Stage(name, start)


def copier(pixels: tf.Tensor) -> Callable[[], int]:
    """What copies images, uint8 [b, h, w, 3], to the first GPU, waits, and says how many."""

    def handle() -> int:
        with tf.device("/GPU:0"):
            # Reading one value back waits for the copy.
            tf.identity(pixels)[0, 0, 0, 0].numpy()
        return int(pixels.shape[0])

    return handle


def _bare_decoder(files: Sequence[bytes], threads: int) -> Callable[[], int]:
    """Decodes whole files in threads, with the quick transform, and drops the pixels."""
    pool = concurrent.futures.ThreadPoolExecutor(threads)

    def decode(part: Sequence[bytes]) -> None:
        for file in part:
            simplejpeg.decode_jpeg(file, fastdct=True, fastupsample=True)

    def handle() -> int:
        list(pool.map(decode, [files[start::threads] for start in range(threads)]))
        return len(files)

    return handle
