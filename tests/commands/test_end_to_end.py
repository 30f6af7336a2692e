"""The chain as a user runs it: the real commands, in processes of their own."""

import json
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from base.errors import UserError
from data_prep import schema
from tests.conftest import ROOT, assert_one_line_error, run_command
from trainers import config
from trainers.run_folder.metrics import METRICS_FILE, read_metrics
from trainers.training import session

pytestmark = pytest.mark.end_to_end

# flags/demo.cfg made small: what is tested is the chain, not the accuracy.
QUICK = (
    "--flagfile=flags/demo.cfg",
    "--net=resnet10(width=4)",
    "--train_map=decode_random_crop(64)|random_flip",
    "--eval_map=decode_center_crop(64)",
    "--train_batch_size=16",
    "--log_steps=2",
    "--warmup_epochs=0",
)


def train(data_dir: pathlib.Path, runs_dir: pathlib.Path, *arguments: str, code: int = 0):
    return run_command(
        "trainers/train.py",
        *QUICK,
        f"--data_dir={data_dir}",
        f"--runs_dir={runs_dir}",
        *arguments,
        code=code,
    )


def reproducible(run_dir: pathlib.Path) -> list[dict]:
    """The metrics lines, less what is timed."""
    timed = ("images_per_second", "input_wait")
    lines = (run_dir / METRICS_FILE).read_text().splitlines()
    return [
        {name: value for name, value in json.loads(line).items() if name not in timed}
        for line in lines
    ]


def test_the_real_sample_has_the_devkits_labels(real_data, sample_dir):
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(str(schema.find_dataset(real_data)))
    assert builder.info.splits["train"].num_examples == 700
    assert builder.info.splits["validation"].num_examples == 116
    table = (sample_dir / "ilsvrc2012_synsets.tsv").read_text().splitlines()[1:]
    wnids = [line.split("\t")[1] for line in table]
    assert builder.info.features["label"].names == wnids == sorted(wnids)
    for example in tfds.as_numpy(builder.as_dataset("train")):
        assert example["file_name"].decode().split("_")[0] == wnids[example["label"]]
        assert min(example["image"].shape[:2]) == 256
        assert example["image"].shape == (example["height"], example["width"], 3)
    # The devkit's own ground truth, by the number in the file's name.
    ids = {line.split("\t")[2]: int(line.split("\t")[0]) for line in table}
    truth = _ground_truth(sample_dir)
    for example in tfds.as_numpy(builder.as_dataset("validation")):
        number = int(example["file_name"].decode().split("_")[-1].split(".")[0])
        assert example["label"] == ids[truth[number - 1]]


def _ground_truth(sample_dir: pathlib.Path) -> list[str]:
    import tarfile

    with tarfile.open(sample_dir / "ilsvrc2012_sample" / "ILSVRC2012_devkit_t12.tar.gz") as tar:
        name = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"
        return tar.extractfile(name).read().decode().split()


def test_alexnet_has_the_same_losses_on_one_replica_and_on_two(real_data, tmp_path):
    losses = {}
    for replicas in ("cpu:1", "cpu:2"):
        run_command(
            "trainers/train.py",
            "--flagfile=flags/alexnet.cfg",
            f"--data_dir={real_data}",
            f"--runs_dir={tmp_path}",
            f"--experiment={replicas.replace(':', '')}",
            f"--replicas={replicas}",
            "--train_batch_size=8",
            "--train_steps=2",
            "--log_steps=1",
        )
        lines = read_metrics(tmp_path / replicas.replace(":", "") / "1")
        losses[replicas] = [line.loss for line in lines]
    assert len(losses["cpu:1"]) == 3, "two steps and one evaluation"
    assert losses["cpu:1"] != losses["cpu:1"][::-1]
    np.testing.assert_allclose(losses["cpu:1"], losses["cpu:2"], rtol=1e-4)


@pytest.fixture(scope="module")
def finished(generated_data, tmp_path_factory) -> pathlib.Path:
    """A run folder of twelve steps, evaluated after every fourth."""
    runs = tmp_path_factory.mktemp("runs")
    done = train(generated_data, runs, "--train_steps=12", "--eval_epochs=0.0667")
    (runs / "printed.txt").write_text(done.stdout)
    return runs / "demo" / "1"


