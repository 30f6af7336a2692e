"""Every net by its name: parameters, multiply-adds and feature maps against published counts."""

import keras
import numpy as np
import pytest

import nets
from nets import _counts

# Trainable parameters at 1000 classes, from sources other than our own counter: BVLC's and the
# authors' prototxt files, torchvision's weight metadata, keras.applications, or the papers' layer
# tables counted by hand. Millions of multiply-adds at the net's input from the same sources, to the
# digits that they state.
PUBLISHED = {
    "alexnet": (60_965_224, "724.4"),
    "alexnet_one_tower": (62_378_344, "1135.3"),
    "caffenet": (60_965_224, "724.4"),
    "alexnet_owt": (61_100_840, "714.2"),
    "zfnet": (62_357_608, "1168"),
    "zfnet_b": (107_627_624, "2477"),
    "overfeat_fast": (145_920_872, "2801"),
    "overfeat_accurate": (144_656_488, "5355"),
    "vgg11": (132_863_336, "7609"),
    "vgg11_lrn": (132_863_336, "7609"),
    "vgg13": (133_047_848, "11308"),
    "vgg16_c": (133_638_952, "11771"),
    "vgg16": (138_357_544, "15470"),
    "vgg19": (143_667_240, "19632"),
    "nin": (7_595_176, "1100"),
    "googlenet": (13_378_280, "1591"),
    "bn_inception": (11_285_224, None),
    "inception_v3": (23_817_352 + 3_325_800, None),
    "inception_v3_torchvision": (27_161_264, None),
    # What is published has 31,584 gammas more, and no auxiliary head.
    "inception_v4": (42_679_816 - 31_584 + 3_358_568, None),
    "resnet18": (11_689_512, "1814"),
    "resnet18_a": (11_515_688, None),
    "resnet18_c": (12_043_816, None),
    "resnet34": (21_797_672, "3664"),
    "resnet34_a": (21_623_848, None),
    "resnet34_c": (22_716_840, None),
    "resnet50": (25_557_032, "3858"),
    "resnet101": (44_549_160, "7570"),
    "resnet152": (60_192_808, "11282"),
    "resnet50_v1_5": (25_557_032, "4089"),
    "resnet101_v1_5": (44_549_160, "7801"),
    "resnet152_v1_5": (60_192_808, "11514"),
    "resnet50_v2": (25_549_352, None),
    "resnet101_v2": (44_541_480, None),
    "resnet152_v2": (60_185_128, None),
    "resnet200_v2": (64_666_152, None),
    "resnet50_v2_keras": (25_568_360, None),
    "resnext50_32x4d": (25_028_904, "4230"),
    "resnext101_32x4d": (44_177_704, "7970"),
    "resnext101_64x4d": (83_455_272, "15460"),
    "wide_resnet50_2": (68_883_240, "11398"),
    "se_resnet50": (28_088_024, "3860"),
    "se_resnext50": (27_559_896, "4233"),
    "senet154": (115_088_984, "20688"),
    "densenet121": (7_978_856, "2834"),
    "densenet169": (14_149_480, None),
    "densenet201": (20_013_928, None),
    "densenet161": (28_681_000, "7728"),
    "squeezenet1_0": (1_248_424, "861"),
    "squeezenet1_1": (1_235_496, None),
    "mobilenet_v1": (4_231_976, "569"),
    "mobilenet_v1_025": (470_072, "41"),
    "mobilenet_v2": (3_504_872, "301"),
    "mobilenet_v3_large": (5_483_032, "217"),
    "mobilenet_v3_small": (2_542_856, "57"),
    "efficientnet_b0": (5_288_548, "386"),
    "efficientnet_b1": (7_794_184, "687"),
    "efficientnet_b2": (9_109_994, None),
    "efficientnet_b3": (12_233_232, None),
    "vit_b16": (86_567_656, "17564"),
    "deit_tiny": (5_717_416, None),
    "deit_small": (22_050_664, None),
    "deit_base": (86_567_656, "17564"),
    "deit_tiny_distilled": (5_910_800, None),
    "deit_small_distilled": (22_436_432, None),
    "deit_base_distilled": (87_338_192, None),
    "swin_tiny": (28_288_354, "4491"),
    "convnext_tiny": (28_589_128, "4456"),
    # keras.applications' without its moving statistics, and the auxiliary head.
    "inception_resnet_v2": (55_873_736 - 60_544 + 3_366_760, None),
    "shufflenet_v2": (2_278_604, "145"),
    "regnet_y_800mf_torchvision": (6_432_512, "834"),
    "xception": (22_910_480 - 54_528, None),  # keras.applications' without its moving statistics
}
ALEXNET_LAYERS = {
    "conv1": 34_944,
    "conv2": 307_456,
    "conv3": 885_120,
    "conv4": 663_936,
    "conv5": 442_624,
    "fc6": 37_752_832,
    "fc7": 16_781_312,
    "fc8": 4_097_000,
}


