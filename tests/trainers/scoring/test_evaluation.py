"""The protocols on real photographs against slow references, on any number of replicas."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

import nets
from base.errors import UserError
from data_prep import schema
from data_prep.image import conversion
from pipelines.input_pipeline import InputPipeline
from pipelines.reading.dataset import open_dataset
from tests.making.datasets import pixels, sample_photographs
from tests.making.trained_runs import CLASSES, classifier, random_run, softmax, stored_dataset
from tests.pipelines.functions.test_views import crops_144, ten
from tests.trainers.scoring.conftest import CROP, IMAGES, NET, SIZE
from trainers.config import TrainedConfig
from trainers.scoring import evaluation, protocols
from trainers.scoring.config import EvaluateConfig
from trainers.scoring.real_labels import read_real_labels
from trainers.training.devices.replicas import open_devices

pytestmark = pytest.mark.slow(reason="each protocol is compiled for nets of several sizes")


@pytest.fixture(scope="module")
def stored(sample_dir):
    settings = schema.ImageSettings(size=SIZE)
    return [
        pixels(conversion.convert(data, settings).encoded)
        for data in sample_photographs(sample_dir, IMAGES)
    ]


@pytest.fixture(scope="module")
def run(data_dir, tmp_path_factory):
    return random_run(tmp_path_factory.mktemp("runs"), data_dir, NET, CROP)


def evaluate(run, runs=(), **flags):
    trained = TrainedConfig(
        **{name: flags.pop(name) for name in ("checkpoint", "weights") if name in flags}
    )
    runs = runs or (str(run.directory),)
    return evaluation.evaluate(
        EvaluateConfig(run=runs, trained=trained, **{"replicas": "cpu:1", **flags})
    )


def probabilities(run, protocol: str, replicas: int = 1, **flags) -> np.ndarray:
    """[images, N], the mean over the protocol's passes."""
    config = EvaluateConfig(run=(str(run.directory),), protocol=protocol, **flags)
    strategy = open_devices(f"cpu:{replicas}").strategy
    member = evaluation.open_members(config)[0]
    total = np.zeros([IMAGES, CLASSES])
    for views in member.plan.passes:
        for positions, _, found in evaluation.member_probabilities(member, views, config, strategy):
            total[positions] += found
    return total / len(member.plan.passes)


def of_crops(run, crops: np.ndarray) -> np.ndarray:
    """One by one, by the run's own net: probabilities [views, N]."""
    made = classifier(run)
    return np.concatenate([softmax(made.logits(crop[None])) for crop in crops])


def test_ten_crop_averages_the_probabilities_of_ten_crops(run, stored):
    found = probabilities(run, "ten_crop")
    wanted = [of_crops(run, ten(image, CROP)).mean(axis=0) for image in stored]
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    single = probabilities(run, "center_crop")
    assert np.abs(found - single).max() > 1e-3


def test_dense_equals_the_net_built_for_each_whole_image(run, stored):
    found = probabilities(run, "dense")
    made = classifier(run)
    for image, row in zip(stored, found, strict=True):
        whole = nets.build("resnet10", CLASSES, image.shape[:2], width=8)
        for layer in whole.layers:
            if layer.weights:
                layer.set_weights(made.model.get_layer(layer.name).get_weights())
        both = np.stack([image, image[:, ::-1]])
        logits = whole(made.normalized(tf.constant(both)), training=False).numpy()
        np.testing.assert_allclose(row, softmax(logits).mean(axis=0), rtol=1e-4)


