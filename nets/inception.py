"""The batch-normalised Inception nets: BN-Inception (Inception-v2) and Inception-v3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._registry import BatchNorm, Net, PublishedError, Tensor

if TYPE_CHECKING:
    from ._builder import Builder

PAPER_BN = (
    "S. Ioffe, C. Szegedy: Batch Normalization: Accelerating Deep Network Training by Reducing "
    "Internal Covariate Shift. ICML 2015, arXiv:1502.03167"
)
PAPER_V3 = (
    "C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna: Rethinking the Inception "
    "Architecture for Computer Vision. CVPR 2016, arXiv:1512.00567"
)

# BN-Inception, figure 5: #1x1, #3x3 reduce, #3x3, #double 3x3 reduce, #double 3x3, pooling,
# #pool proj. Modules without 1x1 halve the sides and pass the pooled input on as it is.
MODULES: dict[str, tuple[int, int, int, int, int, str, int]] = {
    "3a": (64, 64, 64, 64, 96, "avg", 32),  # 256
    "3b": (64, 64, 96, 64, 96, "avg", 64),  # 320
    "3c": (0, 128, 160, 64, 96, "max", 0),  # 576
    "4a": (224, 64, 96, 96, 128, "avg", 128),  # 576
    "4b": (192, 96, 128, 96, 128, "avg", 128),  # 576
    "4c": (160, 128, 160, 128, 160, "avg", 128),  # 608
    "4d": (96, 128, 192, 160, 192, "avg", 128),  # 608
    "4e": (0, 128, 192, 192, 256, "max", 0),  # 1056
    "5a": (352, 192, 320, 160, 224, "avg", 128),  # 1024
    "5b": (352, 192, 320, 192, 224, "max", 128),  # 1024
}


def bn_inception_module(nn: Builder, x: Tensor, module: str) -> Tensor:
    """One row of figure 5: the 5x5 convolution of GoogLeNet has become two of 3x3."""
    n1x1, reduce3, n3x3, reduce_double, n_double, pooling, projection = MODULES[module]
    name = f"inception_{module}"
    strides = 1 if n1x1 else 2
    branches = [nn.conv_bn_relu(x, n1x1, 1, name=f"{name}_1x1")] if n1x1 else []
    y = nn.conv_bn_relu(x, reduce3, 1, name=f"{name}_3x3_reduce")
    branches.append(nn.conv_bn_relu(y, n3x3, 3, strides, pad=1, name=f"{name}_3x3"))
    y = nn.conv_bn_relu(x, reduce_double, 1, name=f"{name}_double3x3_reduce")
    y = nn.conv_bn_relu(y, n_double, 3, pad=1, name=f"{name}_double3x3_1")
    branches.append(nn.conv_bn_relu(y, n_double, 3, strides, pad=1, name=f"{name}_double3x3_2"))
    if strides == 2:
        branches.append(nn.max_pool(x, 3, 2, pad="same", name=f"{name}_pool"))
    else:
        if pooling == "avg":
            y = nn.avg_pool(x, 3, 1, same=True, name=f"{name}_pool")
        else:
            y = nn.max_pool(x, 3, 1, pad=1, name=f"{name}_pool")
        branches.append(nn.conv_bn_relu(y, projection, 1, name=f"{name}_pool_proj"))
    return nn.concat(branches, name=name)


def bn_inception(nn: Builder, x: Tensor, num_classes: int) -> Tensor:
    """Figure 5."""
    nn = nn.using(kernel_initializer=nn.variance_scaling(2.0, "fan_in", "truncated_normal"))
    x = nn.conv_bn_relu(x, 64, 7, 2, pad=3, name="conv1")  # 112
    x = nn.max_pool(x, 3, 2, pad="ceil", name="pool1")  # 56
    x = nn.conv_bn_relu(x, 64, 1, name="conv2_reduce")  # 56
    x = nn.conv_bn_relu(x, 192, 3, pad=1, name="conv2")  # 56
    x = nn.max_pool(x, 3, 2, pad="ceil", name="pool2")  # 28
    for module in MODULES:  # 28, 14, 7
        x = bn_inception_module(nn, x, module)
    x = nn.global_avg_pool(x, name="pool5")
    return nn.fc(x, num_classes, name="classifier")


def stem(nn: Builder, x: Tensor) -> Tensor:
    """The convolutions before the first Inception (table 1)."""
    x = nn.conv_bn_relu(x, 32, 3, 2, name="conv1a")  # 149
    x = nn.conv_bn_relu(x, 32, 3, name="conv2a")  # 147
    x = nn.conv_bn_relu(x, 64, 3, pad=1, name="conv2b")  # 147
    x = nn.max_pool(x, 3, 2, name="pool3a")  # 73
    x = nn.conv_bn_relu(x, 80, 1, name="conv3b")  # 73
    x = nn.conv_bn_relu(x, 192, 3, name="conv4a")  # 71
    return nn.max_pool(x, 3, 2, name="pool5a")  # 35


def inception_v3(
    nn: Builder,
    x: Tensor,
    num_classes: int,
    *,
    count_zeros: bool,
    dropout: float = 0.2,
    auxiliary: bool = True,
) -> Tensor:
    """Table 1 and figures 5 to 7, in the details of TF-slim.

    ``count_zeros``: whether padding counts in the means of the average poolings.
    """
    nn = nn.using(kernel_initializer=nn.variance_scaling(2.0, "fan_in", "truncated_normal"))
    x = stem(nn, x)  # 35
    for name, projection in (("mixed_5b", 32), ("mixed_5c", 64), ("mixed_5d", 64)):
        x = _module_35(nn, x, projection, count_zeros, name)  # 35
    x = _reduction_17(nn, x, "mixed_6a")  # 17
    for name, width in (
        ("mixed_6b", 128),
        ("mixed_6c", 160),
        ("mixed_6d", 160),
        ("mixed_6e", 192),
    ):
        x = _module_17(nn, x, width, count_zeros, name)  # 17
    before_reduction = x
    x = _reduction_8(nn, x, "mixed_7a")  # 8
    for name in ("mixed_7b", "mixed_7c"):
        x = _module_8(nn, x, count_zeros, name)  # 8
    x = nn.global_avg_pool(x, name="pool8")
    x = nn.dropout(x, dropout, name="drop8")
    logits = nn.fc(x, num_classes, kernel_initializer=nn.truncated_normal(0.1), name="classifier")
    if not auxiliary:
        return logits
    return {"logits": logits, "aux1": _auxiliary_head(nn, before_reduction, num_classes)}


def _auxiliary_head(nn: Builder, x: Tensor, num_classes: int) -> Tensor:
    """Figure 8, with the initialisers of TF-slim."""
    small = nn.using(kernel_initializer=nn.truncated_normal(0.01))
    x = nn.avg_pool(x, 5, 3, name="aux1_pool")  # 5
    x = nn.conv_bn_relu(x, 128, 1, name="aux1_conv1")
    x = small.conv_bn_relu(x, 768, 5, name="aux1_conv2")  # 1
    x = nn.global_avg_pool(x, name="aux1_pool2")
    return nn.fc(
        x, num_classes, kernel_initializer=nn.truncated_normal(0.001), name="aux1_classifier"
    )


def _pooled(nn: Builder, x: Tensor, width: int, count_zeros: bool, name: str) -> Tensor:
    x = nn.avg_pool(x, 3, 1, same=True, count_zeros=count_zeros, name=f"{name}_pool")
    return nn.conv_bn_relu(x, width, 1, name=f"{name}_pool_proj")


def _factorised(
    nn: Builder, x: Tensor, widths: tuple[int, ...], first: tuple[int, int], name: str
) -> Tensor:
    """Convolutions n x 1 and 1 x n in turn, beginning with the kernel ``first``, sides kept."""
    size = first
    for index, width in enumerate(widths, start=1):
        x = nn.conv_bn_relu(x, width, size, pad="same", name=f"{name}_{index}_{size[0]}x{size[1]}")
        size = (size[1], size[0])
    return x


def _module_35(nn: Builder, x: Tensor, projection: int, count_zeros: bool, name: str) -> Tensor:
    """Figure 5, but for the 5x5 branch that TF-slim keeps."""
    point = nn.conv_bn_relu(x, 64, 1, name=f"{name}_1x1")
    large = nn.conv_bn_relu(x, 48, 1, name=f"{name}_5x5_reduce")
    large = nn.conv_bn_relu(large, 64, 5, pad=2, name=f"{name}_5x5")
    double = nn.conv_bn_relu(x, 64, 1, name=f"{name}_double3x3_reduce")
    double = nn.conv_bn_relu(double, 96, 3, pad=1, name=f"{name}_double3x3_1")
    double = nn.conv_bn_relu(double, 96, 3, pad=1, name=f"{name}_double3x3_2")
    pooled = _pooled(nn, x, projection, count_zeros, name)
    return nn.concat([point, large, double, pooled], name=name)


def _reduction_17(nn: Builder, x: Tensor, name: str) -> Tensor:
    """Figure 10: convolutions and pooling of stride 2 side by side."""
    small = nn.conv_bn_relu(x, 384, 3, 2, name=f"{name}_3x3")
    double = nn.conv_bn_relu(x, 64, 1, name=f"{name}_double3x3_reduce")
    double = nn.conv_bn_relu(double, 96, 3, pad=1, name=f"{name}_double3x3_1")
    double = nn.conv_bn_relu(double, 96, 3, 2, name=f"{name}_double3x3_2")
    pooled = nn.max_pool(x, 3, 2, name=f"{name}_pool")
    return nn.concat([small, double, pooled], name=name)


def _module_17(nn: Builder, x: Tensor, width: int, count_zeros: bool, name: str) -> Tensor:
    """Figure 6 with n = 7."""
    point = nn.conv_bn_relu(x, 192, 1, name=f"{name}_1x1")
    single = nn.conv_bn_relu(x, width, 1, name=f"{name}_7x7_reduce")
    single = _factorised(nn, single, (width, 192), (1, 7), f"{name}_7x7")
    double = nn.conv_bn_relu(x, width, 1, name=f"{name}_double7x7_reduce")
    double = _factorised(nn, double, (width, width, width, 192), (7, 1), f"{name}_double7x7")
    pooled = _pooled(nn, x, 192, count_zeros, name)
    return nn.concat([point, single, double, pooled], name=name)


def _reduction_8(nn: Builder, x: Tensor, name: str) -> Tensor:
    small = nn.conv_bn_relu(x, 192, 1, name=f"{name}_3x3_reduce")
    small = nn.conv_bn_relu(small, 320, 3, 2, name=f"{name}_3x3")
    large = nn.conv_bn_relu(x, 192, 1, name=f"{name}_7x7_reduce")
    large = _factorised(nn, large, (192, 192), (1, 7), f"{name}_7x7")
    large = nn.conv_bn_relu(large, 192, 3, 2, name=f"{name}_7x7_3x3")
    pooled = nn.max_pool(x, 3, 2, name=f"{name}_pool")
    return nn.concat([small, large, pooled], name=name)


def _module_8(nn: Builder, x: Tensor, count_zeros: bool, name: str) -> Tensor:
    """Figure 7: 1x3 and 3x1 side by side."""
    point = nn.conv_bn_relu(x, 320, 1, name=f"{name}_1x1")
    y = nn.conv_bn_relu(x, 384, 1, name=f"{name}_3x3_reduce")
    wide = nn.conv_bn_relu(y, 384, (1, 3), pad="same", name=f"{name}_1x3")
    high = nn.conv_bn_relu(y, 384, (3, 1), pad="same", name=f"{name}_3x1")
    y = nn.conv_bn_relu(x, 448, 1, name=f"{name}_double3x3_reduce")
    y = nn.conv_bn_relu(y, 384, 3, pad=1, name=f"{name}_double3x3")
    wide2 = nn.conv_bn_relu(y, 384, (1, 3), pad="same", name=f"{name}_double_1x3")
    high2 = nn.conv_bn_relu(y, 384, (3, 1), pad="same", name=f"{name}_double_3x1")
    pooled = _pooled(nn, x, 192, count_zeros, name)
    return nn.concat([point, wide, high, wide2, high2, pooled], name=name)


def _inception_v3(name: str, *, count_zeros: bool, **facts: Any) -> Net:
    return Net(
        name=name,
        body=inception_v3,
        arguments={"count_zeros": count_zeros},
        paper=PAPER_V3,
        year=2015,
        macs=5_718_899_296,
        image_size=299,
        feature_maps={
            "conv1a_relu": (149, 32),
            "conv2a_relu": (147, 32),
            "conv2b_relu": (147, 64),
            "pool3a": (73, 64),
            "conv3b_relu": (73, 80),
            "conv4a_relu": (71, 192),
            "pool5a": (35, 192),
            "mixed_5b": (35, 256),
            "mixed_5c": (35, 288),
            "mixed_5d": (35, 288),
            "mixed_6a": (17, 768),
            "mixed_6e": (17, 768),
            "mixed_7a": (8, 1280),
            "mixed_7b": (8, 2048),
            "mixed_7c": (8, 2048),
        },
        auxiliary_weights={"aux1": 0.4},  # TF-slim's and torchvision's
        auxiliary_macs=5_683_200,
        **facts,
    )


NETS = (
    Net(
        name="bn_inception",
        body=bn_inception,
        paper=PAPER_BN,
        year=2015,
        params=11_285_224,
        macs=2_032_600_064,
        image_size=224,
        feature_maps={
            "conv1_relu": (112, 64),
            "pool1": (56, 64),
            "conv2_relu": (56, 192),
            "pool2": (28, 192),
            "inception_3a": (28, 256),
            "inception_3b": (28, 320),
            "inception_3c": (14, 576),
            "inception_4a": (14, 576),
            "inception_4b": (14, 576),
            "inception_4c": (14, 608),
            "inception_4d": (14, 608),
            "inception_4e": (7, 1056),
            "inception_5a": (7, 1024),
            "inception_5b": (7, 1024),
        },
        errors=(
            PublishedError(25.2, 7.82),
            PublishedError(21.99, 5.82, "144 crops"),
            PublishedError(20.1, 4.9, "144 crops", nets=6),
        ),
        batch_norm=BatchNorm(momentum=0.9, epsilon=1e-5),
        departures=(
            "figure 5 prints 576 maps for 4c and 4d, where its own columns add up to 608 (1056 for "
            "4e): the columns are built; the text's 13.6 million parameters fit neither",
            "the first convolution is a plain one; the authors had a separable one (footnote 1)",
            "no auxiliary heads, which figure 5 doesn't show; the constants of batch normalisation "
            "and the initialiser (He's) are ours, the paper gives none",
        ),
    ),
    _inception_v3(
        "inception_v3",
        count_zeros=False,
        params=27_143_152,
        auxiliary_params=3_325_800,
        errors=(
            PublishedError(22.0, 6.1, source="TF-slim's weights"),
            PublishedError(22.1, 6.3, source="Keras's weights"),
            PublishedError(21.2, 5.6, subset="those not blacklisted"),
            PublishedError(17.2, None, "144 crops", nets=4),
        ),
        batch_norm=BatchNorm(momentum=0.9997, epsilon=1e-3, scale=False),
        departures=(
            "as in TF-slim, the authors' release, not table 1: one 5x5 convolution stays in the "
            "modules at 35 pixels, the stem ends in 1x1 and 3x3 with pooling, no gammas",
        ),
    ),
    _inception_v3(
        "inception_v3_torchvision",
        count_zeros=True,
        params=27_161_264,
        auxiliary_params=3_326_696,
        errors=(PublishedError(22.71, 6.55, source="torchvision's weights"),),
        batch_norm=BatchNorm(momentum=0.9, epsilon=1e-3),
        departures=(
            "from inception_v3: gammas, and zeros at the borders count in the average poolings",
        ),
    ),
)
