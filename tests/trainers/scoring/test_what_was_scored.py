"""What an evaluation says of what it scored: which weights, which images, and dead nets."""

import io
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from base.errors import UserError
from data_prep import schema
from tests.making.datasets import sample_photographs
from tests.making.trained_runs import CLASSES, random_run, stored_dataset
from tests.trainers.scoring.conftest import CROP, IMAGES, NET, SIZE
from trainers.config import TrainedConfig
from trainers.report.published import gates
from trainers.run_folder import predictions
from trainers.run_folder.files import LoopState, read_state, state_text
from trainers.run_folder.folder import Run
from trainers.run_folder.records import read_record
from trainers.scoring import evaluation
from trainers.scoring.config import EvaluateConfig
from trainers.training.devices.replicas import open_devices

pytestmark = pytest.mark.slow(reason="it compiles nets")


@pytest.fixture(scope="module")
def run(data_dir, tmp_path_factory):
    return random_run(tmp_path_factory.mktemp("runs"), data_dir, NET, CROP)


def evaluate(run, *, checkpoint="best", weights="auto", **flags):
    trained = TrainedConfig(checkpoint=checkpoint, weights=weights)
    config = EvaluateConfig(
        run=(str(run.directory),), trained=trained, **{"replicas": "cpu:1", **flags}
    )
    return evaluation.evaluate(config)


def test_other_data_adds_a_file_and_is_not_beside_the_paper(sample_dir, data_dir, tmp_path):
    run = random_run(tmp_path / "runs", data_dir, NET, CROP)
    own = evaluate(run)
    before = own.file.read_bytes()
    others = [
        stored_dataset(tmp_path / name, sample_photographs(sample_dir, count), SIZE)
        for name, count in (("a", 3), ("b", 4))
    ]
    found = [evaluate(run, data_dir=str(other)) for other in others]
    assert len({own.file, *(each.file for each in found)}) == 3
    assert own.file.read_bytes() == before
    for other, each in zip(others, found, strict=True):
        written = json.loads(each.file.read_text())
        assert written["data_dir"] == str(other)
        assert written["manifest_sha256"] == schema.Manifest.load(other).sha256
        assert not written["own_data"]
        assert any(f"images of {other}, not" in line for line in each.table)
        assert not any("chosen on these images" in line for line in each.table)
    record = read_record(run.directory)
    assert len(record.evaluations) == 3
    assert record.accuracy == (own.result.top1, own.result.top5)
    assert {gate.top1 for gate in gates(record)} <= {100 * (1 - own.result.top1)}


def test_what_is_said_of_each_image_is_saved_with_its_name_and_the_worst_as_pictures(run):
    found = evaluate(run, save_predictions=True)
    said = predictions.load(found.saved)
    assert found.saved == predictions.beside(found.file)
    assert said.names == tuple(f"validation_{number}" for number in range(IMAGES))
    assert said.labels.tolist() == [number % CLASSES for number in range(IMAGES)]
    assert said.right.mean() == pytest.approx(found.result.top1)
    assert said.losses.mean() == pytest.approx(found.result.loss, rel=1e-5)
    assert said.words[1] == "class 1"
    assert sorted(said.pictures) == np.flatnonzero(~said.right).tolist()
    for picture in said.pictures.values():
        assert max(Image.open(io.BytesIO(picture)).size) <= 128
    assert read_record(run.directory).predictions().names == said.names


def test_a_data_set_that_has_moved_is_still_the_runs_own(data_dir, tmp_path):
    run = random_run(tmp_path / "runs", data_dir, NET, CROP)
    moved = shutil.copytree(data_dir, tmp_path / "moved")
    stale = run.directory / "evaluation_center_crop_validation.predictions.npz"
    stale.touch()
    found = evaluate(run, data_dir=str(moved))
    assert found.saved is None and not stale.exists(), "they were another evaluation's"
    assert found.file.name == "evaluation_center_crop_validation.json"
    assert found.result.own_data and found.result.data_dir == str(moved)


