"""Training, validation, evaluate.py and an exported net score the same logits alike, ties too."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainers.run_folder.files import CENTER_CROP
from trainers.scoring.probabilities import class_scores, log_softmax
from trainers.scoring.protocols import Views
from trainers.scoring.tally import Tally
from trainers.serving import served_net
from trainers.training import losses
from trainers.training.devices.replicas import open_devices
from trainers.training.validation import CenterCrop

IMAGES, CLASSES = 200, 10
SEED = 22


def tie_ridden(generator: np.random.Generator) -> np.ndarray:
    """Logits of few different values, some huge, tiny or not finite."""
    logits = generator.integers(0, 4, (IMAGES, CLASSES)).astype(np.float32)
    logits[:40] *= 1e6  # a diverged net: most probabilities are 0
    logits[40:60] *= 1e-30  # a dying one: every probability is the same
    logits[60:70] = 1.0
    logits[70:80, generator.integers(0, CLASSES, 10)] = np.nan
    logits[80:90, generator.integers(0, CLASSES, 10)] = np.inf
    logits[90:100, generator.integers(0, CLASSES, 10)] = -np.inf
    return logits


def by_a_loop(logits: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """The rule in words: the label comes behind every class that it is not above."""
    found = []
    for row, label in zip(logits, labels, strict=True):
        ahead = sum(value >= row[label] for other, value in enumerate(row) if other != label)
        found.append(np.isfinite(row).all() and ahead < k)
    return np.array(found)


class Pictures:
    """A pipeline whose pixels are the numbers of its images, for a net that looks them up."""

    def __init__(self, labels: np.ndarray, batch_size: int):
        self.config = types.SimpleNamespace(eval_batch_size=batch_size)
        self.dataset = types.SimpleNamespace(num_records=lambda split: len(labels))
        self._labels = labels

    def chains(self, phase):
        return types.SimpleNamespace(on_device=lambda batch: batch)

    def evaluate(self, batch_size, *, replicas=1, split="validation"):
        total = -(-len(self._labels) // (batch_size * replicas)) * batch_size * replicas
        numbers = np.arange(total) % len(self._labels)
        return tf.data.Dataset.from_tensor_slices(
            {
                "image": np.stack([numbers // 256, numbers % 256], axis=1)
                .astype(np.uint8)
                .reshape(-1, 1, 2, 1),
                "label": self._labels[numbers].astype(np.int32),
                "position": numbers,
                "weight": (np.arange(total) < len(self._labels)).astype(np.float32),
            }
        ).batch(batch_size)


def lookup(images: tf.Tensor, logits: np.ndarray) -> tf.Tensor:
    high, low = (tf.cast(images[:, 0, place, 0], tf.int32) for place in (0, 1))
    return tf.gather(tf.constant(logits), 256 * high + low)


def net(logits: np.ndarray) -> keras.Model:
    inputs = keras.Input((1, 2, 1))
    layer = keras.layers.Lambda(lambda x: lookup(x, logits), output_shape=(CLASSES,))
    return keras.Model(inputs, layer(inputs))


def validated(logits: np.ndarray, labels: np.ndarray, replicas: int = 1, compiled: bool = False):
    devices = open_devices(f"cpu:{replicas}")
    pictures = Pictures(labels, 16)
    return CenterCrop(net(logits), pictures, devices, compiled=compiled).evaluate()


def exported(logits: np.ndarray, folder) -> np.ndarray:
    """What a SavedModel of the net gives for every image."""
    classifier = types.SimpleNamespace(
        image_size=(1, 2), logits_of=lambda crops: lookup(crops[..., :1], logits)
    )
    tf.saved_model.save(
        tf.Module(), str(folder), signatures={"net": served_net.net_on_crops(classifier)}
    )
    images = np.concatenate([each["image"] for each in Pictures(np.zeros(IMAGES), 50).evaluate(50)])
    loaded = tf.saved_model.load(str(folder)).signatures["net"]
    return loaded(image=tf.constant(np.repeat(images, 3, axis=-1)))["logits"].numpy()


@pytest.mark.parametrize("seed", range(SEED, SEED + 3))
def test_training_evaluation_and_export_agree_on_tie_ridden_logits(seed, tmp_path):
    generator = np.random.default_rng(seed)
    logits, labels = tie_ridden(generator), generator.integers(0, CLASSES, IMAGES)
    strategy = open_devices("cpu:1").strategy
    tally = Tally(IMAGES, CLASSES)
    views = Views("decode")
    for positions, found, scores in class_scores(
        net(logits), Pictures(labels, 30), views, strategy, "validation"
    ):
        tally.add(positions, found, np.exp(log_softmax(scores)), scores)
    result = tally.result([f"n{label:08d}" for label in range(CLASSES)])
    outside = exported(logits, tmp_path / CENTER_CROP)
    for k, name in ((1, "top1"), (5, "top5")):
        wanted = by_a_loop(logits, labels, k)
        assert 0 < wanted.sum() < IMAGES / 2
        for compiled in (False, True):  # as the training's step
            step = tf.function(losses.correct, jit_compile=compiled, autograph=False)
            row = step(tf.constant(logits), tf.constant(labels, tf.int32), k).numpy()
            np.testing.assert_array_equal(row, wanted)
        np.testing.assert_array_equal(losses.correct(outside, labels, k).numpy(), wanted)
        assert result[name] == wanted.mean()
        for replicas, compiled in ((1, False), (2, False), (1, True)):
            score = validated(logits, labels, replicas, compiled)
            assert getattr(score, name) == wanted.mean()


def test_a_dead_net_has_no_hit_and_is_named():
    labels = np.zeros(IMAGES, int)
    dead = np.zeros([IMAGES, CLASSES], np.float32)
    score = validated(dead, labels)
    assert (score.top1, score.top5, score.constant) == (0.0, 0.0, True)
    one = np.tile(np.arange(CLASSES, dtype=np.float32), (IMAGES, 1))
    assert validated(one, labels).constant, "the same for all images, though not for all classes"
    # The batches of each replica alone are constant here, all of them together are not.
    one[IMAGES // 2 :] += 1
    assert not validated(one, labels, replicas=2).constant
    assert not validated(np.full_like(one, np.nan), labels).constant


def test_the_loss_of_a_diverged_net_is_a_number():
    logits = np.array([[0.0, 5000.0]] * 2, np.float32)
    tally = Tally(2, 2)
    tally.add(np.arange(2), np.zeros(2, int), np.exp(log_softmax(logits)), logits)
    result = tally.result(("a", "b"))
    assert result["loss"] == 5000.0
    assert result["most_confused"] == [["a", "b", 2]]
