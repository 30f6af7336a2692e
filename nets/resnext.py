"""ResNeXt: ResNet's bottlenecks with grouped 3x3 convolutions."""

from __future__ import annotations

from typing import Any

from ._registry import Net, PublishedError
from .residual import Style, stage_ends
from .resnet import BATCH_NORM, UNITS, resnet

PAPER = (
    "S. Xie, R. Girshick, P. Dollar, Z. Tu, K. He: Aggregated Residual Transformations for Deep "
    "Neural Networks. CVPR 2017, arXiv:1611.05431"
)


def _net(name: str, depth: int, groups: int, group_width: int, **facts: Any) -> Net:
    style = Style(stride_in_3x3=True, groups=groups, group_width=group_width)
    return Net(
        name=name,
        body=resnet,
        # Stride, initialisation and decay are those of fb.resnet.torch, the authors' base.
        arguments={
            "units": UNITS[depth],
            "style": style,
            "fan": "fan_out",
            "pool_pad": 1,
            "width": 64,
        },
        paper=PAPER,
        year=2016,
        image_size=224,
        feature_maps={"conv1_relu": (112, 64), "pool1": (56, 64)}
        | stage_ends(UNITS[depth], 56, 256),
        batch_norm=BATCH_NORM,
        decay="all",
        **facts,
    )


NETS = (
    _net(
        "resnext50_32x4d",
        50,
        32,
        4,
        params=25_028_904,
        macs=4_230_479_872,
        errors=(PublishedError(22.2, None),),
    ),
    _net(
        "resnext101_32x4d",
        101,
        32,
        4,
        params=44_177_704,
        macs=7_969_996_800,
        errors=(PublishedError(21.2, None),),
    ),
    _net(
        "resnext101_64x4d",
        101,
        64,
        4,
        params=83_455_272,
        macs=15_460_270_080,
        errors=(PublishedError(20.4, None),),
    ),
)
