"""Residual nets with pre-activation: normalisation and ReLU come before each convolution.

``resnet50_v2`` and deeper are the paper's, as fb.resnet.torch has them. ``_v2_keras`` are those of
TF-slim and keras.applications, which halve the sides in the last unit of a stage, not the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._registry import Net, PublishedError, Tensor
from .residual import Units, unit_name
from .resnet import BATCH_NORM, UNITS

if TYPE_CHECKING:
    from ._builder import Builder

PAPER = (
    "K. He, X. Zhang, S. Ren, J. Sun: Identity Mappings in Deep Residual Networks. "
    "ECCV 2016, arXiv:1603.05027"
)
UNITS_200: Units = (3, 24, 36, 3)
# What TF-slim's weights have by a center crop of 299 pixels.
SLIM = {50: (24.4, 7.2), 101: (23.0, 6.3), 152: (22.2, 5.9)}


def slim(layers: int, of: str) -> PublishedError:
    """TF-slim's figure for so many layers, and what of it was scored."""
    return PublishedError(*SLIM[layers], size=299, source=f"TF-slim's {of}")


def resnet_v2(nn: Builder, x: Tensor, num_classes: int, *, units: Units) -> Tensor:
    """Figure 1(b); the first unit follows the stem's own ReLU and has none in front (appendix)."""
    nn = nn.using(kernel_initializer=nn.variance_scaling(2.0, "fan_out", "untruncated_normal"))
    x = nn.conv_bn_relu(x, 64, 7, 2, pad=3, name="conv1")  # 112
    x = nn.max_pool(x, 3, 2, pad=1, name="pool1")  # 56
    for stage, count in enumerate(units):  # 56, 28, 14, 7
        for unit in range(count):
            name = unit_name(stage, unit, count)
            first = unit == 0
            activated = x if stage == 0 and first else _preactivated(nn, x, name)
            strides = 2 if stage > 0 and first else 1
            outputs = 256 << stage
            shortcut = x
            if first:
                shortcut = nn.conv(
                    activated, outputs, 1, strides, use_bias=False, name=f"{name}_branch1"
                )
            y = _branch(nn, activated, 64 << stage, strides, name)
            y = nn.conv(y, outputs, 1, use_bias=False, name=f"{name}_branch2c")
            x = nn.add([shortcut, y], name=name)
    x = nn.relu(nn.batch_norm(x, name="bn5"), name="relu5")
    x = nn.global_avg_pool(x, name="pool5")
    return nn.fc(x, num_classes, kernel_initializer=nn.torch_default(), name="fc")


def resnet_v2_keras(nn: Builder, x: Tensor, num_classes: int, *, units: Units) -> Tensor:
    """keras.applications' ResNetV2: the last units are strided, and biases where no BN follows."""
    x = nn.conv(x, 64, 7, 2, pad=3, name="conv1")  # 112
    x = nn.zero_pad(x, 1, name="pool1_pad")  # conv1 isn't rectified: zeros can be the maxima
    x = nn.max_pool(x, 3, 2, name="pool1")  # 56
    for stage, count in enumerate(units):  # 28, 14, 7, 7
        for unit in range(count):
            name = unit_name(stage, unit, count)
            activated = _preactivated(nn, x, name)
            strides = 2 if stage < 3 and unit == count - 1 else 1
            outputs = 256 << stage
            if unit == 0:
                shortcut = nn.conv(activated, outputs, 1, strides, name=f"{name}_branch1")
            elif strides > 1:
                shortcut = nn.max_pool(x, 1, strides, name=f"{name}_branch1")
            else:
                shortcut = x
            y = _branch(nn, activated, 64 << stage, strides, name)
            y = nn.conv(y, outputs, 1, name=f"{name}_branch2c")
            x = nn.add([shortcut, y], name=name)
    x = nn.relu(nn.batch_norm(x, name="bn5"), name="relu5")
    x = nn.global_avg_pool(x, name="pool5")
    return nn.fc(x, num_classes, kernel_initializer=nn.torch_default(), name="fc")


def _preactivated(nn: Builder, x: Tensor, name: str) -> Tensor:
    return nn.relu(nn.batch_norm(x, name=f"{name}_bn"), name=f"{name}_relu")


def _branch(nn: Builder, x: Tensor, width: int, strides: int, name: str) -> Tensor:
    """The branch but for its last convolution."""
    x = nn.conv_bn_relu(x, width, 1, name=f"{name}_branch2a")
    return nn.conv_bn_relu(x, width, 3, strides, pad=1, name=f"{name}_branch2b")


def _net(name: str, units: Units, **facts: Any) -> Net:
    ends = {
        unit_name(stage, count - 1, count): (56 >> stage, 256 << stage)
        for stage, count in enumerate(units)
    }
    return Net(
        name=name,
        body=resnet_v2,
        arguments={"units": units},
        paper=PAPER,
        year=2016,
        image_size=224,
        feature_maps={"conv1_relu": (112, 64), "pool1": (56, 64)} | ends,
        batch_norm=BATCH_NORM,
        decay="all",
        **facts,
    )


def _keras_net(name: str, units: Units, **facts: Any) -> Net:
    ends = {
        unit_name(stage, count - 1, count): (side, 256 << stage)
        for stage, (count, side) in enumerate(zip(units, (28, 14, 7, 7), strict=True))
    }
    return Net(
        name=name,
        body=resnet_v2_keras,
        arguments={"units": units},
        paper=PAPER,
        year=2016,
        image_size=224,
        feature_maps={"conv1": (112, 64), "pool1": (56, 64)} | ends,
        batch_norm=BATCH_NORM,
        departures=(
            "as in keras.applications: the last unit of a stage is strided, biases where no "
            "normalisation follows, no ReLU between conv1 and pool1",
        ),
        **facts,
    )


NETS = (
    _net(
        "resnet50_v2",
        UNITS[50],
        params=25_549_352,
        macs=4_089_184_256,
        errors=(slim(50, "net and weights (the _keras form)"),),
    ),
    _net(
        "resnet101_v2",
        UNITS[101],
        params=44_541_480,
        macs=7_801_405_440,
        errors=(slim(101, "net and weights (the _keras form)"),),
    ),
    _net(
        "resnet152_v2",
        UNITS[152],
        params=60_185_128,
        macs=11_513_626_624,
        errors=(slim(152, "net and weights (the _keras form)"),),
    ),
    _net(
        "resnet200_v2",
        UNITS_200,
        params=64_666_152,
        macs=15_007_481_856,
        errors=(PublishedError(21.66, 5.79, source="fb.resnet.torch's weights"),),
    ),
    _keras_net(
        "resnet50_v2_keras",
        UNITS[50],
        params=25_568_360,
        macs=3_482_255_360,
        errors=(
            PublishedError(24.0, 7.0, source="Keras's weights"),
            slim(50, "weights"),
        ),
    ),
    _keras_net(
        "resnet101_v2_keras",
        UNITS[101],
        params=44_577_896,
        macs=7_194_476_544,
        errors=(
            PublishedError(22.8, 6.2, source="Keras's weights"),
            slim(101, "weights"),
        ),
    ),
    _keras_net(
        "resnet152_v2_keras",
        UNITS[152],
        params=60_236_904,
        macs=10_906_697_728,
        errors=(
            PublishedError(22.0, 5.8, source="Keras's weights"),
            slim(152, "weights"),
        ),
    ),
)
