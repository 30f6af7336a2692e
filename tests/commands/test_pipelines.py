"""The commands of the room, as users run them."""

import re
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from base.comparison import OURS
from benchmarks.input_pipelines import BOUND
from pipelines import measurement
from pipelines.config import PipelineConfig
from pipelines.contact_sheet import Column, columns_of, painted
from pipelines.input_pipeline import InputPipeline
from pipelines.reading.dataset import open_dataset
from tests.conftest import ROOT, assert_one_line_error, run_command
from tests.making.datasets import jpeg, pixels, sample_photographs, write_dataset

SCRIPTS = {
    "preview": "pipelines/preview.py",
    "benchmark": "pipelines/benchmark.py",
    "compare": "benchmarks/input_pipelines.py",
}
FLAG_FILE = """# A whole experiment: also flags that these commands do not have.
--net=alexnet
--learning_rate=0.01
--train_map=decode_random_crop(24)|random_flip
--train_device_map=mixup(0.2)|subtract_mean|pca_lighting(0.1)
--eval_map=decode_center_crop(24)
--train_batch_size=8
"""


def command(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / SCRIPTS[name]), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("commands") / "data")


@pytest.fixture
def flag_file(tmp_path):
    path = tmp_path / "experiment.cfg"
    path.write_text(FLAG_FILE)
    return f"--flagfile={path}"


@pytest.mark.end_to_end
@pytest.mark.parametrize("name", ["preview", "benchmark", "compare"])
def test_help_answers_at_once(name):
    fastest = float("inf")
    for _ in range(3):  # another process may take the processor meanwhile
        start = time.perf_counter()
        ran = command(name, "--help")
        fastest = min(fastest, time.perf_counter() - start)
        assert ran.returncode == 0
        assert "--data_dir" in ran.stdout
    assert fastest < 2


@pytest.mark.end_to_end
def test_preview_draws_a_column_for_each_map_function(directory, flag_file, tmp_path):
    output = tmp_path / "new" / "sheet.png"
    arguments = (flag_file, f"--data_dir={directory}", f"--output={output}", "--images=4")
    ran = command("preview", *arguments)
    assert ran.returncode == 0, ran.stderr
    assert str(output) in ran.stdout
    sheet = np.asarray(Image.open(output))
    # Stored, two host and three device functions, and what the net is given.
    columns = np.flatnonzero(np.diff((sheet[100:] != 255).any((0, 2)).astype(int)) == 1)
    assert len(columns) >= 7


def test_a_contact_sheets_rows_are_as_high_as_their_tiles():
    green = (0, 200, 0)
    shapes = [(40, 60), (180, 100)]
    tiles = [np.full((*shape, 3), green, np.uint8) for shape in shapes]
    columns = [Column("a", tiles, ["low", "high"]), Column("b", tiles[::-1], ["x", "y " * 40])]
    sheet = np.asarray(painted([columns[0], columns[0]]))
    assert len(sheet) < 3 * 40 + 180 + 100
    for drawn in (columns[:1], columns):
        seen = (np.asarray(painted(drawn)) == green).all(-1).sum()
        # The small one is three times as large. Nothing is written over a tile.
        assert seen == len(drawn) * (3 * 40 * 3 * 60 + 180 * 100)


def test_a_small_images_pixels_are_squares_in_a_contact_sheet():
    pixels = np.random.default_rng(0).integers(0, 200, (64, 48, 3), np.uint8)
    sheet = np.asarray(painted([Column("a", [pixels], ["b"])]))
    rows, columns = ((sheet[30:] != 255).all(-1)).nonzero()
    tile = sheet[30 + rows.min() :, columns.min() :][: 3 * 64, : 3 * 48]
    np.testing.assert_array_equal(tile, pixels.repeat(3, axis=0).repeat(3, axis=1))


@pytest.mark.parametrize("mixing", ["mixup(0.2)", "cutmix(1.0)", "mixup_or_cutmix()"])
def test_a_contact_sheet_says_of_both_images_of_a_pair_how_they_were_mixed(directory, mixing):
    config = PipelineConfig(
        data_dir=str(directory),
        train_map="decode_random_crop(24)",
        train_device_map=f"{mixing}|mean_std",
        eval_map="decode_center_crop(24)",
    )
    columns = columns_of(open_dataset(config), config, 4)
    mixed, normalised, given = columns[-3:]
    assert mixed.captions[::2] == mixed.captions[1::2]
    assert mixed.captions[0] != mixed.captions[2] and "share" in mixed.captions[0]
    assert all(re.fullmatch(r"values -\S+ to \S+", said) for said in normalised.captions)
    if mixing.startswith("mixup("):
        share = float(mixed.captions[0].removeprefix("share "))
        assert f"{max(share, 1 - share):.0%}" in given.captions[1]


