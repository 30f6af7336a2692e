"""Chains: every map function in one, legal orders, and the same pixels by every route."""

import numpy as np
import pytest
import tensorflow as tf

from base.errors import UserError
from data_prep.schema import Statistics
from pipelines import chain
from pipelines.functions import draws
from pipelines.functions.decoders import JpegDecoder
from pipelines.functions.map_function import MAP_FUNCTIONS
from tests.making.datasets import jpeg, smooth_image

STATISTICS = Statistics(
    np.array([120.0, 115.0, 104.0]),
    np.array([70.0, 68.0, 72.0]),
    np.array([14000.0, 1200.0, 300.0]),
    np.eye(3),
    np.full([40, 40, 3], 100.0),
)
GIVEN = {"decoder": JpegDecoder(), "statistics": STATISTICS, "num_classes": 3}

# Every map function, in a chain that shows it.
HOST_CHAINS = {
    "decode": "decode|center_crop(24)",
    "decode_random_crop": "decode_random_crop(24, 32)",
    "decode_center_crop": "decode_center_crop(24)",
    "decode_random_resized_crop": "decode_random_resized_crop(24, area=(0.2, 1.0))",
    "random_crop": "decode|random_crop(24)",
    "center_crop": "decode|center_crop(24)",
    "resize_short_side": "decode|resize_short_side(30)|center_crop(24)",
    "random_short_side": "decode|random_short_side(26, 50)|random_crop(24)",
    "random_flip": "decode_center_crop(24)|random_flip",
    "pad": "decode_center_crop(24)|pad(4)|random_crop(24)",
    "rotate": "decode_center_crop(24)|rotate(10)",
    "random_erasing": "decode_center_crop(24)|random_erasing(1.0)",
    "pca_lighting": "decode_center_crop(24)|pca_lighting(0.1)",
    "color_jitter": "decode_center_crop(24)|color_jitter(0.4, 0.4, 0.4)",
    "grayscale": "decode_center_crop(24)|grayscale(0.5)",
    "rand_augment": "decode_center_crop(24)|rand_augment(2, 9)",
    "trivial_augment_wide": "decode_center_crop(24)|trivial_augment_wide",
    "auto_augment": "decode_center_crop(24)|auto_augment('imagenet')",
}
DEVICE_CHAINS = {
    "random_flip": "random_flip",
    "pca_lighting": "subtract_mean|pca_lighting(0.1)",
    "subtract_mean": "subtract_mean('image')",
    "mean_std": "mean_std",
    "cast": "cast(255)",
    "to_bgr": "to_bgr|subtract_mean",
    "mixup": "mixup(0.2)|mean_std",
    "cutmix": "mean_std|cutmix(1.0)",
    "mixup_or_cutmix": "mixup_or_cutmix",
}


# Those of evaluation protocols, which give several views of an image: test_pipelines_views.py.
VIEWS = {"ten_crop", "crops_144"}


def test_every_map_function_is_tested_here():
    assert set(HOST_CHAINS) | set(DEVICE_CHAINS) | VIEWS == set(MAP_FUNCTIONS.names())


@pytest.fixture(scope="module")
def examples():
    """Eight examples before decoding, as one batch, and their seeds."""
    generator = np.random.default_rng(0)
    sizes = [(40, 40 + 3 * number) for number in range(8)]
    batch = {
        "image": tf.constant([jpeg(smooth_image(generator, *size)) for size in sizes]),
        "height": tf.constant([height for height, _ in sizes]),
        "width": tf.constant([width for _, width in sizes]),
        "label": tf.constant([number % 3 for number in range(8)]),
    }
    index = tf.range(8, dtype=tf.int64)
    return batch, draws.example_seeds(0, tf.constant(0, tf.int64), index)


