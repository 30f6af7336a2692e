"""GoogLeNet, with its two auxiliary classifiers as outputs.

``build('googlenet')`` gives a dict of logits: 'logits', 'aux1' (after inception_4a) and 'aux2'
(after inception_4d); with ``auxiliary=False`` the heads are left out, as at test time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._registry import Net, PublishedError, Tensor
from .alexnet import CAFFE_LRN  # the paper gives no constants, BVLC's model has these

if TYPE_CHECKING:
    from ._builder import Builder

PAPER = "C. Szegedy et al.: Going Deeper with Convolutions. CVPR 2015, arXiv:1409.4842"
# Table 1: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj.
INCEPTION = {
    "3a": (64, 96, 128, 16, 32, 32),  # 256
    "3b": (128, 128, 192, 32, 96, 64),  # 480
    "4a": (192, 96, 208, 16, 48, 64),  # 512
    "4b": (160, 112, 224, 24, 64, 64),  # 512
    "4c": (128, 128, 256, 24, 64, 64),  # 512
    "4d": (112, 144, 288, 32, 64, 64),  # 528
    "4e": (256, 160, 320, 32, 128, 128),  # 832
    "5a": (256, 160, 320, 32, 128, 128),  # 832
    "5b": (384, 192, 384, 48, 128, 128),  # 1024
}


def inception(nn: Builder, x: Tensor, module: str) -> Tensor:
    """Figure 2(b): four branches side by side."""
    n1x1, reduce3, n3x3, reduce5, n5x5, projection = INCEPTION[module]
    name = f"inception_{module}"
    point = nn.conv_relu(x, n1x1, 1, name=f"{name}_1x1")
    small = nn.conv_relu(x, reduce3, 1, name=f"{name}_3x3_reduce")
    small = nn.conv_relu(small, n3x3, 3, pad=1, name=f"{name}_3x3")
    large = nn.conv_relu(x, reduce5, 1, name=f"{name}_5x5_reduce")
    large = nn.conv_relu(large, n5x5, 5, pad=2, name=f"{name}_5x5")
    pooled = nn.max_pool(x, 3, 1, pad=1, name=f"{name}_pool")
    pooled = nn.conv_relu(pooled, projection, 1, name=f"{name}_pool_proj")
    return nn.concat([point, small, large, pooled], name=name)


def auxiliary_head(nn: Builder, x: Tensor, num_classes: int, *, name: str) -> Tensor:
    """Section 5: a small classifier on 4x4 positions."""
    x = nn.avg_pool(x, 5, 3, name=f"{name}_pool")  # 4
    x = nn.conv_relu(x, 128, 1, name=f"{name}_conv")
    x = nn.fc_relu(x, 1024, name=f"{name}_fc")
    x = nn.dropout(x, 0.7, name=f"{name}_drop")
    return nn.fc(x, num_classes, bias_initializer=0.0, name=f"{name}_classifier")


def googlenet(
    nn: Builder, x: Tensor, num_classes: int, *, auxiliary: bool = True, dropout: float = 0.4
) -> Tensor:
    """Table 1; initialised as BVLC's model (Caffe's xavier, biases 0.2)."""
    nn = nn.using(
        kernel_initializer=nn.variance_scaling(1.0, "fan_in", "uniform"), bias_initializer=0.2
    )
    x = nn.conv_relu(x, 64, 7, 2, pad=3, name="conv1")  # 112
    x = nn.max_pool(x, 3, 2, pad="ceil", name="pool1")  # 56
    x = nn.lrn(x, CAFFE_LRN, name="norm1")
    x = nn.conv_relu(x, 64, 1, name="conv2_reduce")  # 56
    x = nn.conv_relu(x, 192, 3, pad=1, name="conv2")  # 56
    x = nn.lrn(x, CAFFE_LRN, name="norm2")
    x = nn.max_pool(x, 3, 2, pad="ceil", name="pool2")  # 28
    x = inception(nn, x, "3a")  # 28
    x = inception(nn, x, "3b")  # 28
    x = nn.max_pool(x, 3, 2, pad="ceil", name="pool3")  # 14
    x = after_4a = inception(nn, x, "4a")  # 14
    x = inception(nn, x, "4b")  # 14
    x = inception(nn, x, "4c")  # 14
    x = after_4d = inception(nn, x, "4d")  # 14
    x = inception(nn, x, "4e")  # 14
    x = nn.max_pool(x, 3, 2, pad="ceil", name="pool4")  # 7
    x = inception(nn, x, "5a")  # 7
    x = inception(nn, x, "5b")  # 7
    x = nn.global_avg_pool(x, name="pool5")
    x = nn.dropout(x, dropout, name="drop5")
    logits = nn.fc(x, num_classes, bias_initializer=0.0, name="classifier")
    if not auxiliary:
        return logits
    return {
        "logits": logits,
        "aux1": auxiliary_head(nn, after_4a, num_classes, name="aux1"),
        "aux2": auxiliary_head(nn, after_4d, num_classes, name="aux2"),
    }


NETS = (
    Net(
        name="googlenet",
        body=googlenet,
        paper=PAPER,
        year=2014,
        params=13_378_280,
        macs=1_591_044_096,
        image_size=224,
        feature_maps={
            "conv1": (112, 64),
            "pool1": (56, 64),
            "conv2": (56, 192),
            "pool2": (28, 192),
            "inception_3a": (28, 256),
            "inception_3b": (28, 480),
            "pool3": (14, 480),
            "inception_4a": (14, 512),
            "inception_4b": (14, 512),
            "inception_4c": (14, 512),
            "inception_4d": (14, 528),
            "inception_4e": (14, 832),
            "pool4": (7, 832),
            "inception_5a": (7, 832),
            "inception_5b": (7, 1024),
        },
        errors=(
            PublishedError(31.3, 11.1, source="BVLC's weights"),
            PublishedError(None, 10.07),
            PublishedError(None, 9.15, "10 crops"),
            PublishedError(None, 7.89, "144 crops"),
            PublishedError(None, 6.67, "144 crops", nets=7),
        ),
        auxiliary_weights={"aux1": 0.3, "aux2": 0.3},
        auxiliary_params=3_188_840 + 3_190_888,  # aux1, aux2
        auxiliary_macs=8_372_224,
        departures=(
            "the constants of normalisation and the initialisers, which the paper doesn't give, "
            "are those of BVLC's model",
        ),
    ),
)