def test_the_result_says_which_weights_were_scored(data_dir, tmp_path):
    run = random_run(tmp_path, data_dir, NET, CROP, averages=True)
    found = evaluate(run)
    (weights,) = found.result.scored
    assert (weights.checkpoint, weights.step, weights.averaged) == ("best.npz", 0, True)
    assert f"{run.directory}: averaged weights of step 0 (best.npz)" in found.table
    (weights,) = evaluate(run, checkpoint="last", weights="plain").result.scored
    assert (weights.checkpoint, weights.averaged) == ("step-00000000.npz", False)


def test_the_best_checkpoint_is_said_to_be_chosen_on_these_images(run, tmp_path):
    other = Run(shutil.copytree(run.directory, tmp_path / "1"))
    with np.load(other.checkpoints / "best.npz") as file:
        arrays = dict(file)
    state = LoopState(
        step=9,
        label_order=read_state(arrays["state"].tobytes()).label_order,
        validation_errors=[0.5],
        window=[],
    )
    arrays["state"] = np.frombuffer(state_text(state).encode(), np.uint8)
    (other.checkpoints / "best.npz").unlink()
    np.savez(other.checkpoints / "best.npz", **arrays)
    assert "step 9 (best.npz), chosen on these images" in evaluate(other).table[0]
    assert "chosen" not in evaluate(other, split="train").table[0]
    assert "chosen" not in evaluate(other, checkpoint="last").table[0]
    (other.checkpoints / "best.npz").unlink()
    with pytest.raises(UserError, match="--checkpoint=last takes the newest"):
        evaluate(other)


def test_a_disk_that_takes_no_file_loses_no_score(run, tmp_path):
    occupied = tmp_path / "file"
    occupied.touch()
    said = []
    config = EvaluateConfig(run=(str(run.directory),), output=str(occupied / "result.json"))
    with pytest.raises(UserError, match=r"result\.json was not written.*--output=FILE"):
        evaluation.evaluate(config, said.append)
    assert said[0].score.images == IMAGES
    output = tmp_path / "new" / "result.json"
    found = evaluate(run, output=str(output))
    assert found.file == output and json.loads(output.read_text())["images"] == IMAGES


def test_a_net_that_sees_nothing_is_named(data_dir, tmp_path):
    run = random_run(tmp_path, data_dir, NET, CROP)
    path = run.checkpoints / "best.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays["model/fc/kernel"] = np.zeros_like(arrays["model/fc/kernel"])
    path.unlink()
    np.savez(path, **arrays)
    for protocol in ("center_crop", "ten_crop"):
        found = evaluate(run, protocol=protocol)
        assert found.warnings and "same logits for all images" in found.warnings[0]
    arrays["model/fc/bias"] = np.zeros_like(arrays["model/fc/bias"])
    np.savez(path, **arrays)
    assert evaluate(run).result.top1 == 0


@pytest.mark.parametrize("net", [NET, "googlenet", "squeezenet1_1"])
def test_under_bfloat16_the_classifier_is_scored_in_float32(data_dir, tmp_path, net):
    run = random_run(tmp_path, data_dir, net, SIZE, "--precision=mixed_bfloat16")
    policy = keras.mixed_precision.global_policy()
    try:
        config = EvaluateConfig(run=(str(run.directory),), replicas="cpu:1")
        member = evaluation.open_members(config)[0]
        (views,) = member.plan.passes
        strategy = open_devices("cpu:1").strategy
        rows = [found for *_, found in evaluation.member_scores(member, views, config, strategy)]
    finally:
        keras.mixed_precision.set_global_policy(policy)
    logits = np.concatenate(rows)
    rounded = tf.cast(tf.cast(logits, tf.bfloat16), tf.float32).numpy()
    assert (logits != rounded).mean() > 0.9
