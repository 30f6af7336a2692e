"""Chunks that are made at once have the pixels of images made one by one."""

import io
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines.chain import host_chain
from pipelines.config import ACCURATE, FAST
from pipelines.functions import draws
from pipelines.functions.decoders import AnyDecoder, JpegDecoder, RawDecoder
from tests.conftest import ROOT
from tests.making.datasets import smooth_image, write_dataset

COUNT = 6
CHAINS = (
    "decode_random_crop(32)|random_flip",
    "decode_random_crop(33)",
    "decode_center_crop(40)|center_crop(20)|random_flip",
    "decode_random_resized_crop(24)|random_flip",
    "decode_random_resized_crop(24)|random_erasing|random_flip",
    "decode|random_crop(30)|random_flip",
)
IMAGES = [smooth_image(np.random.default_rng(n), 48 + 5 * n, 60 - 2 * n) for n in range(COUNT)]


def saved(form: str, **options: object) -> list[bytes]:
    files = []
    for pixels in IMAGES:
        file = io.BytesIO()
        Image.fromarray(pixels).convert(str(options.get("mode", "RGB"))).save(file, form, **options)
        files.append(file.getvalue())
    return files


STORED = {
    "marked": (JpegDecoder(FAST), saved("JPEG", restart_marker_blocks=1)),
    "marked, accurate": (JpegDecoder(ACCURATE), saved("JPEG", restart_marker_blocks=1)),
    "unmarked": (JpegDecoder(FAST), saved("JPEG")),
    "unmarked, accurate": (JpegDecoder(ACCURATE), saved("JPEG", subsampling=0)),
    "gray": (JpegDecoder(FAST), saved("JPEG", mode="L")),
    "progressive": (JpegDecoder(FAST), saved("JPEG", progressive=True)),
    "png": (AnyDecoder(JpegDecoder()), saved("PNG")),
    "jpeg or png": (AnyDecoder(JpegDecoder()), [*saved("PNG")[:3], *saved("JPEG")[3:]]),
    "raw": (RawDecoder(), [image.tobytes() for image in IMAGES]),
}


def nth(chunk: tuple[object, ...], number: int) -> tuple[object, ...]:
    return tf.nest.map_structure(lambda part: part[number], chunk)


@pytest.mark.parametrize("name", STORED)
@pytest.mark.parametrize("text", CHAINS)
def test_a_chunk_has_the_pixels_of_its_images(name, text):
    decoder, files = STORED[name]
    chain = host_chain(text, "train_map", decoder=decoder, statistics=None)
    examples = {
        "image": tf.constant(files),
        "height": tf.constant([image.shape[0] for image in IMAGES]),
        "width": tf.constant([image.shape[1] for image in IMAGES]),
        "label": tf.range(COUNT),
    }
    seeds = draws.example_seeds(3, tf.constant(0, tf.int64), tf.range(COUNT, dtype=tf.int64))
    drawn = chain.draw(examples, seeds)
    one_by_one = [chain.apply(*nth((examples, drawn), n))["image"] for n in range(COUNT)]
    found = chain.images(examples, drawn, one_by_one[0].shape)
    np.testing.assert_array_equal(found, tf.stack(one_by_one))


LEAVE = """
import sys
import pipelines
from pipelines.config import PipelineConfig
from pipelines.input_pipeline import InputPipeline
from pipelines.reading.dataset import open_dataset
config = PipelineConfig(data_dir=sys.argv[1], train_batch_size=16, map_threads=4,
                        train_map="decode_random_resized_crop(200)|random_flip")
kept = iter(InputPipeline(open_dataset(config), config).train(16))
next(kept)
"""


@pytest.mark.slow(reason="starts processes of their own")
def test_a_process_that_ends_amid_the_work_ends_well(tmp_path):
    write_dataset(tmp_path / "data", train=64, size=300)
    command = [sys.executable, "-c", LEAVE, str(tmp_path / "data")]
    for _ in range(2):
        # Without what waits for the pipeline, the process would never end.
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr[-2000:]
