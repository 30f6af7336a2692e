"""The same numbers as PyTorch's nets, torchvision's and timm's, from the same weights.

Their random weights come to ours by the tables that import_weights.py takes published ones by
(`trainers/weights/names.py`), so both are tested. `make parity` installs what is needed, which is
several GB, and runs them; `make test` goes without.
"""

import multiprocessing
import os
import pathlib
import types
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest

import nets
from base.spec import parse_call
from tests.making.torch_nets import weights_and_logits
from tests.tensorflow_on_import import forget_traced_nets
from trainers.weights.assigning import assign
from trainers.weights.files import WeightFile

pytestmark = [
    pytest.mark.slow(reason="it builds large nets twice"),
    pytest.mark.skipif(
        not os.environ.get("REQUIRE_PARITY"), reason="make parity runs these, with PyTorch's nets"
    ),
]
CLASSES = 20


class Case(NamedTuple):
    """A net of ours and the same one of theirs.

    Attributes:
        ours: our net, with options.
        theirs: their constructor.
        image_size: small, for speed, where the net takes any size.
        gamma: what the factors in norms lie around, so that logits stay near 1.
        options: what their constructor takes, beside the number of classes.
    """

    ours: str
    theirs: str
    image_size: int = 64
    gamma: float = 1.0
    options: Mapping[str, Any] = types.MappingProxyType({})


_AS_TF_SLIM = {"bn_eps": 1e-3, "pad_type": "same"}
CASES = (
    Case("alexnet_owt", "torchvision.models.alexnet", 224),
    Case("vgg11", "torchvision.models.vgg11", 224),
    Case("squeezenet1_1", "torchvision.models.squeezenet1_1"),
    Case("resnet18", "torchvision.models.resnet18", gamma=0.5),
    Case("resnet50_v1_5", "torchvision.models.resnet50", gamma=0.5),
    Case("resnext50_32x4d", "torchvision.models.resnext50_32x4d", gamma=0.5),
    Case("wide_resnet50_2", "torchvision.models.wide_resnet50_2", gamma=0.5),
    Case("densenet161", "torchvision.models.densenet161"),
    Case("vit_b16", "torchvision.models.vit_b_16", 224),
    Case("vit_b16", "timm.models.vit_base_patch16_224", 224),
    Case("deit_tiny", "timm.models.deit_tiny_patch16_224", 224),
    Case("deit_small", "timm.models.deit_small_patch16_224", 224),
    Case("deit_base", "timm.models.deit_base_patch16_224", 224),
    Case("deit_tiny_distilled", "timm.models.deit_tiny_distilled_patch16_224", 224),
    Case("deit_small_distilled", "timm.models.deit_small_distilled_patch16_224", 224),
    Case("deit_base_distilled", "timm.models.deit_base_distilled_patch16_224", 224),
    Case("swin_tiny", "torchvision.models.swin_t", 224),
    Case("swin_tiny", "torchvision.models.swin_t", 96),
    Case("swin_tiny", "timm.models.swin_tiny_patch4_window7_224", 224),
    Case("convnext_tiny", "torchvision.models.convnext_tiny"),
    Case("convnext_tiny", "timm.models.convnext_tiny"),
    Case("shufflenet_v2", "torchvision.models.shufflenet_v2_x1_0"),
    Case("regnet_y_800mf_torchvision", "torchvision.models.regnet_y_800mf", gamma=0.7),
    Case("regnet_y_800mf", "timm.models.regnety_008", gamma=0.7),
    Case("regnet_y_4gf", "timm.models.regnety_040", gamma=0.7),
    Case("inception_v4(auxiliary=False)", "timm.models.inception_v4", 299),
    Case("inception_resnet_v2(auxiliary=False)", "timm.models.inception_resnet_v2", 139),
    Case("mobilenet_v2", "timm.models.mobilenetv2_100", options=_AS_TF_SLIM),
    Case("mobilenet_v3_large", "timm.models.tf_mobilenetv3_large_100"),
    Case("mobilenet_v3_small", "timm.models.tf_mobilenetv3_small_100"),
    Case("efficientnet_b0", "timm.models.tf_efficientnet_b0", 96, gamma=1.15),
    Case("efficientnet_b3", "timm.models.tf_efficientnet_b3"),
)


@pytest.fixture(scope="module")
def pytorch():
    """A process of PyTorch's own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        yield pool


@pytest.fixture(autouse=True)
def _free_memory():
    yield
    keras.backend.clear_session()
    forget_traced_nets()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.theirs}-{case.image_size}")
def test_logits_equal_pytorchs(case, pytorch):
    size = case.image_size
    images = 3 * np.random.default_rng(5).normal(size=(2, size, size, 3)).astype("float32")
    options = {"num_classes": CLASSES, **case.options}
    arrays, expected = pytorch.apply(weights_and_logits, (case.theirs, options, case.gamma, images))
    call = parse_call(case.ours)
    ours = nets.build(call.name, CLASSES, size, **call.keywords)
    assign(ours, WeightFile(pathlib.Path(case.theirs), "torch", arrays), nets.entry(call.name))
    assert np.abs(expected[0] - expected[1]).max() > 0.01  # the images do matter
    logits = ours(images, training=False)
    logits = np.asarray(logits["logits"] if isinstance(logits, dict) else logits)
    np.testing.assert_allclose(logits, expected, atol=1e-4 * np.abs(expected).max())
