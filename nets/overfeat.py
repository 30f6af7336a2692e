"""OverFeat's two classifiers: no normalisation, and pooling windows that don't overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._registry import Net, PublishedError, Tensor

if TYPE_CHECKING:
    from ._builder import Builder

PAPER = (
    "P. Sermanet, D. Eigen, X. Zhang, M. Mathieu, R. Fergus, Y. LeCun: OverFeat: Integrated "
    "Recognition, Localization and Detection using Convolutional Networks. ICLR 2014, "
    "arXiv:1312.6229"
)


def overfeat_fast(nn: Builder, x: Tensor, num_classes: int, *, dropout: float = 0.5) -> Tensor:
    """Table 1."""
    nn = nn.using(kernel_initializer=nn.normal(0.01))
    x = nn.conv_relu(x, 96, 11, 4, name="conv1")  # 56
    x = nn.max_pool(x, 2, 2, name="pool1")  # 28
    x = nn.conv_relu(x, 256, 5, name="conv2")  # 24
    x = nn.max_pool(x, 2, 2, name="pool2")  # 12
    x = nn.conv_relu(x, 512, 3, pad=1, name="conv3")  # 12
    x = nn.conv_relu(x, 1024, 3, pad=1, name="conv4")  # 12
    x = nn.conv_relu(x, 1024, 3, pad=1, name="conv5")  # 12
    x = nn.max_pool(x, 2, 2, name="pool5")  # 6
    x = nn.fc_relu(x, 3072, name="fc6")
    x = nn.dropout(x, dropout, name="drop6")
    x = nn.fc_relu(x, 4096, name="fc7")
    x = nn.dropout(x, dropout, name="drop7")
    return nn.fc(x, num_classes, name="fc8")


def overfeat_accurate(nn: Builder, x: Tensor, num_classes: int, *, dropout: float = 0.5) -> Tensor:
    """Table 3."""
    nn = nn.using(kernel_initializer=nn.normal(0.01))
    x = nn.conv_relu(x, 96, 7, 2, name="conv1")  # 108
    x = nn.max_pool(x, 3, 3, name="pool1")  # 36
    x = nn.conv_relu(x, 256, 7, name="conv2")  # 30
    x = nn.max_pool(x, 2, 2, name="pool2")  # 15
    x = nn.conv_relu(x, 512, 3, pad=1, name="conv3")  # 15
    x = nn.conv_relu(x, 512, 3, pad=1, name="conv4")  # 15
    x = nn.conv_relu(x, 1024, 3, pad=1, name="conv5")  # 15
    x = nn.conv_relu(x, 1024, 3, pad=1, name="conv6")  # 15
    x = nn.max_pool(x, 3, 3, name="pool6")  # 5
    x = nn.fc_relu(x, 4096, name="fc7")
    x = nn.dropout(x, dropout, name="drop7")
    x = nn.fc_relu(x, 4096, name="fc8")
    x = nn.dropout(x, dropout, name="drop8")
    return nn.fc(x, num_classes, name="fc9")


NETS = (
    Net(
        name="overfeat_fast",
        body=overfeat_fast,
        paper=PAPER,
        year=2013,
        params=145_920_872,
        macs=2_801_403_904,
        image_size=231,
        feature_maps={
            "conv1": (56, 96),
            "pool1": (28, 96),
            "conv2": (24, 256),
            "pool2": (12, 256),
            "conv3": (12, 512),
            "conv4": (12, 1024),
            "conv5": (12, 1024),
            "pool5": (6, 1024),
        },
        errors=(
            PublishedError(39.28, 17.12, "coarse stride"),
            PublishedError(39.01, 16.97, "fine stride"),
            PublishedError(38.12, 16.27, "fine stride", scales=6),
        ),
    ),
    Net(
        name="overfeat_accurate",
        body=overfeat_accurate,
        paper=PAPER,
        year=2013,
        params=144_656_488,
        macs=5_355_446_784,
        image_size=221,
        feature_maps={
            "conv1": (108, 96),
            "pool1": (36, 96),
            "conv2": (30, 256),
            "pool2": (15, 256),
            "conv3": (15, 512),
            "conv4": (15, 512),
            "conv5": (15, 1024),
            "conv6": (15, 1024),
            "pool6": (5, 1024),
        },
        errors=(
            PublishedError(35.74, 14.18, "fine stride", scales=4),
            PublishedError(33.96, 13.24, "fine stride", nets=7, scales=4),
        ),
    ),
)
