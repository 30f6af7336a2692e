"""What a GPU computes by other operations is the same, on whatever computes here."""

import numpy as np
import pytest
import tensorflow as tf

import nets
from base.errors import UserError
from trainers.training.devices import gpus
from trainers.training.devices.replicas import open_devices


def normalized(fused, images: np.ndarray) -> list[np.ndarray]:
    """Output, gradients and moving statistics of a normalisation, composed or fused."""
    model = nets.build("resnet10", 3, 32, width=8)
    layer = model.get_layer("conv1_bn")
    random = np.random.default_rng(1)
    for variable in layer.trainable_variables:
        variable.assign(random.uniform(0.5, 1.5, variable.shape))
    x, upstream = tf.constant(images), tf.constant(random.normal(size=images.shape), tf.float32)
    with nets.fused_batch_norm(fused), tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    gradients = tape.gradient(y, [x, *layer.trainable_variables], upstream)
    return [y.numpy(), *(g.numpy() for g in gradients), *layer.get_weights()]


@pytest.mark.parametrize("shape", [(8, 7, 5, 8), (2, 3, 3, 8), (4, 16, 16, 8)])
@pytest.mark.parametrize("compiled", [False, True])
def test_the_fused_batch_norm_is_the_composed_one(shape, compiled):
    images = np.random.default_rng(0).normal(2, 3, size=shape).astype(np.float32)
    fused = gpus.fused_batch_norm
    if compiled:
        fused = tf.function(fused, jit_compile=True, autograph=False)
    for composed, other in zip(normalized(None, images), normalized(fused, images), strict=True):
        np.testing.assert_allclose(other, composed, rtol=2e-4, atol=2e-5)


@pytest.fixture
def gpu(monkeypatch):
    """Pretends that there is a GPU of the compute capability that it is called with."""

    def pretend(capability: tuple[int, int]) -> None:
        details = {"device_name": "NVIDIA Test", "compute_capability": capability}
        device = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [device])
        monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda _: details)

    return pretend


@pytest.mark.parametrize("capability", [(10, 0), (12, 0), (3, 5), (5, 2)])
def test_a_gpu_without_kernels_is_refused_by_name(gpu, capability):
    gpu(capability)
    with pytest.raises(UserError, match=r"NVIDIA Test has compute capability \d+\.\d, .*container"):
        gpus.use(None)
    assert not gpus.served_by_xla(tf.config.list_physical_devices("GPU")[0])


@pytest.mark.parametrize("capability", [(6, 0), (7, 5), (8, 0), (8, 6), (8, 9), (9, 0)])
def test_a_gpu_with_kernels_is_served(gpu, capability):
    gpu(capability)
    assert gpus.served_by_xla(tf.config.list_physical_devices("GPU")[0])


def test_gpus_that_tensorflow_does_not_see_are_named(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setattr(gpus, "NVIDIA_DEVICES", str(tmp_path / "nvidia[0-9]*"))
    assert gpus.unseen() == ""
    for name in ("nvidia0", "nvidia1", "nvidiactl"):
        (tmp_path / name).touch()
    assert "2 NVIDIA GPU(s), but TensorFlow sees none" in gpus.unseen()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert gpus.unseen() == "", "they are hidden on purpose"


def test_xla_cannot_compile_synchronized_normalisation_on_several_replicas():
    synchronized = nets.build("resnet10", 3, 32, width=8, synchronized_batch_norm=True)
    plain = nets.build("resnet10", 3, 32, width=8)
    with pytest.raises(UserError, match="--jit_compile=true, but resnet10 averages"):
        open_devices("cpu:2").compiles("true", synchronized)
    assert open_devices("cpu:1").compiles("true", synchronized)
    assert open_devices("cpu:2").compiles("true", plain)
    for net in (synchronized, plain):
        assert not open_devices("cpu:2").compiles("auto", net), "the CPU is quicker without"
