"""Inception-v4: the Inception of 2016 without residual connections, in the details of TF-slim."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._registry import BatchNorm, Net, PublishedError, Tensor

if TYPE_CHECKING:
    from ._builder import Builder

PAPER = (
    "C. Szegedy, S. Ioffe, V. Vanhoucke, A. Alemi: Inception-v4, Inception-ResNet and the Impact "
    "of Residual Connections on Learning. AAAI 2017, arXiv:1602.07261"
)
Size = int | tuple[int, int]


def branch(nn: Builder, x: Tensor, name: str, *convs: tuple[int, Size], strides: int = 1) -> Tensor:
    """Convolutions (maps, kernel) one after the other; a strided last one is not padded."""
    for index, (width, size) in enumerate(convs, start=1):
        last = strides if index == len(convs) else 1
        pad = "same" if last == 1 else 0
        x = nn.conv_bn_relu(x, width, size, last, pad=pad, name=f"{name}_{index}")
    return x


def stem(nn: Builder, x: Tensor) -> Tensor:
    """Figure 3."""
    x = nn.conv_bn_relu(x, 32, 3, 2, name="conv1a")  # 149
    x = nn.conv_bn_relu(x, 32, 3, name="conv2a")  # 147
    x = nn.conv_bn_relu(x, 64, 3, pad=1, name="conv2b")  # 147
    pooled = nn.max_pool(x, 3, 2, name="mixed_3a_pool")
    strided = nn.conv_bn_relu(x, 96, 3, 2, name="mixed_3a_3x3")
    x = nn.concat([pooled, strided], name="mixed_3a")  # 73
    short = branch(nn, x, "mixed_4a_short", (64, 1))
    short = nn.conv_bn_relu(short, 96, 3, name="mixed_4a_short_3x3")
    long = branch(nn, x, "mixed_4a_long", (64, 1), (64, (1, 7)), (64, (7, 1)))
    long = nn.conv_bn_relu(long, 96, 3, name="mixed_4a_long_3x3")
    x = nn.concat([short, long], name="mixed_4a")  # 71
    strided = nn.conv_bn_relu(x, 192, 3, 2, name="mixed_5a_3x3")
    pooled = nn.max_pool(x, 3, 2, name="mixed_5a_pool")
    return nn.concat([strided, pooled], name="mixed_5a")  # 35


def pooled(nn: Builder, x: Tensor, width: int, name: str) -> Tensor:
    """Average pooling, and a 1x1 convolution."""
    x = nn.avg_pool(x, 3, 1, same=True, name=f"{name}_pool")
    return nn.conv_bn_relu(x, width, 1, name=f"{name}_pool_proj")


def inception_a(nn: Builder, x: Tensor, name: str) -> Tensor:
    """Figure 4."""
    point = branch(nn, x, f"{name}_1x1", (96, 1))
    single = branch(nn, x, f"{name}_3x3", (64, 1), (96, 3))
    double = branch(nn, x, f"{name}_double3x3", (64, 1), (96, 3), (96, 3))
    return nn.concat([point, single, double, pooled(nn, x, 96, name)], name=name)


def reduction_a(nn: Builder, x: Tensor, name: str) -> Tensor:
    """Figure 7, with k=192, l=224, m=256 and n=384 (table 1)."""
    single = branch(nn, x, f"{name}_3x3", (384, 3), strides=2)
    double = branch(nn, x, f"{name}_double3x3", (192, 1), (224, 3), (256, 3), strides=2)
    return nn.concat([single, double, nn.max_pool(x, 3, 2, name=f"{name}_pool")], name=name)


def inception_b(nn: Builder, x: Tensor, name: str) -> Tensor:
    """Figure 5."""
    wide, high = (1, 7), (7, 1)
    point = branch(nn, x, f"{name}_1x1", (384, 1))
    single = branch(nn, x, f"{name}_7x7", (192, 1), (224, wide), (256, high))
    double = branch(
        nn, x, f"{name}_double7x7", (192, 1), (192, high), (224, wide), (224, high), (256, wide)
    )
    return nn.concat([point, single, double, pooled(nn, x, 128, name)], name=name)


def reduction_b(nn: Builder, x: Tensor, name: str) -> Tensor:
    """Figure 8."""
    single = branch(nn, x, f"{name}_3x3", (192, 1), (192, 3), strides=2)
    large = branch(
        nn, x, f"{name}_7x7", (256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3), strides=2
    )
    return nn.concat([single, large, nn.max_pool(x, 3, 2, name=f"{name}_pool")], name=name)


def inception_c(nn: Builder, x: Tensor, name: str) -> Tensor:
    """Figure 6: 1x3 and 3x1 side by side."""
    wide, high = (1, 3), (3, 1)
    point = branch(nn, x, f"{name}_1x1", (256, 1))
    single = branch(nn, x, f"{name}_3x3", (384, 1))
    double = branch(nn, x, f"{name}_double3x3", (384, 1), (448, high), (512, wide))
    ends = [
        branch(nn, y, f"{name}_{of}_{size[0]}x{size[1]}", (256, size))
        for of, y in (("3x3", single), ("double3x3", double))
        for size in (wide, high)
    ]
    return nn.concat([point, *ends, pooled(nn, x, 256, name)], name=name)


def inception_v4(
    nn: Builder, x: Tensor, num_classes: int, *, dropout: float = 0.2, auxiliary: bool = True
) -> Tensor:
    """Figure 9; initialisers and the auxiliary head are TF-slim's."""
    nn = nn.using(kernel_initializer=nn.variance_scaling(2.0, "fan_in", "truncated_normal"))
    x = stem(nn, x)  # 35
    for letter in "bcde":
        x = inception_a(nn, x, f"mixed_5{letter}")  # 35
    x = reduction_a(nn, x, "mixed_6a")  # 17
    for letter in "bcdefgh":
        x = inception_b(nn, x, f"mixed_6{letter}")  # 17
    before_reduction = x
    x = reduction_b(nn, x, "mixed_7a")  # 8
    for letter in "bcd":
        x = inception_c(nn, x, f"mixed_7{letter}")  # 8
    logits = classifier(nn, x, num_classes, dropout)
    if not auxiliary:
        return logits
    return {"logits": logits, "aux1": auxiliary_head(nn, before_reduction, num_classes)}


