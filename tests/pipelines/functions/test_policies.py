"""Augmentation policies, and the operations they choose from against Pillow."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from pipelines.functions import draws
from pipelines.functions import pillow_operations as operations
from pipelines.functions.policies import auto_augment, rand_augment, trivial_augment_wide
from tests.making.datasets import pixels, sample_photographs

COUNT = 6000
SEEDS = draws.example_seeds(5, tf.constant(0, tf.int64), tf.range(COUNT, dtype=tf.int64))


@pytest.fixture(scope="module")
def photographs(sample_dir):
    return [pixels(encoded)[:150, :170] for encoded in sample_photographs(sample_dir, 3)]


def affine(image: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix)


PILLOW = {
    operations.identity: lambda image, m: image,
    operations.shear_x: lambda image, m: affine(image, (1, -m, 0, 0, 1, 0)),
    operations.shear_y: lambda image, m: affine(image, (1, 0, 0, -m, 1, 0)),
    operations.translate_x: lambda image, m: affine(image, (1, 0, -int(m), 0, 1, 0)),
    operations.translate_y: lambda image, m: affine(image, (1, 0, 0, 0, 1, -int(m))),
    operations.rotate: lambda image, m: image.rotate(m),
    operations.brightness: lambda image, m: ImageEnhance.Brightness(image).enhance(1 + m),
    operations.color: lambda image, m: ImageEnhance.Color(image).enhance(1 + m),
    operations.contrast: lambda image, m: ImageEnhance.Contrast(image).enhance(1 + m),
    operations.sharpness: lambda image, m: ImageEnhance.Sharpness(image).enhance(1 + m),
    operations.posterize: lambda image, m: ImageOps.posterize(image, int(m)),
    operations.solarize: lambda image, m: ImageOps.solarize(image, m),
    operations.invert: lambda image, m: ImageOps.invert(image),
    operations.auto_contrast: lambda image, m: ImageOps.autocontrast(image),
    operations.equalize: lambda image, m: ImageOps.equalize(image),
}
SMALL = (0.3, -0.3, 0.9, -0.9)
MAGNITUDES = {
    operations.translate_x: (20.7, -20.7),
    operations.translate_y: (20.7, -20.7),
    operations.rotate: (30.0, -12.0, 135.0),
    operations.posterize: (2.0, 4.0, 8.0),
    operations.solarize: (0.0, 100.0, 255.0),
}


@pytest.mark.parametrize("operation", PILLOW, ids=lambda operation: operation.__name__)
def test_operation_is_pillows(photographs, operation):
    for image in photographs:
        for magnitude in MAGNITUDES.get(operation, SMALL):
            ours = operation(tf.constant(image), tf.constant(magnitude)).numpy()
            reference = np.asarray(PILLOW[operation](Image.fromarray(image), magnitude))
            difference = np.abs(ours.astype(int) - reference)
            # Rounding: by a level, or for moved pixels (no interpolation) to the next pixel.
            assert (difference > 1).mean() < 0.01
            assert difference.mean() < 0.5


@pytest.mark.parametrize("level", [0, 77])
def test_operations_leave_an_image_of_one_level_alone(level):
    image = tf.fill([20, 20, 3], tf.constant(level, tf.uint8))
    for operation in (operations.equalize, operations.auto_contrast):
        np.testing.assert_array_equal(operation(image, tf.constant(0.0)), image)


def test_every_operation_is_chosen_as_often():
    drawn = rand_augment(2, 9).draw({}, SEEDS)["operation"].numpy()
    assert scipy.stats.chisquare(np.bincount(drawn.ravel(), minlength=14)).pvalue > 0.01
    assert scipy.stats.chisquare(np.bincount(drawn[:, 0] * 14 + drawn[:, 1])).pvalue > 0.01


def test_magnitudes_of_rand_augment():
    drawn = rand_augment(1, 9).draw({}, SEEDS)
    operation, magnitude = (drawn[name].numpy().ravel() for name in ("operation", "magnitude"))
    expected = [0, 0.09, 0.09, 45 / 331, 45 / 331, 9, 0.27, 0.27, 0.27, 0.27, 7, 178.5, 0, 0]
    for index, size in enumerate(expected):
        found = magnitude[operation == index]
        np.testing.assert_allclose(np.abs(found), size, rtol=1e-5)
        if 1 <= index <= 9:  # with either sign
            assert scipy.stats.binomtest(int((found > 0).sum()), len(found)).pvalue > 0.001
        else:
            assert (found >= 0).all()


def test_rand_augment_does_each_operation_with_its_probability():
    done = rand_augment(2, 9, probability=0.25).draw({}, SEEDS)["operation"].numpy() > 0
    for place in range(2):  # one operation of 14 is the identity anyway
        assert scipy.stats.binomtest(int(done[:, place].sum()), COUNT, 0.25 * 13 / 14).pvalue > 0.01
    assert scipy.stats.binomtest(int(done.all(1).sum()), COUNT, (0.25 * 13 / 14) ** 2).pvalue > 0.01


def test_rand_augment_varies_its_magnitude():
    drawn = rand_augment(1, 27, deviation=2.0).draw({}, SEEDS)
    operation, magnitude = (drawn[name].numpy().ravel() for name in ("operation", "magnitude"))
    steps = np.round(np.abs(magnitude[operation == 5])).astype(int)  # degrees are steps
    np.testing.assert_allclose(np.abs(magnitude[operation == 5]), steps, rtol=1e-5)
    normal = scipy.stats.norm(27, 2)
    expected = np.diff(normal.cdf(np.arange(21.5, 30)))  # 22 to 29
    counts = np.array([(steps == step).sum() for step in range(22, 30)])
    most = (steps == 30).sum()
    rest = len(steps) - counts.sum() - most
    shares = np.append(expected, [normal.sf(29.5), normal.cdf(21.5)])
    found = np.append(counts, [most, rest])
    assert scipy.stats.chisquare(found, shares * len(steps)).pvalue > 0.01


def test_magnitudes_of_trivial_augment_cover_the_wide_space():
    drawn = trivial_augment_wide().draw({}, SEEDS)
    operation, magnitude = (drawn[name].numpy().ravel() for name in ("operation", "magnitude"))
    largest = [np.abs(magnitude[operation == index]).max() for index in range(14)]
    np.testing.assert_allclose(
        largest, [0, 0.99, 0.99, 32, 32, 135, 0.99, 0.99, 0.99, 0.99, 8, 255, 0, 0], rtol=1e-5
    )
    bits = magnitude[operation == 10]
    assert set(bits) == {2, 3, 4, 5, 6, 7, 8}
    shears = np.abs(magnitude[operation == 1])
    assert len(np.unique(shears)) == 31


def test_auto_augment_takes_pairs_with_their_probabilities():
    drawn = auto_augment().draw({}, SEEDS)
    operation = drawn["operation"].numpy()
    # (invert 0.6, equalize 1.0) stands twice among the 25: so often both are done.
    both = ((operation[:, 0] == 14) & (operation[:, 1] == 13)).sum()
    assert scipy.stats.binomtest(int(both), COUNT, 2 / 25 * 0.6).pvalue > 0.01
    # (shear_x 0.6 at step 5, equalize 1.0) stands once.
    sheared = operation[:, 0] == 1
    assert scipy.stats.binomtest(int(sheared.sum()), COUNT, 0.6 / 25).pvalue > 0.01
    magnitude = drawn["magnitude"].numpy()[sheared, 0]
    np.testing.assert_allclose(np.abs(magnitude), 0.3 * 5 / 9, rtol=1e-5)


@pytest.mark.slow(reason="every operation of a policy is traced")
@pytest.mark.parametrize(
    ("policy", "sides"),
    [
        (rand_augment(2, 9), {"translate_x": 170, "translate_y": 150}),
        (trivial_augment_wide(), {}),
        (auto_augment(), {"translate_x": 170, "translate_y": 150}),
    ],
)
def test_a_policy_does_what_it_says(photographs, policy, sides):
    """`sides`: what a move's magnitude is a share of, where it is not in pixels."""
    functions = {function.__name__: function for function in PILLOW}
    run = tf.function(lambda seed: policy({"image": tf.constant(photographs[0])}, seed)["image"])
    changed = 0
    for seed in SEEDS[:12]:
        drawn = {name: value.numpy() for name, value in policy.draw({}, seed).items()}
        names = [step.split()[0] for step in policy.describe(drawn).split(", ")]
        reference = Image.fromarray(photographs[0])
        for name, magnitude in zip(names, drawn["magnitude"], strict=True):
            size = float(magnitude) * sides.get(name, 1)
            reference = PILLOW[functions[name]](reference, size)
        ours = run(seed).numpy()
        difference = np.abs(ours.astype(int) - np.asarray(reference))
        assert (difference > 8).mean() < 0.02
        changed += not np.array_equal(ours, photographs[0])
    assert changed > 3


def test_policies_refuse_what_they_do_not_know():
    with pytest.raises(ValueError, match="magnitude"):
        rand_augment(2, 31)
    with pytest.raises(ValueError, match="imagenet"):
        auto_augment("cifar10")