@pytest.mark.parametrize(
    ("net", "crop"), [("alexnet", 99), ("vgg11", 64), ("overfeat_fast", 103), (NET, CROP)]
)
def test_dense_at_exactly_the_crop_size_is_the_single_crop(sample_dir, tmp_path, net, crop):
    photographs = sample_photographs(sample_dir, 2)
    data = stored_dataset(tmp_path / "data", photographs, crop, geometry="square_crop")
    run = random_run(tmp_path / "runs", data, net, crop)
    made = classifier(run)
    crops = made.crops([made.store(data) for data in photographs])
    wanted = [of_crops(run, np.stack([image, image[:, ::-1]])).mean(axis=0) for image in crops]
    config = EvaluateConfig(run=(str(run.directory),), protocol="dense")
    member = evaluation.open_members(config)[0]
    strategy = open_devices("cpu:1").strategy
    (views,) = member.plan.passes
    found = {}
    for positions, _, rows in evaluation.member_probabilities(member, views, config, strategy):
        found |= dict(zip(positions.tolist(), rows, strict=True))
    np.testing.assert_allclose([found[0], found[1]], wanted, rtol=1e-4)


def test_dense_multi_scale_is_the_mean_over_scales(run):
    scales = [probabilities(run, "dense", scales=(scale,)) for scale in ("64", "96", "120")]
    found = probabilities(run, "dense_multi_scale", scales=("64", "96", "120"))
    np.testing.assert_allclose(found, np.mean(scales, axis=0), rtol=1e-6)


def test_crops_144_are_averaged(run, stored):
    found = probabilities(run, "crops_144", scales=("96",))
    wanted = [of_crops(run, crops_144(image, CROP, (96,))).mean(axis=0) for image in stored[:2]]
    np.testing.assert_allclose(found[:2], wanted, atol=2e-3)  # Pillow rounds otherwise


@pytest.mark.parametrize("protocol", ["center_crop", "ten_crop", "dense"])
def test_replicas_and_batch_sizes_change_nothing(run, protocol):
    one = evaluate(run, protocol=protocol).result
    two = evaluate(run, protocol=protocol, replicas="cpu:2", eval_batch_size=5).result
    assert (one.images, one.top1, one.top5) == (IMAGES, two.top1, two.top5)
    assert one.loss == pytest.approx(two.loss, rel=1e-5)
    assert one.per_class == two.per_class


def test_the_result_is_written_with_what_it_depends_on(run, data_dir):
    found = evaluate(run, protocol="ten_crop", scales=("128",))
    assert found.file == run.directory / "evaluation_ten_crop_validation.json"
    written = json.loads(found.file.read_text())
    expected = {
        "protocol": "ten_crop",
        "split": "validation",
        "checkpoint": "best",
        "weights": "auto",
        "scales": [128],
        "enlarged_scales": [128],
        "image_size": [CROP, CROP],
        "stored": f"short_side_{SIZE}_jpeg_q90",
        "label_order": schema.Manifest.load(data_dir).label_order,
        "images": IMAGES,
        "eval_map": f"decode|resize_short_side(128)|ten_crop({CROP})",
    }
    assert written.items() >= expected.items()
    assert any("enlarge the stored images" in line for line in found.table)
    low, high = written["top5_interval"]
    assert low < written["top5"] <= high


def test_an_ensemble_averages_probabilities(run, data_dir, tmp_path, capsys):
    other = random_run(tmp_path, data_dir, NET, 80, seed=1)
    names = (str(run.directory), str(other.directory))
    result = evaluate(run, names).result
    mean = (probabilities(run, "center_crop") + probabilities(other, "center_crop")) / 2
    labels = np.arange(IMAGES) % CLASSES
    assert result.loss == pytest.approx(-np.log(mean[range(IMAGES), labels]).mean(), rel=1e-6)
    assert result.top1 == pytest.approx((mean.argmax(axis=1) == labels).mean())
    assert result.ensemble == names
    assert (run.directory / "ensemble_center_crop_validation.json").exists()


def test_another_image_size_and_averaged_weights(data_dir, tmp_path, stored):
    run = random_run(tmp_path, data_dir, NET, CROP, averages=True)
    plain, averaged = (
        probabilities(run, "center_crop", trained=TrainedConfig(weights=weights))
        for weights in ("plain", "averaged")
    )
    assert np.abs(plain - averaged).max() > 1e-3
    auto = probabilities(run, "center_crop")
    np.testing.assert_array_equal(auto, averaged)
    larger = probabilities(run, "center_crop", image_size=80)
    assert np.abs(larger - auto).max() > 1e-3