@pytest.fixture(autouse=True)
def _free_memory():
    yield
    keras.backend.clear_session()  # which collects garbage


@pytest.mark.slow(reason="it builds every net")
@pytest.mark.parametrize("name", nets.names())
def test_a_net_is_what_its_entry_says(name):
    net, model = nets.entry(name), nets.build(name)
    assert _counts.count_params(model) == net.params
    assert _counts.count_macs(model) == net.macs
    for layer, (side, channels) in net.feature_maps.items():
        assert model.get_layer(layer).output.shape == (None, side, side, channels), layer
    heads = {"logits", *net.auxiliary_weights}
    outputs = model.output if isinstance(model.output, dict) else {"logits": model.output}
    assert set(outputs) == heads
    for output in outputs.values():
        assert output.shape == (None, 1000)
        assert output.dtype == "float32"


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_entry_is_what_was_published(name):
    params, mega_macs = PUBLISHED[name]
    net = nets.entry(name)
    assert net.params == params
    if mega_macs:
        decimals = len(mega_macs.partition(".")[2])
        assert f"{net.macs / 1e6:.{decimals}f}" == mega_macs


@pytest.mark.slow(reason="it builds every net")
@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("googlenet", 6_998_552, "1.583"),
        ("inception_v3", 23_817_352, "5.713"),
        ("inception_v3_torchvision", 23_834_568, "5.713"),
        ("inception_v4", 42_679_816 - 31_584, "12.254"),
        ("inception_resnet_v2", 55_873_736 - 60_544, "13.156"),
    ],
)
def test_a_net_without_its_auxiliary_heads(name, params, macs):
    net, model = nets.entry(name), nets.build(name, auxiliary=False)
    assert _counts.count_params(model) == params == net.params - net.auxiliary_params
    assert _counts.count_macs(model) == net.macs - net.auxiliary_macs
    assert f"{_counts.count_macs(model) / 1e9:.3f}" == macs
    assert not isinstance(model.output, dict)


def test_googlenets_heads_have_the_published_sizes():
    model = nets.build("googlenet")
    for head, params in (("aux1", 3_188_840), ("aux2", 3_190_888)):
        layers = [layer for layer in model.layers if layer.name.startswith(head)]
        assert sum(_counts.layer_params(layer) for layer in layers) == params
        assert model.get_layer(f"{head}_pool").output.shape == (None, 4, 4, layers_in(head))


def layers_in(head):
    return {"aux1": 512, "aux2": 528}[head]


@pytest.mark.slow(reason="it builds AlexNet")
@pytest.mark.parametrize("image_size", [224, 227])
def test_alexnet_layer_by_layer(image_size):
    model = nets.build("alexnet", image_size=image_size)
    counts = {name: _counts.layer_params(model.get_layer(name)) for name in ALEXNET_LAYERS}
    assert counts == ALEXNET_LAYERS
    assert model.get_layer("conv1").output.shape == (None, 55, 55, 96)
    assert model.get_layer("pool5").output.shape == (None, 6, 6, 256)


@pytest.mark.slow(reason="it builds every net")
def test_alexnet_starts_as_the_paper_says():
    model = nets.build("alexnet")
    ones = {"conv2", "conv4", "conv5", "fc6", "fc7"}
    for name in ALEXNET_LAYERS:
        kernel, bias = (weight.numpy() for weight in model.get_layer(name).trainable_variables)
        assert kernel.std() == pytest.approx(0.01, rel=0.03)
        assert abs(kernel.mean()) < 4 * 0.01 / kernel.size**0.5
        assert (bias == (1 if name in ones else 0)).all()


@pytest.mark.slow(reason="it builds every net")
@pytest.mark.parametrize("name", ["resnet50_v1_5", "resnet50_v2", "densenet121", "googlenet"])
def test_a_net_starts_near_the_loss_of_chance(name):
    options = {"auxiliary": False} if name == "googlenet" else {}
    model = nets.build(name, 10, 64, **options)
    images = np.random.default_rng(0).normal(size=(8, 64, 64, 3)).astype("float32")
    logits = np.asarray(model(images, training=True))
    assert np.abs(logits - logits.mean(-1, keepdims=True)).max() < 3


@pytest.mark.slow(reason="it builds every net")
@pytest.mark.parametrize(
    ("name", "macs"), [("squeezenet1_0", "848"), ("squeezenet1_1", "349"), ("alexnet", "724")]
)
def test_multiply_adds_at_224(name, macs):
    model = nets.build(name, image_size=224)
    assert f"{_counts.count_macs(model) / 1e6:.0f}" == macs


@pytest.mark.slow(reason="it builds every net")
@pytest.mark.parametrize("name", ["googlenet", "resnet18", "alexnet"])
def test_logits_stay_float32_under_mixed_precision(name):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = nets.build(name, 5, 128)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    outputs = model.output.values() if isinstance(model.output, dict) else [model.output]
    assert all(output.dtype == "float32" for output in outputs)
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    assert all(variable.dtype == "float32" for variable in model.trainable_variables)
