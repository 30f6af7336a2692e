"""Wide ResNet: bottleneck units whose 3x3 convolutions have more maps, and no more layers."""

from __future__ import annotations

from ._registry import Net, PublishedError
from .residual import Style, stage_ends
from .resnet import BATCH_NORM, UNITS, resnet

PAPER = "S. Zagoruyko, N. Komodakis: Wide Residual Networks. BMVC 2016, arXiv:1605.07146"

NETS = (
    Net(
        name="wide_resnet50_2",
        body=resnet,
        # Table 8: WRN-50-2-bottleneck, twice as wide inside as ResNet-50.
        arguments={
            "units": UNITS[50],
            "style": Style(stride_in_3x3=True, group_width=2 * 64),
            "fan": "fan_out",
            "pool_pad": 1,
            "width": 64,
        },
        paper=PAPER,
        year=2016,
        params=68_883_240,
        macs=11_398_021_120,
        image_size=224,
        feature_maps={"conv1_relu": (112, 64), "pool1": (56, 64)} | stage_ends(UNITS[50], 56, 256),
        errors=(
            PublishedError(21.9, 6.03),
            PublishedError(21.53, 5.91, source="torchvision's weights"),
        ),
        batch_norm=BATCH_NORM,
        decay="all",
    ),
)
