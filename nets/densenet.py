"""DenseNet-BC: every layer of a block sees the maps of all layers before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._registry import BatchNorm, Net, PublishedError, Tensor

if TYPE_CHECKING:
    from ._builder import Builder

PAPER = (
    "G. Huang, Z. Liu, L. van der Maaten, K. Q. Weinberger: Densely Connected Convolutional "
    "Networks. CVPR 2017, arXiv:1608.06993"
)
Blocks = tuple[int, int, int, int]


def dense_layer(nn: Builder, x: Tensor, growth: int, name: str) -> Tensor:
    """BN, ReLU, 1x1 of 4k maps, BN, ReLU, 3x3 of k maps, joined to what came in (section 3)."""
    y = nn.relu(nn.batch_norm(x, name=f"{name}_bn1"), name=f"{name}_relu1")
    y = nn.conv(y, 4 * growth, 1, use_bias=False, name=f"{name}_conv1")
    y = nn.relu(nn.batch_norm(y, name=f"{name}_bn2"), name=f"{name}_relu2")
    y = nn.conv(y, growth, 3, pad=1, use_bias=False, name=f"{name}_conv2")
    return nn.concat([x, y], name=name)


def transition(nn: Builder, x: Tensor, name: str) -> Tensor:
    """Halves the maps (compression 0.5) and the sides."""
    x = nn.relu(nn.batch_norm(x, name=f"{name}_bn"), name=f"{name}_relu")
    x = nn.conv(x, x.shape[-1] // 2, 1, use_bias=False, name=f"{name}_conv")
    return nn.avg_pool(x, 2, 2, name=name)


def densenet(nn: Builder, x: Tensor, num_classes: int, *, blocks: Blocks, growth: int) -> Tensor:
    """Table 1, with k = ``growth``; initialised as in fb.resnet.torch, the authors' base."""
    nn = nn.using(kernel_initializer=nn.variance_scaling(2.0, "fan_out", "untruncated_normal"))
    x = nn.conv_bn_relu(x, 2 * growth, 7, 2, pad=3, name="conv1")  # 112
    x = nn.max_pool(x, 3, 2, pad=1, name="pool1")  # 56
    for block, layers in enumerate(blocks, start=1):  # 56, 28, 14, 7
        for layer in range(1, layers + 1):
            x = dense_layer(nn, x, growth, f"dense{block}_{layer}")
        if block < len(blocks):
            x = transition(nn, x, f"transition{block}")  # 28, 14, 7
    x = nn.relu(nn.batch_norm(x, name="bn"), name="relu")
    x = nn.global_avg_pool(x, name="pool")
    return nn.fc(x, num_classes, kernel_initializer=nn.torch_default(), name="fc")


def _net(name: str, blocks: Blocks, growth: int = 32, **facts: Any) -> Net:
    maps = {"conv1_relu": (112, 2 * growth), "pool1": (56, 2 * growth)}
    side, channels = 56, 2 * growth
    for block, layers in enumerate(blocks, start=1):
        channels += layers * growth
        maps[f"dense{block}_{layers}"] = (side, channels)
        if block < len(blocks):
            side, channels = side // 2, channels // 2
            maps[f"transition{block}"] = (side, channels)
    return Net(
        name=name,
        body=densenet,
        arguments={"blocks": blocks, "growth": growth},
        paper=PAPER,
        year=2016,
        image_size=224,
        feature_maps=maps,
        batch_norm=BatchNorm(momentum=0.9, epsilon=1e-5),
        decay="all",
        **facts,
    )


NETS = (
    _net(
        "densenet121",
        (6, 12, 24, 16),
        params=7_978_856,
        macs=2_834_161_664,
        errors=(
            PublishedError(25.02, 7.71),
            PublishedError(25.0, None, source="the authors' release"),
            PublishedError(25.57, 8.03, source="torchvision's weights"),
        ),
    ),
    _net(
        "densenet169",
        (6, 12, 32, 32),
        params=14_149_480,
        macs=3_359_843_328,
        errors=(
            PublishedError(23.80, 6.85),
            PublishedError(23.6, None, source="the authors' release"),
        ),
    ),
    _net(
        "densenet201",
        (6, 12, 48, 32),
        params=20_013_928,
        macs=4_291_365_888,
        errors=(
            PublishedError(22.58, 6.34),
            PublishedError(22.5, None, source="the authors' release"),
        ),
    ),
    _net(
        "densenet161",
        (6, 12, 36, 24),
        growth=48,
        params=28_681_000,
        macs=7_727_907_072,
        errors=(
            PublishedError(22.2, None, source="the authors' release"),
            PublishedError(22.86, 6.44, source="torchvision's weights"),
        ),
        departures=("not in the paper: the authors' release of a wider one, k=48",),
    ),
)
