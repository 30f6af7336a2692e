"""Network in Network: 1x1 convolutions after each other one, and a global average for a classifier.

The paper's tables have nets for small images only; this is its first author's Caffe release for
ILSVRC, whose 1x1 convolutions are called cccp, cascaded cross channel parametric pooling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._registry import Net, PublishedError, Tensor

if TYPE_CHECKING:
    from ._builder import Builder

PAPER = "M. Lin, Q. Chen, S. Yan: Network In Network. ICLR 2014, arXiv:1312.4400"


def nin(nn: Builder, x: Tensor, num_classes: int, *, dropout: float = 0.5) -> Tensor:
    """Four of section 3.1's MLP convolutions, and section 3.2's global average pooling."""
    nn, small = nn.using(kernel_initializer=nn.normal(0.05)), nn.normal(0.01)
    x = nn.conv_relu(x, 96, 11, 4, kernel_initializer=small, name="conv1")  # 54
    x = nn.conv_relu(x, 96, 1, name="cccp1")
    x = nn.conv_relu(x, 96, 1, name="cccp2")
    x = nn.max_pool(x, 3, 2, pad="ceil", name="pool1")  # 27
    x = nn.conv_relu(x, 256, 5, pad=2, name="conv2")  # 27
    x = nn.conv_relu(x, 256, 1, name="cccp3")
    x = nn.conv_relu(x, 256, 1, name="cccp4")
    x = nn.max_pool(x, 3, 2, pad="ceil", name="pool2")  # 13
    x = nn.conv_relu(x, 384, 3, pad=1, kernel_initializer=small, name="conv3")  # 13
    x = nn.conv_relu(x, 384, 1, name="cccp5")
    x = nn.conv_relu(x, 384, 1, name="cccp6")
    x = nn.max_pool(x, 3, 2, pad="ceil", name="pool3")  # 6
    x = nn.dropout(x, dropout, name="drop")
    x = nn.conv_relu(x, 1024, 3, pad=1, name="conv4")  # 6
    x = nn.conv_relu(x, 1024, 1, name="cccp7")
    x = nn.conv_relu(x, num_classes, 1, kernel_initializer=small, name="cccp8")
    return nn.global_avg_pool(x, name="pool4")


NETS = (
    Net(
        name="nin",
        body=nin,
        paper=PAPER,
        year=2013,
        params=7_595_176,
        macs=1_100_188_800,
        image_size=224,
        feature_maps={
            "cccp2": (54, 96),
            "pool1": (27, 96),
            "cccp4": (27, 256),
            "pool2": (13, 256),
            "cccp6": (13, 384),
            "pool3": (6, 384),
            "cccp8": (6, 1000),
        },
        errors=(PublishedError(40.64, None, source="the authors' release"),),
        departures=("as in the first author's Caffe release: the paper tables no net for ILSVRC",),
    ),
)
