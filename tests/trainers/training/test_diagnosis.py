"""What is said of trainings that go wrong, on planted causes."""

import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import nets
from base.errors import UserError
from pipelines.functions.map_function import MAP_FUNCTIONS, MapFunction, Place
from pipelines.input_pipeline import InputPipeline
from pipelines.reading.dataset import open_dataset
from trainers import config
from trainers.run_folder.metrics import read_metrics
from trainers.training import diagnosis, losses, session

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(8, 56, 56, 3)).astype(np.float32)
LABELS = np.arange(8, dtype=np.int32)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    return nets.build("resnet10", 10, image_size=56, width=4)


def test_a_sound_batch_raises_no_alarm():
    assert diagnosis.degenerate_data(IMAGES, LABELS) == []


def test_labels_all_alike_are_noticed():
    (finding,) = diagnosis.degenerate_data(IMAGES, np.full(8, 3))
    assert "all 8 labels" in finding and "3" in finding


def test_constant_images_are_noticed():
    (finding,) = diagnosis.degenerate_data(np.full_like(IMAGES, 7.0), LABELS)
    assert "constant" in finding


def test_a_loss_near_or_above_that_of_guessing_is_at_chance():
    assert diagnosis.at_chance(math.log(1000) * 1.01, math.log(1000))
    assert not diagnosis.at_chance(math.log(1000) * 0.9, math.log(1000))
    assert diagnosis.at_chance(math.log(2), 0.008), "a sigmoid's, of a net that is not trained"
    assert not diagnosis.at_chance(0.0, 0.0), "of one class there is nothing to learn"


@pytest.mark.parametrize(
    ("net", "loss", "labels", "chance"),
    [
        ("resnet10", "softmax()", LABELS, math.log(10)),
        ("googlenet", "softmax()", LABELS, 1.6 * math.log(10)),  # two heads of 0.3
        ("resnet10", "sigmoid()", LABELS, -0.1 * math.log(0.1) - 0.9 * math.log(0.9)),
        # Two classes in each image.
        (
            "resnet10",
            "sigmoid()",
            (np.eye(10, dtype=np.float32)[LABELS] + np.eye(10, dtype=np.float32)[LABELS - 1]) / 2,
            -0.2 * math.log(0.2) - 0.8 * math.log(0.8),
        ),
    ],
)
def test_a_training_that_guesses_is_named_whatever_its_net_and_loss(
    net, loss, labels, chance, model, monkeypatch
):
    trained = SimpleNamespace(name=net, package=nets, build_for=lambda images: model)
    dataset = SimpleNamespace(num_classes=10)
    inquiry, said = object.__new__(diagnosis.Inquiry), []
    read, heads = config.parse([f"--loss={loss}"]), nets.entry(net).auxiliary_weights
    inquiry._net, inquiry._objective = trained, losses.objective(read, heads, ())
    inquiry._pipeline = SimpleNamespace(dataset=dataset)
    inquiry._logbook = SimpleNamespace(say=said.append)
    batch = {"image": tf.constant(IMAGES), "label": tf.constant(labels)}
    monkeypatch.setattr(inquiry, "_global_batch", lambda step: batch)
    inquiry.warn_of_chance(50, 0.9 * chance, 0.01)
    assert not said
    inquiry.warn_of_chance(50, 1.01 * chance, 0.01)
    assert f"guessing among 10 classes is {chance:.2g}"[:-1] in said[0]


@pytest.mark.parametrize("part", [1, 3, 4, 8])
def test_parts_of_a_batch_find_what_the_whole_finds(model, part):
    images = IMAGES.copy()
    images[2, 3, 3, 0] = images[6, 0, 0, 0] = np.inf
    images[7] = 3e38  # is finite, and overflows in the first layers
    whole = diagnosis.locate_non_finite(model, tf.constant(images), tf.constant(LABELS))
    assert whole == diagnosis.NonFinite("input", (2, 6))
    parts = diagnosis.locate_non_finite(model, tf.constant(images), tf.constant(LABELS), part)
    assert parts == whole
    images[[2, 6]] = 0
    whole = diagnosis.locate_non_finite(model, tf.constant(images), tf.constant(LABELS))
    assert whole is not None and whole.examples == (7,)
    parts = diagnosis.locate_non_finite(model, tf.constant(images), tf.constant(LABELS), part)
    assert parts == whole


def test_dead_units_are_named(model):
    dead = keras.models.clone_model(model)
    dead.set_weights(model.get_weights())
    dead.get_layer("conv1_bn").beta.assign(tf.fill([4], -1000.0))
    findings = diagnosis.why_at_chance(dead, tf.constant(IMAGES), LABELS, 0.01)
    assert any("dead" in finding and "conv1" in finding for finding in findings)
    alive = diagnosis.why_at_chance(model, tf.constant(IMAGES), LABELS, 0.01)
    assert not any("dead" in finding for finding in alive)