@pytest.mark.end_to_end
@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("preview", ["--images=3"], "--images=3 must be an even number"),
        ("preview", ["--output=sheet.jpg"], "must end in .png"),
        ("preview", ["--train_map=decode_random_crop(99)"], "--train_map crops 99 pixels"),
        ("preview", ["--data_dir=/nowhere"], "/nowhere is not a directory"),
        ("benchmark", ["--data=synthetic"], "nothing to measure"),
        ("benchmark", ["--epochs=1"], "at least 2"),
        ("compare", ["--systems=dali"], "ours"),
    ],
)
def test_what_a_user_can_mend_is_one_line(directory, name, arguments, message):
    small = [] if name == "compare" else ["--eval_map=decode_center_crop(24)"]
    ran = command(name, f"--data_dir={directory}", *small, *arguments)
    assert ran.returncode == 1
    assert message in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert ran.stderr.startswith("error: ")


@pytest.mark.end_to_end
def test_benchmark_prints_every_stage_and_a_verdict(directory, flag_file):
    ran = command("benchmark", flag_file, f"--data_dir={directory}", "--rounds=1", "--seconds=0.1")
    assert ran.returncode == 0, ran.stderr
    for word in ("read", "parse", "decode", "batch", "together", "libjpeg-turbo", "memory"):
        assert f"\n{word}" in ran.stdout or f" {word}" in ran.stdout
    verdict = ran.stdout.splitlines()[-1]
    assert verdict.startswith("verdict: ")
    assert any(f"{stage} binds" in verdict for stage in measurement.ADVICE)


@pytest.mark.end_to_end
def test_compare_prints_ours_beside_the_bound(tmp_path, sample_dir):
    photographs = [stored(file) for file in sample_photographs(sample_dir, 8)]
    directory = write_dataset(tmp_path / "data", train=64, size=256, photographs=photographs)
    ran = command(
        "compare",
        f"--data_dir={directory}",
        f"--systems={BOUND},{OURS}",
        "--batch_size=16",
        "--rounds=1",
        "--seconds=0.1",
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("\n  ours ") == 2
    assert "target 0.85" in ran.stdout or "left out: libjpeg-turbo" in ran.stdout


def stored(photograph: bytes) -> bytes:
    """The photograph as a data set of short side 256 holds it."""
    image = Image.fromarray(pixels(photograph))
    return jpeg(np.asarray(image.resize([256 * side // min(image.size) for side in image.size])))


@pytest.mark.end_to_end
def test_memory_is_flat_over_fifty_epochs(tmp_path, sample_dir):
    photographs = [stored(file) for file in sample_photographs(sample_dir, 40)]
    directory = write_dataset(tmp_path / "data", train=320, size=256, photographs=photographs)
    config = PipelineConfig(data_dir=str(directory), train_batch_size=64)
    memory = list(measurement.memory_by_epoch(InputPipeline(open_dataset(config), config), 50))
    assert memory[-1] - memory[0] < 50 * 2**20


@pytest.mark.end_to_end
def test_an_image_that_cannot_be_decoded_ends_in_one_line(tmp_path):
    """A foreign data set's: ours hold none, and a damaged record is said by its checksum."""
    directory = write_dataset(tmp_path / "data")
    shard = min(directory.glob("*train*"))
    records = [bytes(record.numpy()) for record in tf.data.TFRecordDataset(str(shard))]
    example = tf.train.Example.FromString(records[1])
    (image,) = example.features.feature["image"].bytes_list.value
    example.features.feature["image"].bytes_list.value[0] = bytes(len(image))
    records[1] = example.SerializeToString(deterministic=True)
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for record in records:
            writer.write(record)
    run = run_command(
        "trainers/train.py",
        *("--net=resnet10(width=8)", "--train_map=decode_random_crop(32)|random_flip"),
        *("--eval_map=decode_center_crop(32)", "--train_batch_size=20", "--train_steps=6"),
        *(f"--data_dir={tmp_path}/data", f"--runs_dir={tmp_path}/runs"),
        code=1,
    )
    assert_one_line_error(run, "an image of ", "cannot be decoded (", "verify_tfrecords.py")