def test_a_training_says_what_begins_what_is_best_and_what_comes_next(finished, generated_data):
    printed = (finished.parents[1] / "printed.txt").read_text()
    before = printed[: printed.index("step 2/12")].splitlines()
    assert before[:2] == [
        f"run folder: {finished}",
        "net: resnet10(width=4), 20,382 parameters, float32, 1 x CPU",
    ]
    data = schema.find_dataset(generated_data)
    assert f"data: {data}, 1,000 images of 10 classes, 200 to validate on, as 64x64" in before
    assert "steps: 62 an epoch of 16 images each, 12 in all; the first step compiles" in before
    *_, best, evaluation, report = printed.splitlines()
    assert best.startswith("best checkpoint: step ") and best.endswith("checkpoints/best.npz")
    assert evaluation == f"next: python trainers/evaluate.py --run={finished}"
    assert report == f"next: python trainers/runs.py report --runs_dir={finished.parents[1]}"
    assert "\r" not in printed and "\x1b" not in printed, "it reads well in a pipe"


def test_a_run_folder_holds_what_its_docstring_says(finished):
    names = {path.name for path in finished.iterdir()} - {".lock"}
    assert names == {
        "flags.cfg",
        "net",
        "notes.md",
        "environment.json",
        "data.json",
        "statistics.npz",
        "metrics.jsonl",
        "curves.png",
        "checkpoints",
        "result.json",
        "history.json",
    }
    assert "--net=resnet10(width=4)" in (finished / "flags.cfg").read_text()
    assert (finished / "net" / "resnet.py").read_text() == (ROOT / "nets/resnet.py").read_text()
    checkpoints = sorted(path.name for path in (finished / "checkpoints").iterdir())
    assert checkpoints == ["best.npz", "step-00000008.npz", "step-00000012.npz"]
    assert not list(finished.rglob("*.tmp"))


def test_flags_of_a_run_give_the_same_metrics_again(finished, tmp_path):
    run_command(
        "trainers/train.py", f"--flagfile={finished / 'flags.cfg'}", f"--runs_dir={tmp_path}"
    )
    assert reproducible(tmp_path / "demo" / "1") == reproducible(finished)


def test_evaluate_scores_every_image_as_the_run_did(finished):
    done = run_command("trainers/evaluate.py", f"--run={finished}", "--checkpoint=last")
    scored = json.loads((finished / "evaluation_center_crop_validation.json").read_text())
    line = read_metrics(finished)[-1]
    assert scored["images"] == line.images
    assert f"over {scored['images']} images" in done.stdout
    assert "next: python trainers/runs.py report --runs_dir=" in done.stdout
    assert scored["top1"] == line.top1
    assert scored["loss"] == pytest.approx(line.loss, rel=1e-6)
    again = run_command(
        "trainers/evaluate.py",
        f"--run={finished}",
        "--checkpoint=last",
        "--replicas=cpu:2",
        "--eval_batch_size=34",
    )
    scored_again = json.loads((finished / "evaluation_center_crop_validation.json").read_text())
    assert (scored_again["images"], scored_again["top1"]) == (scored["images"], scored["top1"])
    assert "Traceback" not in again.stderr


def test_evaluate_takes_whole_images_at_several_scales(finished):
    scales = ("--protocol=dense_multi_scale", "--scales=64,96,112", "--replicas=cpu:2")
    done = run_command("trainers/evaluate.py", f"--run={finished}", *scales)
    assert "dense_multi_scale 64 96 112" in done.stdout
    assert done.stderr == ""