def test_a_finite_batch_has_no_bad_place(model):
    assert diagnosis.locate_non_finite(model, tf.constant(IMAGES), tf.constant(LABELS)) is None


def test_a_planted_nan_is_located_at_the_input(model):
    images = IMAGES.copy()
    images[5, 3, 3, 1] = np.nan
    found = diagnosis.locate_non_finite(model, tf.constant(images), tf.constant(LABELS))
    assert found == diagnosis.NonFinite("input", (5,))


def test_an_overflowing_layer_is_named(model):
    broken = keras.models.clone_model(model)
    broken.set_weights(model.get_weights())
    broken.get_layer("conv1_bn").gamma.assign(tf.fill([4], np.inf))
    found = diagnosis.locate_non_finite(broken, tf.constant(IMAGES), tf.constant(LABELS))
    assert found.place == "conv1_bn"
    assert len(found.examples) == 8


@pytest.fixture
def plant_nan():
    """A device map function that puts a NaN into the image at one global position."""

    def plant_nan(position: int) -> MapFunction:
        def apply(batch, drawn):
            here = tf.cast(batch["position"] == position, tf.float32)[:, None, None, None]
            poison = tf.where(here > 0, np.nan, 0.0)
            return batch | {"image": tf.cast(batch["image"], tf.float32) + poison}

        return MapFunction(apply, Place.BATCH)

    MAP_FUNCTIONS.register(plant_nan)
    yield
    del MAP_FUNCTIONS._factories["plant_nan"]


FLAGS = [
    "--net=resnet10(width=4)",
    "--train_map=decode_random_crop(56)",
    "--eval_map=decode_center_crop(56)",
    "--train_batch_size=16",
    "--train_steps=4",
]


PLANTED = 2 * 16 + 11  # the third step, the second replica's part of its batch


def with_planted_nan(data_dir, runs_dir, *flags) -> config.TrainConfig:
    return config.parse(
        [
            *FLAGS,
            f"--data_dir={data_dir}",
            f"--runs_dir={runs_dir}",
            "--replicas=cpu:2",
            f"--train_device_map=mean_std|plant_nan({PLANTED})",
            *flags,
        ]
    )


@pytest.mark.slow(reason="it trains nets until they fail")
def test_a_planted_nan_is_reported_by_its_image_s_name(generated_data, tmp_path, plant_nan):
    settings = with_planted_nan(generated_data, tmp_path)
    with pytest.raises(UserError) as error:
        session.train(settings)
    pipeline = InputPipeline(open_dataset(settings.pipeline), settings.pipeline)
    name = pipeline.file_names(2)[11]
    message = str(error.value)
    assert "step 3" in message
    assert f"1 of 16 images: {name} (replica 1)" in message
    with np.load(tmp_path / "resnet10" / "1" / "non_finite_step_3.npz") as saved:
        assert saved["names"][11] == name
        assert np.isnan(saved["image"][11]).any()


@pytest.mark.slow(reason="it trains nets until they fail")
def test_a_step_that_is_skipped_is_reported_and_harms_nothing(
    generated_data, tmp_path, plant_nan, capsys
):
    settings = with_planted_nan(
        generated_data, tmp_path, "--on_non_finite=skip", "--log_steps=1", "--net=resnet10(width=8)"
    )
    run, score = session.train(settings)
    assert np.isfinite(score.loss), "the statistics of batch normalisation are not poisoned"
    steps = [line.step for line in read_metrics(run.directory) if line.split == "train"]
    assert steps == [1, 2, 4], "the third step has no line"
    said = capsys.readouterr().out
    pipeline = InputPipeline(open_dataset(settings.pipeline), settings.pipeline)
    name = pipeline.file_names(2)[11]
    assert f"1 of 16 images: {name} (replica 1)" in said
    assert "the step is skipped" in said


@pytest.mark.slow(reason="it trains nets until they fail")
def test_a_constant_label_is_diagnosed_before_the_first_line(generated_data, tmp_path, capsys):
    session.train(
        config.parse(
            [
                *FLAGS,
                f"--data_dir={generated_data}",
                f"--runs_dir={tmp_path}",
                "--classes=1",
                "--train_device_map=mean_std",
                "--eval_device_map=mean_std",
            ]
        )
    )
    said = capsys.readouterr().out
    assert "all 16 labels of the first batch are 0" in said
    assert said.index("all 16 labels") < said.index("step 4/4")