@pytest.mark.parametrize("text", HOST_CHAINS.values(), ids=HOST_CHAINS.keys())
def test_host_chain_eagerly_mapped_and_drawn_together(examples, text):
    batch, seeds = examples
    host = chain.host_chain(text, "train_map", **GIVEN)

    def one(single, seed):
        return host.apply(single, host.draw(single, seed))["image"]

    eager = [one({n: v[i] for n, v in batch.items()}, seeds[i]).numpy() for i in range(4)]
    mapped = list(tf.data.Dataset.from_tensor_slices((batch, seeds)).map(one).take(4))
    drawn = host.draw(batch, seeds)
    together = [
        host.apply(*tf.nest.map_structure(lambda part, i=i: part[i], (batch, drawn)))["image"]
        for i in range(4)
    ]
    for ours in (mapped, together):
        np.testing.assert_array_equal(np.stack(ours), np.stack(eager))
    assert eager[0].dtype == np.uint8
    assert eager[0].shape == (24, 24, 3) == chain.output_shape(host, "train_map")
    assert set(batch) == {"image", "height", "width", "label"}  # nothing was changed in place


@pytest.mark.parametrize("text", DEVICE_CHAINS.values(), ids=DEVICE_CHAINS.keys())
def test_device_chain_eagerly_in_a_graph_and_compiled(examples, text):
    _, seeds = examples
    generator = np.random.default_rng(0)
    batch = {
        "image": tf.constant(generator.integers(0, 256, (8, 24, 24, 3), np.uint8)),
        "label": tf.constant([0, 1, 2, 0, 1, 2, 0, 1]),
    }
    device = chain.device_chain(text, "train_device_map", **GIVEN)
    drawn = device.draw(batch, seeds)
    run = lambda batch, drawn: device.apply(batch, drawn)  # noqa: E731
    eager = run(batch, drawn)
    graph = tf.function(run)(batch, drawn)
    compiled = tf.function(run, jit_compile=True)(batch, drawn)
    for name in ("image", "label"):
        for other in (graph, compiled):  # which may reorder sums
            np.testing.assert_allclose(other[name], eager[name], rtol=1e-5, atol=1e-3)
        # Nothing depends on how the batch is split into even parts.
        for start in (0, 4):
            part = tf.nest.map_structure(lambda v, s=start: v[s : s + 4], (batch, drawn))
            np.testing.assert_array_equal(run(*part)[name], eager[name][start : start + 4])


def test_functions_at_different_places_draw_differently(examples):
    batch, seeds = examples
    host = chain.host_chain("decode_center_crop(24)|random_flip|random_flip", "train_map", **GIVEN)
    many = tf.tile(seeds, [40, 1]) + tf.range(320)[:, None]
    _, first, second = host.draw({n: tf.tile(v, [40]) for n, v in batch.items()}, many)
    assert 0.3 < np.mean(first["flip"].numpy() == second["flip"].numpy()) < 0.7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least decode"),
        ("random_flip", "random_flip, at place 1 .* needs pixels"),
        ("decode|decode_center_crop(24)", "at place 2 .* decodes what decode has decoded"),
        ("decode_center_crop(24)|mixup(0.2)", "mixup.0.2., at place 2 .*--train_device_map"),
        ("decode_center_crop(24)|subtract_mean", "at place 2 .*--train_device_map"),
        ("decode_center_crop(24)|flip", "no map function 'flip'.*random_flip"),
        ("decode_center_crop", "missing a required argument"),
        ("decode_center_crop(24", "--train_map: .*cannot be read"),
        ("decode_center_crop('24')", "whole number of pixels"),
    ],
)
def test_host_chains_that_make_no_sense(text, message):
    with pytest.raises(UserError, match=message) as error:
        chain.host_chain(text, "train_map", **GIVEN)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("decode_center_crop(24)|subtract_mean", "single images: move it to --eval_map"),
        ("random_short_side(256, 480)", "at place 1 .*move it to --eval_map"),
        ("subtract_mean|mean_std", "mean_std, at place 2 .*normalizes what subtract_mean"),
    ],
)
def test_device_chains_that_make_no_sense(text, message):
    with pytest.raises(UserError, match=message):
        chain.device_chain(text, "eval_device_map", **GIVEN)


def test_images_of_several_sizes_are_refused_before_training():
    host = chain.host_chain("decode|random_short_side(26, 50)", "train_map", **GIVEN)
    with pytest.raises(UserError, match=r"after random_short_side\(26, 50\) images .*crop"):
        chain.output_shape(host, "train_map")
