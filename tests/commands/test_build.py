"""The commands in processes of their own, on real photographs: `pytest -m end_to_end`."""

import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import time

import pytest
import tensorflow_datasets as tfds

from base.comparison import load
from data_prep import schema
from data_prep.benchmark import TARGETS
from data_prep.layouts import opening
from data_prep.source import official
from tests.conftest import ROOT
from tests.making import small_sources

pytestmark = pytest.mark.end_to_end

SHARDS = ("--train_shards=6", "--val_shards=2")


def arguments(command: str, *flags: object) -> list[str]:
    return [sys.executable, str(ROOT / "data_prep" / f"{command}.py"), *map(str, flags)]


def run(command: str, *flags: object) -> subprocess.CompletedProcess:
    return subprocess.run(arguments(command, *flags), capture_output=True, text=True, check=False)


def succeed(command: str, *flags: object) -> str:
    result = run(command, *flags)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def fail(command: str, *flags: object) -> str:
    """Runs what must fail as a user's mistake does: exit code 1, one line, no traceback."""
    result = run(command, *flags)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    assert result.stderr.splitlines()[-1] == lines[0]
    return lines[0]


def files(data_dir: pathlib.Path) -> dict[str, bytes]:
    (directory,) = data_dir.glob("*/*/1.0.0")
    assert not (directory / ".build").exists()
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


@pytest.fixture(scope="module")
def photographs(sample_dir) -> pathlib.Path:
    return sample_dir / "ilsvrc2012_sample"


@pytest.fixture(scope="module")
def dataset(photographs, tmp_path_factory) -> pathlib.Path:
    """Built by one worker in one go."""
    data_dir = tmp_path_factory.mktemp("data")
    succeed(
        "build_tfrecords",
        f"--source={photographs}",
        f"--data_dir={data_dir}",
        "--workers=1",
        *SHARDS,
    )
    return data_dir


def test_the_real_sample_becomes_a_data_set_that_tfds_reads(dataset, photographs):
    directory = schema.find_dataset(dataset)
    builder = tfds.builder_from_directory(directory)
    counts = {name: split.num_examples for name, split in builder.info.splits.items()}
    assert counts == {"train": 700, "validation": 116}
    source = opening.open_source(str(photographs))
    labels = {(ref.split, ref.name): source.classes.labels[ref.wnid] for ref in source.refs}
    for split in counts:
        for item in builder.as_dataset(split).as_numpy_iterator():
            assert labels.pop((split, item["file_name"].decode())) == item["label"]
            assert min(item["image"].shape[:2]) == 256
    assert not labels
    statistics = schema.Statistics.load(directory)
    # The whole of ILSVRC has 123.68, 116.78, 103.94; these are 700 of its photographs.
    assert abs(statistics.channel_mean - (123.68, 116.779, 103.939)).max() < 4


def test_all_cores_make_the_same_bytes(dataset, photographs, tmp_path):
    flags = (f"--source={photographs}", f"--data_dir={tmp_path}", *SHARDS)
    succeed("build_tfrecords", *flags)
    assert files(tmp_path) == files(dataset)


def test_killed_three_times_it_makes_the_same_bytes(dataset, photographs, tmp_path):
    flags = (f"--source={photographs}", f"--data_dir={tmp_path}", *SHARDS)
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    for _ in range(3):
        process = subprocess.Popen(
            arguments("build_tfrecords", *flags),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and not list(tmp_path.glob("*/*/1.0.0/.build/request.json")):
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 2))
        process.send_signal(signal.SIGKILL)
        process.wait()
    succeed("build_tfrecords", *flags)
    assert files(tmp_path) == files(dataset), f"moments by seed {seed}"


def test_beam_makes_the_same_bytes(dataset, photographs, tmp_path):
    pytest.importorskip("apache_beam", reason="the beam extra is not installed")
    flags = (f"--source={photographs}", f"--data_dir={tmp_path}", *SHARDS)
    options = "--runner=DirectRunner --direct_num_workers=2 --direct_running_mode=multi_threading"
    succeed("build_tfrecords", *flags, "--engine=beam", f"--beam_options={options}")
    assert files(tmp_path) == files(dataset)


def test_the_embedded_sample_needs_no_source(tmp_path):
    said = succeed("build_tfrecords", f"--data_dir={tmp_path}")
    assert "GENERATED" in said
    flags = f"--flagfile=flags/demo.cfg --data_dir={schema.find_dataset(tmp_path)}"
    assert said.endswith(f"next: python trainers/train.py {flags}\n")
    manifest = schema.Manifest.load(schema.find_dataset(tmp_path))
    assert (manifest.name, manifest.generated) == ("generated", True)
    assert (manifest.num_records("train"), manifest.num_records("validation")) == (1000, 200)
    assert "already built" in succeed("build_tfrecords", f"--data_dir={tmp_path}")
    shard = next(schema.find_dataset(tmp_path).glob("*-train.tfrecord-*"))
    before = shard.read_bytes()
    shard.write_bytes(before[:-5])
    assert "--repair" in fail("verify_tfrecords", f"--data_dir={tmp_path}")
    assert "clean" in succeed("verify_tfrecords", f"--data_dir={tmp_path}", "--repair")
    assert shard.read_bytes() == before


