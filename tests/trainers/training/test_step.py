"""The step computes the same function of the global batch however the batch is shared out."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import nets
from pipelines.config import PipelineConfig
from trainers.config import TrainConfig
from trainers.training import losses
from trainers.training.devices.pace import stamped
from trainers.training.devices.replicas import open_devices
from trainers.training.models import TrainedNet
from trainers.training.step import GRADIENT_NORM, LOSS, TrainStep

BATCH, CLASSES = 8, 10
CONFIG = TrainConfig(
    pipeline=PipelineConfig(train_batch_size=BATCH), optimizer="sgd(0.9)", weight_decay=5e-4
)


@dataclasses.dataclass
class Stepper:
    """One model and its step on a fixed stream of batches."""

    model: keras.Model
    step: TrainStep
    iterator: object
    strategy: tf.distribute.Strategy

    def take(self, steps: int, rate: float = 0.01) -> np.ndarray:
        return self.step.take_steps(self.iterator, [rate] * steps)


def stream(size: int, images: int = 64) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(3)
    return {
        "image": generator.normal(size=(images, size, size, 3)).astype(np.float32),
        "label": generator.integers(0, CLASSES, images).astype(np.int32),
        "seed": generator.integers(-(2**31), 2**31, (images, 2)).astype(np.int32),
    }


def make(
    net: str,
    size: int,
    replicas: int = 1,
    data: dict[str, np.ndarray] | None = None,
    options: dict | None = None,
    compiled: bool = False,
    **flags,
) -> Stepper:
    config = dataclasses.replace(CONFIG, **flags)
    strategy = open_devices(f"cpu:{replicas}").strategy
    keras.utils.set_random_seed(5)
    keras.mixed_precision.set_global_policy(config.precision)
    with strategy.scope():
        model = nets.build(net, CLASSES, image_size=size, **(options or {}))
        net_to_train = TrainedNet(net, nets, [model])
        step = TrainStep(config, net_to_train, lambda batch: batch, strategy, compiled=compiled)
    part = BATCH // replicas // config.accumulation_steps
    content = data or stream(size)

    def dataset(context):
        return stamped(tf.data.Dataset.from_tensor_slices(content).batch(part).repeat())

    keras.mixed_precision.set_global_policy("float32")
    iterator = iter(strategy.distribute_datasets_from_function(dataset))
    return Stepper(model, step, iterator, strategy)


@pytest.mark.slow(reason="it compiles steps for several replicas")
@pytest.mark.parametrize(
    ("net", "size", "options", "steps", "rate"),
    [
        ("alexnet", 64, {}, 3, 2e-4),
        # At ten times these rates a difference in the last bit grows to more than 1e-5 in 20 steps;
        # at these it stays below 7e-7, beside losses that training has changed by 0.5 and by 0.006.
        ("alexnet_small", 56, {}, 20, 2e-5),
        ("resnet10", 48, {"width": 16, "synchronized_batch_norm": True}, 20, 2e-6),
    ],
)
def test_losses_do_not_depend_on_the_number_of_replicas(net, size, options, steps, rate):
    rows = [make(net, size, replicas, options=options).take(steps, rate) for replicas in (1, 2, 4)]
    assert rows[0][:, 3].tolist() == [BATCH] * steps
    assert len(set(rows[0][:, 0])) == steps, "the losses differ from step to step"
    for other in rows[1:]:
        np.testing.assert_allclose(rows[0][:, 0], other[:, 0], rtol=1e-5)


@pytest.mark.slow(reason="it compiles steps for several replicas")
def test_without_synchronized_statistics_replicas_equal_an_average_of_parts():
    two = make("resnet10", 32, 2, options={"width": 8}, optimizer="sgd(0.0)", weight_decay=0.0)
    keras.utils.set_random_seed(5)
    model = nets.build("resnet10", CLASSES, image_size=32, width=8)
    data = stream(32)
    rate = 0.1
    for index, row in enumerate(two.take(4, rate)):
        batch = slice(index * BATCH, (index + 1) * BATCH)
        gradients, total = [], 0.0
        statistics = [v.numpy() for v in model.non_trainable_weights]
        for half in (slice(0, BATCH // 2), slice(BATCH // 2, BATCH)):
            images = tf.constant(data["image"][batch][half])
            labels = tf.constant(data["label"][batch][half])
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(losses.cross_entropy(model(images, training=True), labels))
            total += float(loss) * BATCH / 2
            gradients.append([g.numpy() for g in tape.gradient(loss, model.trainable_variables)])
            for variable, value in zip(model.non_trainable_weights, statistics, strict=True):
                variable.assign(value)
        for variable, first, second in zip(model.trainable_variables, *gradients, strict=True):
            variable.assign(variable.numpy() - rate * (first + second) / 2)
        np.testing.assert_allclose(row[0], total, rtol=1e-4)


@pytest.mark.slow(reason="it compiles steps for several replicas")
def test_replicas_average_their_moving_statistics():
    two = make("resnet10", 32, 2, options={"width": 8})
    two.take(2)
    variable = two.model.get_layer("conv1_bn").moving_mean.value
    before = [v.numpy() for v in two.strategy.experimental_local_results(variable)]
    assert np.abs(before[0] - before[1]).max() > 1e-6
    two.step.average_over_replicas()
    for value in two.strategy.experimental_local_results(variable):
        np.testing.assert_allclose(value.numpy(), (before[0] + before[1]) / 2, rtol=1e-5, atol=1e-8)


@pytest.mark.slow(reason="it compiles steps for several replicas")
def test_four_parts_equal_a_batch_four_times_as_large():
    whole = make("alexnet_small", 56)
    parts = make("alexnet_small", 56, accumulation_steps=4)
    start = [variable.numpy() for variable in whole.model.weights]
    first = whole.take(2), parts.take(2)
    # Changes are compared by their norm: in some step of some machine, rounding makes another
    # pixel the largest of its pool, whose gradient is then elsewhere (1e-4 of the change). Without
    # it the norms agree within 3e-6.
    for before, a, b in zip(start, whole.model.weights, parts.model.weights, strict=True):
        difference = np.linalg.norm(a.numpy() - b.numpy())
        assert difference < 1e-3 * np.linalg.norm(a.numpy() - before), a.path
    for a, b in (first, (whole.take(3), parts.take(3))):
        np.testing.assert_allclose(a[:, LOSS], b[:, LOSS], rtol=1e-5)


@pytest.mark.slow(reason="it compiles steps for several replicas")
@pytest.mark.parametrize("replicas", [1, 2])
def test_clipping_sees_the_whole_batch_s_gradient(replicas):
    norm = make("alexnet_small", 56, replicas).take(1)[0, GRADIENT_NORM]
    limit = float(norm) / 3
    free = make("alexnet_small", 56, replicas, optimizer="sgd(0.0)")
    clipped = make("alexnet_small", 56, replicas, optimizer="sgd(0.0)", clip_norm=limit)
    start = [v.numpy() for v in free.model.trainable_variables]
    for stepper in (free, clipped):
        stepper.take(1, rate=1.0)
    for before, a, b in zip(
        start, free.model.trainable_variables, clipped.model.trainable_variables, strict=True
    ):
        np.testing.assert_allclose((a.numpy() - before) / 3, b.numpy() - before, atol=1e-6)


@pytest.mark.slow(reason="it compiles a step of its own")
def test_averaged_weights_are_what_is_evaluated():
    decay = 0.75
    stepper = make("alexnet_small", 56, ema_decay=decay)
    average = [v.numpy() for v in stepper.model.weights]
    for _ in range(3):
        stepper.take(1)
        average = [
            decay * a + (1 - decay) * v.numpy()
            for a, v in zip(average, stepper.model.weights, strict=True)
        ]
    other = nets.build("alexnet_small", CLASSES, image_size=56)
    stepper.step.copy_weights_to(other)
    for a, v in zip(average, other.weights, strict=True):
        np.testing.assert_allclose(v.numpy(), a, rtol=1e-5, atol=1e-7)


@pytest.mark.slow(reason="it compiles a step of its own")
def test_each_step_has_the_decay_that_it_is_given():
    stepper = make("alexnet_small", 56, ema_decay=0.75)
    first = [v.numpy() for v in stepper.model.weights]
    stepper.step.take_steps(stepper.iterator, [0.01] * 2, [0.25, 1.0])
    one = make("alexnet_small", 56, ema_decay=0.75)
    one.take(1)
    other = nets.build("alexnet_small", CLASSES, image_size=56)
    stepper.step.copy_weights_to(other)
    for a, b, v in zip(first, one.model.weights, other.weights, strict=True):
        np.testing.assert_allclose(v.numpy(), 0.25 * a + 0.75 * b.numpy(), rtol=1e-5, atol=1e-7)


@pytest.mark.slow(reason="it compiles steps for several replicas")
def test_l2_decays_the_net_s_kernels_and_nothing_else():
    data = stream(32)
    stepper = make("resnet10", 32, data=data, options={"width": 8}, weight_decay=0.0)
    decayed = make("resnet10", 32, data=data, options={"width": 8}, weight_decay=0.5)
    start = {v.path: v.numpy() for v in decayed.model.trainable_variables}
    for each in (stepper, decayed):
        each.take(1, rate=0.1)
    for plain, other in zip(
        stepper.model.trainable_variables, decayed.model.trainable_variables, strict=True
    ):
        wanted = -0.1 * 0.5 * start[plain.path] if plain.name == "kernel" else 0.0
        np.testing.assert_allclose(other.numpy() - plain.numpy(), wanted, rtol=1e-3, atol=1e-6)


@pytest.mark.slow(reason="it compiles steps for several replicas")
@pytest.mark.parametrize("replicas", [1, 2])
def test_float16_overflow_is_skipped_on_every_replica_and_lowers_the_scale(replicas):
    data = stream(56)
    data["image"][BATCH : 2 * BATCH] *= 1e6  # the second step overflows float16
    stepper = make("alexnet_small", 56, replicas, data=data, precision="mixed_float16")
    stepper.take(1)
    before = [v.numpy() for v in stepper.model.trainable_variables]
    scale = float(stepper.step.variables()["loss_scale/value"].numpy())
    row = stepper.take(1)[0]
    assert not np.isfinite(row[GRADIENT_NORM])
    assert float(stepper.step.variables()["loss_scale/value"].numpy()) == scale / 2
    for value, variable in zip(before, stepper.model.trainable_variables, strict=True):
        for copy in stepper.strategy.experimental_local_results(variable.value):
            np.testing.assert_array_equal(value, copy.numpy())
    assert np.isfinite(stepper.take(1)[0, GRADIENT_NORM])


@pytest.mark.slow(reason="it compiles a step of its own")
def test_a_step_that_is_not_finite_ends_the_call_and_changes_nothing():
    data = stream(56)
    data["image"][BATCH + 3, 5, 5, 0] = np.nan
    stepper = make("alexnet_small", 56, 2, data=data)
    first = make("alexnet_small", 56, 2, data=data)
    rows = stepper.take(5)
    first.take(1)
    assert np.isfinite(rows[0]).all()
    assert not np.isfinite(rows[1, GRADIENT_NORM])
    assert not rows[2:].any(), "no step was taken after it"
    for a, b in zip(stepper.model.weights, first.model.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.slow(reason="it compiles steps for several replicas")
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_xla_computes_the_same(precision):
    plain = make("alexnet_small", 56, precision=precision)
    compiled = make("alexnet_small", 56, precision=precision, compiled=True)
    tolerance = 1e-4 if precision == "float32" else 2e-2
    rows = [stepper.take(3, 2e-4)[:, 0] for stepper in (plain, compiled)]
    np.testing.assert_allclose(*rows, rtol=tolerance)


@pytest.mark.slow(reason="it compiles steps for several replicas")
def test_normalisation_and_biases_do_not_decay_where_the_flags_say_kernels():
    stepper = make(
        "resnet50_v1_5",  # whose reference code decays every variable
        32,
        decayed="kernels",
        optimizer="sgd(0.0)",
        clip_norm=1e-9,  # so that only the decay moves anything
        weight_decay=0.0,
        decoupled_weight_decay=0.5,
    )
    before = {v.path: v.numpy() for v in stepper.model.trainable_variables}
    stepper.take(1, 1.0)
    for variable in stepper.model.trainable_variables:
        kept = 0.5 if variable.name == "kernel" else 1.0
        np.testing.assert_allclose(variable.numpy(), kept * before[variable.path], atol=1e-6)


@pytest.mark.slow(reason="a net is traced")
def test_the_loss_is_the_one_that_the_flags_name():
    row = make("resnet10", 32, options={"width": 8}, loss="sigmoid()").take(1, 0.0)[0]
    keras.utils.set_random_seed(5)
    model = nets.build("resnet10", CLASSES, image_size=32, width=8)
    data = {name: tf.constant(values[:BATCH]) for name, values in stream(32).items()}
    logits = model(data["image"], training=True)
    expected = tf.reduce_sum(losses.sigmoid()(logits, data["label"]))
    np.testing.assert_allclose(row[LOSS], expected, rtol=1e-5)


@pytest.mark.slow(reason="it compiles steps for several replicas")
def test_gradients_may_travel_in_half_the_bytes():
    whole, halved = (
        make("alexnet_small", 56, 2, gradient_exchange=dtype) for dtype in ("float32", "bfloat16")
    )
    a, b = whole.take(3, 2e-4), halved.take(3, 2e-4)
    np.testing.assert_array_equal(a[0, :4], b[0, :4], "what is counted does not travel so")
    np.testing.assert_allclose(a[:, LOSS], b[:, LOSS], rtol=1e-3)
    assert a[2, LOSS] != b[2, LOSS]
