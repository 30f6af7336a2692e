"""Every net learns: a few steps on one batch lower its loss.

One net of each kind is trained here, those since NiN in both precisions; NETS_TRAINED=all trains
all of them so. Steps are taken eagerly: tracing a step takes as long as ten of them.
"""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

import nets

pytestmark = pytest.mark.slow(reason="it trains every kind of net")

ONE_OF_A_KIND = (
    "alexnet_small",
    "zfnet",
    "vgg11",
    "vgg_small",
    "bn_inception",
    "inception_v3",
    "inception_v4",
    "inception_resnet_v2",
    "resnet50_v2",
    "se_resnet50",
    "densenet121",
    "squeezenet1_0",
    "mobilenet_v1",
)
# The deep Inception nets have no kind of layer that these lack, and would take a quarter of the
# time: NETS_TRAINED=all trains them in both, too.
IN_BOTH_PRECISIONS = (
    "alexnet",
    "googlenet",
    "resnet10",
    "nin",
    "xception",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "regnet_y_800mf",
    "shufflenet_v2",
    "vit_64px",
    "deit_tiny_distilled",
    "swin_tiny",
    "convnext_64px",
)
if os.environ.get("NETS_TRAINED") == "all":
    TRAINED = {"float32": nets.names(), "mixed_bfloat16": nets.names()}
else:
    TRAINED = {
        "float32": (*ONE_OF_A_KIND, *IN_BOTH_PRECISIONS),
        "mixed_bfloat16": IN_BOTH_PRECISIONS,
    }
# Small images, for speed: about the smallest that each family takes.
SIZES = {
    "alexnet": 67,
    "zfnet": 67,
    "vgg": 32,
    "googlenet": 80,
    "inception": 75,
    "inception_v4": 75,
    "inception_resnet": 75,
    "squeezenet": 48,
    "overfeat": 119,
    "xception": 71,
    **dict.fromkeys(("mobilenet_v2", "mobilenet_v3", "efficientnet", "regnet", "shufflenet"), 32),
    **dict.fromkeys(("vit", "deit", "swin", "convnext"), 32),
}
STEPS, IMAGES, RATE = 30, 4, 0.001
# What normalises nothing learns first which of many classes there are.
UNNORMALISED = ("alexnet", "zfnet", "vgg", "squeezenet", "nin", "overfeat", "googlenet")


def is_normalised(net):
    return net.batch_norm is not None or net.family not in UNNORMALISED


@pytest.fixture(autouse=True)
def _clean_keras():
    keras.utils.set_random_seed(1)
    yield
    keras.mixed_precision.set_global_policy("float32")
    keras.backend.clear_session()


def batch(size, classes):
    rng = np.random.default_rng(1)
    images = rng.normal(size=(IMAGES, size, size, 3)).astype("float32")
    return tf.constant(images), tf.constant(rng.choice(classes, IMAGES, replace=False))


def losses_of(model, images, labels):
    """The mean cross-entropy of every head."""
    outputs = model(images, training=True)
    outputs = outputs if isinstance(outputs, dict) else {"logits": outputs}
    return {
        head: tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        for head, logits in outputs.items()
    }


def build_small(name):
    net = nets.entry(name)
    size = SIZES.get(net.family, 64)
    # Inception's head needs 17 positions a side, which only full-size images have.
    options = {"auxiliary": False} if net.body.__name__.startswith("inception_") else {}
    classes = 10 if is_normalised(net) else 1000
    return nets.build(name, classes, size, **options), batch(size, classes)


def learns(name):
    net = nets.entry(name)
    model, (images, labels) = build_small(name)
    weights = {"logits": 1.0, **net.auxiliary_weights}
    variables = [variable.value for variable in model.trainable_variables]
    adam = keras.optimizers.Adam(RATE)

    def step():
        with tf.GradientTape() as tape:
            losses = losses_of(model, images, labels)
            loss = tf.add_n([weights[head] * loss for head, loss in losses.items()])
        gradients = tape.gradient(loss, variables)
        if not is_normalised(net):
            adam.apply(gradients, model.trainable_variables)
            return loss
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.assign_sub(RATE * tf.sign(gradient))  # Adam's first step, and much quicker
        return loss

    before = [variable.numpy() for variable in model.trainable_variables]
    history = [float(step()) for _ in range(3)]
    while len(history) < STEPS and np.mean(history[-3:]) > 0.7 * history[0]:
        history.append(float(step()))
    still = [
        variable.path
        for variable, old in zip(model.trainable_variables, before, strict=True)
        if (variable.numpy() == old).all()
    ]
    return history, still


@pytest.mark.parametrize(
    ("name", "precision"),
    [(name, precision) for precision, names in TRAINED.items() for name in names],
)
def test_thirty_steps_lower_the_loss_by_30_percent(name, precision):
    keras.mixed_precision.set_global_policy(precision)
    history, still = learns(name)
    assert np.isfinite(history).all()
    assert np.mean(history[-3:]) <= 0.7 * history[0], history
    assert not still, "variables that no step has moved"


def test_googlenet_learns_through_each_head():
    model, (images, labels) = build_small("googlenet")
    with tf.GradientTape(persistent=True) as tape:
        losses = losses_of(model, images, labels)
    for head, layer in (("aux1", "aux1_fc"), ("aux2", "aux2_fc"), ("logits", "inception_5b_1x1")):
        first, own = (model.get_layer(name).kernel for name in ("conv1", layer))
        gradients = tape.gradient(losses[head], [first, own])
        assert all(np.abs(gradient).max() > 0 for gradient in gradients)
        others = {"aux1_fc", "aux2_fc", "inception_5b_1x1"} - {layer}
        kernels = [model.get_layer(name).kernel for name in others]
        assert tape.gradient(losses[head], kernels) == [None, None]


def test_inception_v3_learns_through_its_head():
    model = nets.build("inception_v3", 10, 299)
    images = tf.random.stateless_normal((2, 299, 299, 3), (1, 2))
    with tf.GradientTape() as tape:
        loss = losses_of(model, images, tf.constant([3, 7]))["aux1"]
    kernels = [model.get_layer(name).kernel for name in ("conv1a", "aux1_conv2", "mixed_7a_3x3")]
    first, own, beyond = tape.gradient(loss, kernels)
    assert np.abs(first).max() > 0 and np.abs(own).max() > 0 and beyond is None
