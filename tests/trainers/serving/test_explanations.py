"""Explanations show the parts that matter, at the layers that the papers take."""

import keras
import numpy as np
import pytest

import nets
from base.errors import UserError
from tests.making.datasets import smooth_image, write_dataset
from tests.making.trained_runs import classifier, random_run
from trainers.serving import net_layers
from trainers.serving.explanations import cover, explainer
from trainers.training import models

SIZE = 40
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run that ends in a global average and one linear layer."""
    data_dir = write_dataset(tmp_path_factory.mktemp("data") / "set", train=4, validation=2)
    return classifier(
        random_run(tmp_path_factory.mktemp("runs"), data_dir, "resnet10(width=4)", SIZE)
    )


@pytest.fixture(scope="module")
def crop():
    return smooth_image(RNG, SIZE, SIZE)


@pytest.mark.parametrize(
    ("net", "layer", "linear"),
    [
        ("alexnet_small", "conv5", None),
        ("vgg_small", "conv4_3_relu", None),
        ("squeezenet1_1", "conv10", ""),
        ("googlenet", "inception_5b", "classifier"),
    ],
)
@pytest.mark.slow(reason="it builds nets of every kind of ending")
def test_the_layer_before_the_classifier_is_found_in_every_kind_of_net(net, layer, linear):
    model = models.logits_only(nets.build(net, 10))
    found = net_layers.last_feature_maps(model)
    assert found.layer.name == layer
    assert found.grid == found.layer.output.shape[1:3]
    if linear is None:
        with pytest.raises(UserError, match=r"cam: .* does not end in a global average and one"):
            net_layers.class_maps(model)
    else:
        ending = net_layers.class_maps(model)
        assert ending.maps == found
        assert (ending.linear.name if ending.linear else "") == linear
    assert net_layers.penultimate(model).output.shape[1:] == (
        models.head(model)[0].kernel.shape[-2],
    )


def test_gradcam_is_cam_where_there_is_one(made, crop):
    # Selvaraju et al. 2017, section 3.1.
    for label in (0, 3):
        heat = explainer(made, "cam").heat(crop, label)
        np.testing.assert_allclose(explainer(made, "gradcam").heat(crop, label), heat, atol=1e-4)
        assert heat.shape == (SIZE, SIZE) and heat.min() >= 0
        assert heat.max() in (0, 1)


def test_gradcam_takes_the_layer_that_is_named(made, crop):
    chosen = explainer(made, "gradcam", "conv1")
    assert chosen.title == "Grad-CAM, conv1"
    assert chosen.heat(crop, 0).max() == 1
    with pytest.raises(UserError, match=r"--explain_layer=conv99: .*`python -m nets resnet10`"):
        explainer(made, "gradcam", "conv99")


def test_of_a_transformer_the_patches_are_taken_before_the_last_attention():
    layers = keras.layers
    image = keras.Input((8, 8, 3))
    x = layers.Reshape((16, 5))(layers.Conv2D(5, 2, 2, name="patches")(image))
    x = layers.Concatenate(axis=1)([x[:, :1], x])  # a class token
    for number in (1, 2):
        x = layers.Add(name=f"block{number}")([x, layers.MultiHeadAttention(1, 5)(x, x)])
    model = keras.Model(image, layers.Dense(3)(x[:, 0]))
    found = net_layers.last_feature_maps(model)
    assert (found.layer.name, found.grid) == ("block1", (4, 4))
    tokens = np.arange(17 * 5).reshape(1, 17, 5)
    np.testing.assert_array_equal(found.fold(tokens)[0, 0, 1], tokens[0, 2])


def test_the_class_that_is_explained_is_named_by_its_wnid(made):
    assert made.label("n00000003", "--explain_class") == 3
    with pytest.raises(UserError, match="--explain_class=cat is none of the run's 5 classes, such"):
        made.label("cat", "--explain_class")


def test_a_net_without_feature_maps_is_named():
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(image)), name="line")
    for look in (net_layers.last_feature_maps, net_layers.first_kernels):
        with pytest.raises(UserError, match="line has no"):
            look(model)


def test_changing_the_pixels_of_the_largest_gradient_changes_the_logit_most(made, crop):
    logits = made.logits(crop[np.newaxis])[0]
    label = int(logits.argmax())
    order = np.argsort(explainer(made, "gradient").heat(crop, label), axis=None)
    changes = []
    for places in (order[:100], order[-100:]):
        changed = crop.reshape(-1, 3).copy()
        changed[places] = changed[places] // 2 + 64
        found = made.logits(changed.reshape(1, SIZE, SIZE, 3))[0]
        changes.append(abs(found - logits)[label])
    assert changes[1] > changes[0]


class CornerNet:
    """Stands in for a classifier: class 0 is how bright the last 10 by 10 pixels are."""

    def logits(self, crops):
        corner = crops[:, -10:, -10:].mean(axis=(1, 2, 3))
        return np.stack([corner / 20, np.zeros(len(crops))], axis=1).astype(np.float32)


def test_occlusion_finds_what_the_net_looks_at():
    white = np.full((50, 60, 3), 255, np.uint8)
    covered = cover(CornerNet(), white)
    assert (covered.side, covered.tops[-1], covered.lefts[-1]) == (10, 40, 50)
    assert covered.probabilities[-1, -1, 0] == covered.probabilities[..., 0].min()
    heat = explainer(type("Net", (CornerNet,), {"model": None})(), "occlusion").heat(white, 0)
    assert heat[-1, -1] == 1 and not heat[:30].any() and not heat[:, :40].any()