def test_a_run_outlives_a_change_of_its_nets_source(finished, tmp_path):
    copy = tmp_path / "1"
    shutil.copytree(finished, copy)
    source = copy / "net" / "resnet.py"
    source.write_text(source.read_text() + "\nraise RuntimeError('this copy was used')\n")
    done = subprocess.run(
        [sys.executable, "trainers/evaluate.py", f"--run={copy}"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode != 0
    assert "this copy was used" in done.stderr


def test_kill_and_restart_gives_the_uninterrupted_metrics(generated_data, finished, tmp_path):
    command = [
        sys.executable,
        "trainers/train.py",
        *QUICK,
        f"--data_dir={generated_data}",
        f"--runs_dir={tmp_path}",
        "--train_steps=12",
        "--eval_epochs=0.0667",
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    run_dir = tmp_path / "demo" / "1"
    checkpoint = run_dir / "checkpoints" / "step-00000004.npz"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpoint.exists()
    assert not (run_dir / "result.json").exists(), "it was killed before its end"
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert "continuing after step" in done.stdout
    assert [path.name for path in run_dir.parent.iterdir()] == ["1"]
    assert reproducible(run_dir) == reproducible(finished)


def test_sigterm_saves_and_exits_with_0(generated_data, tmp_path):
    process = subprocess.Popen(
        [
            sys.executable,
            "trainers/train.py",
            *QUICK,
            f"--data_dir={generated_data}",
            f"--runs_dir={tmp_path}",
            "--train_steps=100000",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    while not process.stdout.readline().startswith("step "):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "SIGTERM: saved at step" in rest
    assert len(list((tmp_path / "demo" / "1" / "checkpoints").glob("step-*.npz"))) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--net=alexnett"], ["alexnett", "'alexnet'"]), (["--nett=alexnet"], ["nett"])],
)
def test_a_wrong_flag_is_one_line_and_leaves_no_run(generated_data, tmp_path, arguments, says):
    done = train(generated_data, tmp_path, "--train_steps=1", *arguments, code=1)
    assert_one_line_error(done, *says)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("--net=resnet10(depth=4)", ["depth", "width"]),
        ("--net=alexnet(", ["alexnet("]),
        ("--net=inception_v3", ["inception_v3", "too small"]),
        ("--train_map=decode_random_krop(64)", ["decode_random_krop", "decode_random_crop"]),
        ("--net=alexnet --eval_map=decode_center_crop(128)", ["64x64", "128x128", "fc6"]),
        ("--geometry=square_crop", ["square_crop", "short_side"]),
        ("--size=512", ["512", "256"]),
        ("--train_batch_size=33", ["33", "2"]),
        ("--replicas=8", ["GPU"]),
        ("--replicas=two", ["two", "auto"]),
        ("--schedule=sine()", ["sine", "cosine"]),
        ("--optimizer=sdg()", ["sdg", "sgd"]),
        ("--data_dir=no/such/place", ["no/such/place"]),
        ("--train_batch_size=5000", ["5000", "1,000"]),
    ],
)
def test_what_cannot_be_trained_is_refused_before_a_folder_is_made(
    generated_data, tmp_path, argument, says
):
    flags = [*QUICK, "--accumulation_steps=2", f"--data_dir={generated_data}"]
    with pytest.raises(UserError) as error:
        session.train(config.parse([*flags, f"--runs_dir={tmp_path}", *argument.split(" ")]))
    message = str(error.value)
    assert "\n" not in message
    for text in says:
        assert text in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "make_source",
    ["missing", "empty", "no_devkit", "truncated"],
)
def test_a_wrong_source_is_one_line(sample_dir, tmp_path, make_source):
    source = tmp_path / "source"
    real = sample_dir / "ilsvrc2012_sample"
    if make_source != "missing":
        source.mkdir()
    if make_source in ("no_devkit", "truncated"):
        for name in ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"):
            (source / name).symlink_to(real / name)
    if make_source == "truncated":
        (source / "ILSVRC2012_devkit_t12.tar.gz").symlink_to(real / "ILSVRC2012_devkit_t12.tar.gz")
        (source / "ILSVRC2012_img_val.tar").unlink()
        whole = (real / "ILSVRC2012_img_val.tar").read_bytes()
        (source / "ILSVRC2012_img_val.tar").write_bytes(whole[: len(whole) // 2])
    done = run_command(
        "data_prep/build_tfrecords.py",
        f"--source={source}",
        f"--data_dir={tmp_path / 'data'}",
        code=1,
    )
    named = {
        "missing": str(source),
        "empty": str(source),
        "no_devkit": "ILSVRC2012_devkit_t12.tar.gz",
        "truncated": "ILSVRC2012_img_val.tar",
    }
    assert_one_line_error(done, named[make_source])


def test_evaluate_refuses_what_is_no_run(tmp_path):
    done = run_command("trainers/evaluate.py", f"--run={tmp_path}", code=1)
    assert_one_line_error(done, str(tmp_path), "flags.cfg")


@pytest.mark.parametrize(
    "script",
    ["data_prep/build_tfrecords.py", "trainers/train.py", "trainers/evaluate.py"],
)
def test_help_lists_flags_and_exits_with_0(script):
    done = run_command(script, "--help")
    assert "--" in done.stdout
    assert done.stderr == ""
