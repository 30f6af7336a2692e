"""VGG: stacks of 3x3 convolutions, halved and doubled in five stages; table 1's columns A to E.

``vgg11`` is A, ``vgg11_lrn`` A-LRN, ``vgg13`` B, ``vgg16_c`` C (with 1x1 convolutions), ``vgg16`` D
and ``vgg19`` E. ``vgg_small`` is ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._registry import BatchNorm, Net, PublishedError, Tensor
from .alexnet import LRN  # section 2.1 takes AlexNet's constants

if TYPE_CHECKING:
    from ._builder import Builder

PAPER = (
    "K. Simonyan, A. Zisserman: Very Deep Convolutional Networks for Large-Scale Image "
    "Recognition. ICLR 2015, arXiv:1409.1556"
)
WIDTHS = (64, 128, 256, 512, 512)

# The kernel sizes of each stage's convolutions.
Stages = tuple[tuple[int, ...], ...]
A: Stages = ((3,), (3,), (3, 3), (3, 3), (3, 3))
B: Stages = ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3))
C: Stages = ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1))
D: Stages = ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))
E: Stages = ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3))


def vgg(
    nn: Builder,
    x: Tensor,
    num_classes: int,
    *,
    stages: Stages,
    normalise: bool,
    dropout: float = 0.5,
) -> Tensor:
    """Table 1. Initialised by Glorot and Bengio's rule, which section 3.1 found to do without the
    paper's N(0, 0.01) and pre-training with net A."""
    nn = nn.using(kernel_initializer="glorot_uniform")
    for stage, (sizes, width) in enumerate(zip(stages, WIDTHS, strict=True), start=1):
        for index, size in enumerate(sizes, start=1):  # 224, 112, 56, 28, 14
            name = f"conv{stage}_{index}"
            x = nn.conv_relu(x, width, size, pad=size // 2, name=name)
            if normalise and stage == 1:
                x = nn.lrn(x, LRN, name="norm1")
        x = nn.max_pool(x, 2, 2, name=f"pool{stage}")  # 112, 56, 28, 14, 7
    x = nn.fc_relu(x, 4096, name="fc6")
    x = nn.dropout(x, dropout, name="drop6")
    x = nn.fc_relu(x, 4096, name="fc7")
    x = nn.dropout(x, dropout, name="drop7")
    return nn.fc(x, num_classes, name="fc8")


def vgg_small(
    nn: Builder, x: Tensor, num_classes: int, *, width: int = 64, dropout: float = 0.5
) -> Tensor:
    """D without its last stage, with batch normalisation, and one hidden layer of 8 x ``width``."""
    nn = nn.using(kernel_initializer=nn.variance_scaling(2.0, "fan_in", "untruncated_normal"))
    for stage, sizes in enumerate(D[:4], start=1):
        for index, size in enumerate(sizes, start=1):  # 56, 28, 14, 7
            x = nn.conv_bn_relu(
                x, width * 2 ** (stage - 1), size, pad=size // 2, name=f"conv{stage}_{index}"
            )
        x = nn.max_pool(x, 2, 2, name=f"pool{stage}")  # 28, 14, 7, 3
    x = nn.fc_relu(x, 8 * width, name="fc5")
    x = nn.dropout(x, dropout, name="drop5")
    return nn.fc(x, num_classes, name="fc6")


def _net(name: str, stages: Stages, *, normalise: bool = False, **facts: Any) -> Net:
    return Net(
        name=name,
        body=vgg,
        arguments={"stages": stages, "normalise": normalise},
        paper=PAPER,
        year=2014,
        image_size=224,
        feature_maps={
            f"pool{stage}": (224 >> stage, width) for stage, width in enumerate(WIDTHS, start=1)
        },
        departures=("initialised by Glorot and Bengio's rule, not with the weights of net A",),
        **facts,
    )


NETS = (
    _net(
        "vgg11",
        A,
        params=132_863_336,
        macs=7_609_090_048,
        errors=(
            PublishedError(29.6, 10.4, "dense", remark="scale 256"),
            PublishedError(30.98, 11.37, source="torchvision's weights"),
        ),
    ),
    _net(
        "vgg11_lrn",
        A,
        normalise=True,
        params=132_863_336,
        macs=7_609_090_048,
        errors=(PublishedError(29.7, 10.5, "dense", remark="scale 256"),),
    ),
    _net(
        "vgg13",
        B,
        params=133_047_848,
        macs=11_308_466_176,
        errors=(
            PublishedError(28.7, 9.9, "dense", remark="scale 256"),
            PublishedError(30.07, 10.75, source="torchvision's weights"),
        ),
    ),
    _net(
        "vgg16_c",
        C,
        params=133_638_952,
        macs=11_770_888_192,
        errors=(PublishedError(27.3, 8.8, "dense", remark="scale 384, trained at [256, 512]"),),
    ),
    _net(
        "vgg16",
        D,
        params=138_357_544,
        macs=15_470_264_320,
        errors=(
            PublishedError(25.6, 8.1, "dense", remark="scale 384, trained at [256, 512]"),
            PublishedError(24.8, 7.5, "dense", scales=3),
            PublishedError(24.4, 7.2, "dense and multi-crop", scales=3),
            PublishedError(28.5, 10.2, source="the authors' weights in TF-slim"),
        ),
    ),
    _net(
        "vgg19",
        E,
        params=143_667_240,
        macs=19_632_062_464,
        errors=(
            PublishedError(25.5, 8.0, "dense", remark="scale 384, trained at [256, 512]"),
            PublishedError(24.8, 7.5, "dense", scales=3),
            PublishedError(24.4, 7.1, "dense and multi-crop", scales=3),
            PublishedError(28.9, 10.2, source="the authors' weights in TF-slim"),
        ),
    ),
    Net(
        name="vgg_small",
        body=vgg_small,
        paper=f"ours, after {PAPER}",
        year=2014,
        params=10_510_760,
        macs=875_331_584,
        image_size=56,
        feature_maps={"pool1": (28, 64), "pool2": (14, 128), "pool3": (7, 256), "pool4": (3, 512)},
        batch_norm=BatchNorm(momentum=0.9, epsilon=1e-5),
        departures=(
            "for images of 56 to 64 pixels: four stages, batch normalisation, one hidden layer",
        ),
    ),
)