def classifier(nn: Builder, x: Tensor, num_classes: int, dropout: float) -> Tensor:
    """The ends of figures 9 and 15: the mean of each map, dropout, and a linear layer."""
    x = nn.global_avg_pool(x, name="pool8")
    x = nn.dropout(x, dropout, name="drop8")
    return nn.fc(x, num_classes, name="classifier")


def auxiliary_head(nn: Builder, x: Tensor, num_classes: int) -> Tensor:
    """TF-slim's, on the feature maps of 17x17."""
    x = nn.avg_pool(x, 5, 3, name="aux1_pool")  # 5
    x = nn.conv_bn_relu(x, 128, 1, name="aux1_conv1")
    x = nn.conv_bn_relu(x, 768, 5, name="aux1_conv2")  # 1
    x = nn.global_avg_pool(x, name="aux1_pool2")
    return nn.fc(x, num_classes, name="aux1_classifier")


NETS = (
    Net(
        name="inception_v4",
        body=inception_v4,
        paper=PAPER,
        year=2016,
        params=46_006_800,
        macs=12_260_477_024,
        image_size=299,
        feature_maps={
            "conv2b_relu": (147, 64),
            "mixed_3a": (73, 160),
            "mixed_4a": (71, 192),
            "mixed_5a": (35, 384),
            "mixed_5e": (35, 384),
            "mixed_6a": (17, 1024),
            "mixed_6h": (17, 1024),
            "mixed_7a": (8, 1536),
            "mixed_7d": (8, 1536),
        },
        errors=(PublishedError(19.8, 4.8, source="TF-slim's weights"),),
        batch_norm=BatchNorm(momentum=0.9997, epsilon=1e-3, scale=False),  # TF-slim's
        auxiliary_weights={"aux1": 0.4},  # TF-slim's
        auxiliary_params=3_358_568,
        auxiliary_macs=6_502_400,
        departures=("an auxiliary head, as in TF-slim; figure 9 shows none",),
    ),
)
