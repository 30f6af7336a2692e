"""ZFNet: AlexNet with a finer first layer, found by looking at what the filters respond to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._registry import Net, PublishedError, Tensor
from .alexnet import LRN  # the paper says "contrast normalized", and gives no constants

if TYPE_CHECKING:
    from ._builder import Builder

PAPER = (
    "M. D. Zeiler, R. Fergus: Visualizing and Understanding Convolutional Networks. "
    "ECCV 2014, arXiv:1311.2901"
)


def zfnet(
    nn: Builder, x: Tensor, num_classes: int, *, widths: tuple[int, int, int], dropout: float = 0.5
) -> Tensor:
    """Figure 3; ``widths`` of conv3, conv4 and conv5. Initialised as in section 3."""
    nn = nn.using(kernel_initializer=nn.normal(0.01))
    x = nn.conv_relu(x, 96, 7, 2, pad="ceil", name="conv1")  # 110
    x = nn.max_pool(x, 3, 2, pad="ceil", name="pool1")  # 55
    x = nn.lrn(x, LRN, name="norm1")
    x = nn.conv_relu(x, 256, 5, 2, pad="ceil", name="conv2")  # 26
    x = nn.max_pool(x, 3, 2, pad="ceil", name="pool2")  # 13
    x = nn.lrn(x, LRN, name="norm2")
    x = nn.conv_relu(x, widths[0], 3, pad=1, name="conv3")  # 13
    x = nn.conv_relu(x, widths[1], 3, pad=1, name="conv4")  # 13
    x = nn.conv_relu(x, widths[2], 3, pad=1, name="conv5")  # 13
    x = nn.max_pool(x, 3, 2, pad="ceil", name="pool5")  # 6
    x = nn.fc_relu(x, 4096, name="fc6")
    x = nn.dropout(x, dropout, name="drop6")
    x = nn.fc_relu(x, 4096, name="fc7")
    x = nn.dropout(x, dropout, name="drop7")
    return nn.fc(x, num_classes, name="fc8")


def _net(name: str, widths: tuple[int, int, int], **facts: Any) -> Net:
    return Net(
        name=name,
        body=zfnet,
        arguments={"widths": widths},
        paper=PAPER,
        year=2013,
        image_size=224,
        feature_maps={
            "conv1": (110, 96),
            "pool1": (55, 96),
            "conv2": (26, 256),
            "pool2": (13, 256),
            "conv3": (13, widths[0]),
            "conv4": (13, widths[1]),
            "conv5": (13, widths[2]),
            "pool5": (6, widths[2]),
        },
        departures=(
            "the constants of contrast normalisation are AlexNet's, the paper gives none",
            "partial windows count in conv1 and the poolings, which figure 3's sizes need",
        ),
        **facts,
    )


NETS = (
    _net(
        "zfnet",
        (384, 384, 256),
        params=62_357_608,
        macs=1_168_032_896,
        errors=(
            PublishedError(38.4, 16.5, "10 crops"),
            PublishedError(36.0, 14.7, "10 crops", nets=6),
        ),
    ),
    _net(
        "zfnet_b",
        (512, 1024, 512),
        params=107_627_624,
        macs=2_476_704_896,
        errors=(PublishedError(37.5, 16.0, "10 crops"),),
    ),
)
