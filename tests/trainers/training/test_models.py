"""Nets for several image sizes, over the same variables."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import nets
from base.errors import UserError
from trainers import config
from trainers.run_folder.metrics import read_metrics
from trainers.training import models, session


@pytest.mark.slow(reason="it builds each net at two sizes")
@pytest.mark.parametrize(("first", "second"), [(48, 32), (32, 57)])
def test_a_net_at_another_size_is_the_same_net(first, second):
    keras.utils.set_random_seed(0)
    builds = [nets.build("resnet10", 5, image_size=size, width=4) for size in (first, second)]
    alone = nets.build("resnet10", 5, image_size=second, width=4)
    alone.set_weights(builds[0].get_weights())
    net = models.TrainedNet("resnet10", nets, builds)
    images = np.random.default_rng(0).normal(size=(4, second, second, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(net(images) ** 2)
    with tf.GradientTape() as alone_tape:
        expected = tf.reduce_sum(alone(images, training=True) ** 2)
    assert float(loss) == float(expected)
    for found, wanted in zip(
        tape.gradient(loss, net.model.trainable_variables),
        alone_tape.gradient(expected, alone.trainable_variables),
        strict=True,
    ):
        np.testing.assert_array_equal(found, wanted)
    for found, wanted in zip(net.model.weights, alone.weights, strict=True):
        np.testing.assert_array_equal(found, wanted, err_msg="the moving statistics went along")
    np.testing.assert_array_equal(net.build_for(images)(images), alone(images))


def test_a_net_whose_weights_depend_on_the_size_is_refused():
    builds = [nets.build("alexnet_small", 5, image_size=size) for size in (56, 96)]
    with pytest.raises(UserError, match="--train_sizes: images of 56x56 and 96x96, but fc6"):
        models.TrainedNet("alexnet_small", nets, builds)


@pytest.mark.slow(reason="it trains several times")
def test_training_grows_its_images_and_resumes_among_them(generated_data, tmp_path):
    flags = [
        "--net=resnet10(width=4)",
        "--train_map=decode_random_crop({size})",
        "--train_sizes=0:32,1:48",
        "--eval_map=decode_center_crop(64)",
        "--train_batch_size=100",
        "--train_epochs=2",
        "--log_steps=2",
        f"--data_dir={generated_data}",
    ]
    whole, _ = session.train(config.parse([*flags, f"--runs_dir={tmp_path / 'whole'}"]))
    lines = read_metrics(whole.directory)
    assert [line.step for line in lines if line.split == "train"] == list(range(2, 21, 2))
    # Taken up again after the first epoch: its checkpoint is the last one that is left.
    for path in whole.checkpoints.iterdir():
        if path.name != "step-00000010.npz":
            path.unlink()
    (whole.directory / "result.json").unlink()
    again, _ = session.train(config.parse([*flags, f"--runs_dir={tmp_path / 'whole'}"]))
    assert again == whole
    losses = [(line.step, line.split, line.loss) for line in lines]
    found = [(line.step, line.split, line.loss) for line in read_metrics(again.directory)]
    assert found == losses


@pytest.mark.parametrize("net", ["resnet10(width=4)", "googlenet"])
def test_under_bfloat16_a_training_has_float32_logits(net):
    """What it says of its top-1 would else be of logits of 8 bits, most of which have ties."""
    policy = keras.mixed_precision.global_policy()
    pipeline = types.SimpleNamespace(
        chains=lambda phase, epoch: types.SimpleNamespace(image_size=(107, 107)),
        dataset=types.SimpleNamespace(num_classes=50),
    )
    read = config.parse([f"--net={net}", "--precision=mixed_bfloat16"])
    try:
        keras.mixed_precision.set_global_policy(read.precision)
        trained = models.build_to_train(read, pipeline, nets)
        outputs = trained(tf.random.stateless_normal([4, 107, 107, 3], [1, 2]))
    finally:
        keras.mixed_precision.set_global_policy(policy)
    logits = outputs["logits"] if isinstance(outputs, dict) else outputs
    rounded = tf.cast(tf.cast(logits, tf.bfloat16), tf.float32)
    assert np.mean(logits != rounded) > 0.9
    assert trained.model.layers[1].compute_dtype == "bfloat16", "all else is as fast as it was"


def test_layers_are_blocks_by_the_numbers_in_their_names():
    def of(net, size):
        blocks = models.blocks_of(nets.build(net, 5, size))
        return {block[0].name: [layer.name for layer in block[1:]] for block in blocks}

    resnet, vgg, densenet = of("resnet18", 32), of("vgg11", 32), of("densenet121", 32)
    assert len(resnet) == 9 and "res5b_branch2b_bn" in resnet["res5b_branch2a"]
    assert list(vgg)[:3] == ["conv1_1", "conv2_1", "conv3_1"] and len(vgg) == 10
    assert len(densenet) == 1 + 58 + 3
    assert densenet["dense4_16_bn1"][-1] == "bn", "without a number it belongs to the last block"
    assert "aux1_fc" not in of("googlenet", 80), "auxiliary heads are heads"


def test_a_net_of_two_tokens_has_two_heads_both_in_float32():
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = nets.build("deit_tiny_distilled", 5, 32)
        heads = models.head(model)
        assert {layer.name for layer in heads} == {"head", "head_distillation"}
        models.logits_only(model)
        assert {layer.compute_dtype for layer in heads} == {"float32"}
        assert model.get_layer("block12_mlp2").compute_dtype == "bfloat16"
    finally:
        keras.mixed_precision.set_global_policy(policy)


def test_the_rate_of_a_layer_decays_from_the_last_one_to_the_input():
    model = nets.build("resnet10", 5, 32, width=4)
    flags = ("--layer_decay=0.5", "--head_rate_factor=3", "--freeze=res5a|fc$")
    read = config.parse(["--net=resnet10", *flags])
    models.freeze(model, read)
    factors = models.rate_factors(model, read)
    assert factors.keys() == {variable.path for variable in model.weights}
    assert factors["fc/kernel"] == 3
    assert factors["res5a_branch2a/kernel"] == 0.5, "what is frozen counts"
    assert factors["res4a_branch2a_bn/gamma"] == factors["res4a_branch1/kernel"] == 0.25
    assert factors["conv1/kernel"] == 0.5**5
    assert set(models.rate_factors(model, config.parse(["--net=resnet10"])).values()) == {1.0}