def test_a_permuted_label_order_is_refused(run, data_dir, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(data_dir, copy)
    manifest = schema.Manifest.load(copy)
    wnids = manifest.wnids[::-1]
    other = dataclasses.replace(manifest, wnids=wnids, label_order=schema.label_order_hash(wnids))
    (copy / schema.MANIFEST_FILE).write_text(other.to_json())
    with pytest.raises(UserError, match="label order"):
        evaluate(run, data_dir=str(copy))


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"protocol": "dense", "scales": ("48",)}, "does not fit within a shorter side of 48"),
        ({"protocol": "ten_crop", "scales": ("512",)}, "build a data set with --size=512"),
        ({"protocol": "dense", "eval_device_map": "subtract_mean('image')"}, "subtract_mean"),
        ({"weights": "averaged"}, "no averaged weights"),
        ({"runs": ("no/such/run",)}, "no/such/run"),
        ({"real_labels": "no/such/file"}, "no/such/file"),
    ],
)
def test_what_cannot_be_evaluated_is_one_error(run, flags, says):
    with pytest.raises(UserError, match=says) as error:
        evaluate(run, **flags)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "flags",
    [
        {"scales": ("big",)},
        {"protocol": "dense", "scales": ("64", "96")},
        {"protocol": "dense", "image_size": 64},
        {"eval_batch_size": -1},
        {"split": "train", "real_labels": "x"},
    ],
)
def test_flags_that_make_no_sense_are_refused(flags):
    with pytest.raises(UserError):
        EvaluateConfig(**flags)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[[1]]", "has 1 entries, none of them for 'validation_0'"),
        ('{"a": 1}', "not a list of lists"),
        ("[1, 2", "not a list of lists"),
        ("[" * 10**5, "not a list of lists"),
        ("[1, 2]", "not a list of lists"),
        ("[[999], [1000]]", "entry 2 has '1000', and labels are 0 to 999"),
        ("[[-1]]", "entry 1 has '-1'"),
        ('[["7"]]', "entry 1 has '7'"),
        ("[[true]]", "entry 1 has 'True'"),
        ("\ufeff[[1]]", "has 1 entries, none of them for 'validation_0'.*without --holdout"),
    ],
)
def test_real_labels_of_something_else_are_refused(run, tmp_path, content, says):
    path = tmp_path / "real.json"
    path.write_text(content)
    dataset = open_dataset(run.config().pipeline)
    with pytest.raises(UserError, match="5 classes from n00000000 to n00000004"):
        good = tmp_path / "good.json"
        good.write_text("[[1]]")
        read_real_labels(str(good), dataset)
    wnids = ("n01440764", *(f"n0150{label:04d}" for label in range(998)), "n15075141")
    with pytest.raises(UserError, match=says):
        read_real_labels(str(path), dataclasses.replace(dataset, wnids=wnids))


def test_a_net_of_one_size_says_why_it_is_not_dense(data_dir, tmp_path):
    run = random_run(tmp_path, data_dir, "resnet10(width=8, space_to_depth_stem=True)", CROP)
    with pytest.raises(UserError, match="space-to-depth stem takes images of one size"):
        evaluate(run, protocol="dense")


def test_every_protocol_has_a_plan(run):
    for protocol in ("ten_crop", "crops_144", "dense", "dense_multi_scale"):
        config = EvaluateConfig(protocol=protocol)
        flags = run.config().pipeline
        dataset = dataclasses.replace(open_dataset(flags), manifest=None)
        pipeline = InputPipeline(dataset, flags)
        if protocol in ("ten_crop", "dense"):
            with pytest.raises(UserError, match="give --scales"):
                protocols.plan(config, pipeline)
        else:
            assert protocols.plan(config, pipeline).passes