def test_checks_of_the_real_sample(dataset, photographs):
    said = succeed(
        "check_source", f"--source={photographs}", f"--data_dir={dataset}", "--deep", "--md5"
    )
    for words in (
        "layout tars",
        "700 images in 700 of 1,000 classes",
        "116 images of 50,000",
        "MD5 fa75699e90414af021442c21a62c3abf, as the official file",
        "headers of 816 images",
        "will be written",
        "building it takes about",
    ):
        assert words in said, said
    assert "clean" in succeed("verify_tfrecords", f"--data_dir={dataset}")


def test_a_broken_source_fails_its_check(tmp_path):
    train = small_sources.train_images()
    train["n00000022"]["n00000022_1.JPEG"] = b"404 not found"
    small_sources.tars(tmp_path / "source", train)
    result = run("check_source", f"--source={tmp_path / 'source'}", "--deep")
    assert result.returncode == 1
    assert "BROKEN: 1 cannot be read, such as n00000022_1.JPEG" in result.stdout


def test_mistakes_end_in_one_line(photographs, dataset, tmp_path):
    data = f"--data_dir={tmp_path}"
    source = f"--source={photographs}"
    assert "does not exist" in fail("build_tfrecords", "--source=/no/such", data)
    assert "empty directory" in fail("build_tfrecords", f"--source={tmp_path}", data)
    assert "--size=0" in fail("build_tfrecords", source, data, "--size=0")
    assert "geometri" in fail("build_tfrecords", source, data, "--geometri=warp")
    assert "warped" in fail("build_tfrecords", source, data, "--geometry=warped")
    assert "n99" in fail("build_tfrecords", source, data, "--classes=n99")
    there = f"--data_dir={dataset}"
    assert "begun with seed=0" in fail("build_tfrecords", source, there, "--seed=5", *SHARDS)
    assert "no finished data set" in fail("verify_tfrecords", data)
    assert "does not exist" in fail("check_source", "--source=/no/such")
    for name in (official.TRAIN_TAR, official.VALIDATION_TAR):
        (tmp_path / "alone").mkdir(exist_ok=True)
        (tmp_path / "alone" / name).symlink_to(photographs / name)
    line = fail("build_tfrecords", f"--source={tmp_path / 'alone'}", data)
    assert f"{official.DEVKIT}.tar.gz" in line


def test_the_benchmark_prints_every_contender(photographs):
    pytest.importorskip("cv2", reason="the bench extra is not installed")
    said = succeed("benchmark", f"--source={photographs}", "--images=20", "--rounds=1")
    targets = [f"target {target}" for target in TARGETS.values()]
    for words in ("20 photographs", "ours", "opencv", *targets, "core-minutes"):
        assert words in said, said


def test_the_benchmark_leaves_out_what_is_not_installed(tmp_path, monkeypatch):
    (tmp_path / "cv2.py").write_text("raise ImportError('hidden', name='cv2')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    source, figures = small_sources.folders(tmp_path / "source"), tmp_path / "speed.jsonl"
    images = list(source.rglob("*.JPEG"))
    several = 3 * len(images) + 1  # a small source is gone through again
    flags = (f"--images={several}", "--rounds=1", f"--figures={figures}")
    said = succeed("benchmark", f"--source={source}", *flags)
    assert f"{several} photographs" in said
    assert "left out: opencv (cv2 is missing" in said
    (comparison,) = load(str(figures))
    assert comparison.left_out.keys() == {"opencv"}
    assert comparison.rates.keys() > {"ours", "bare decoding"}
    assert all(rate > 0 for rates in comparison.rates.values() for rate in rates)
    for image in images:
        image.write_bytes(b"no image")
    assert "has no JPEG" in fail("benchmark", f"--source={source}")


@pytest.mark.parametrize("command", ["build_tfrecords", "check_source", "verify_tfrecords"])
def test_help_answers_at_once(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = run(command, "--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.returncode == 0
    assert "--data_dir" in result.stdout
    assert "WARNING" not in result.stderr
    # Of the processor, as the machine may have other things to do.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2


def test_memory_stays_small(photographs, tmp_path):
    # The peak of the process itself: getrusage would give its parent's too, where that was larger.
    code = "import re, runpy, sys, atexit\n" + (
        "status = lambda: open('/proc/self/status').read()\n"
        "atexit.register(lambda: print(re.search(r'VmHWM:\\s*(\\d+)', status())[1]))\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command = arguments("build_tfrecords", f"--source={photographs}", f"--data_dir={tmp_path}")
    result = subprocess.run(
        [sys.executable, "-c", code, *command[1:]], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout.split()[-1]) / 1e6 < 2
    assert os.listdir(tmp_path)
