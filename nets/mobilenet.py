"""MobileNet (first version): depthwise and pointwise convolutions in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._registry import BatchNorm, Net, PublishedError, Tensor

if TYPE_CHECKING:
    from ._builder import Builder

PAPER = (
    "A. G. Howard et al.: MobileNets: Efficient Convolutional Neural Networks for Mobile Vision "
    "Applications. arXiv:1704.04861, 2017"
)
# Table 1: (output channels, strides) of the separable convolutions.
SEPARABLE = (
    (64, 1),  # 112
    *((128, 2), (128, 1)),  # 56
    *((256, 2), (256, 1)),  # 28
    *((512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1)),  # 14
    *((1024, 2), (1024, 1)),  # 7
)


def mobilenet_v1(
    nn: Builder,
    x: Tensor,
    num_classes: int,
    *,
    width_multiplier: float = 1.0,
    dropout: float = 0.001,
) -> Tensor:
    """Table 1; initialiser, dropout, ReLU6 and padding are TF-slim's, the authors' release."""
    nn = nn.using(kernel_initializer=nn.truncated_normal(0.09))
    x = nn.conv_bn(x, int(32 * width_multiplier), 3, 2, pad="same", name="conv1")  # 112
    x = nn.relu(x, maximum=6.0, name="conv1_relu")
    for index, (width, strides) in enumerate(SEPARABLE, start=2):
        x = nn.depthwise_conv(x, 3, strides, pad="same", name=f"conv{index}_dw")
        x = nn.batch_norm(x, name=f"conv{index}_dw_bn")
        x = nn.relu(x, maximum=6.0, name=f"conv{index}_dw_relu")
        x = nn.conv_bn(x, int(width * width_multiplier), 1, name=f"conv{index}_pw")
        x = nn.relu(x, maximum=6.0, name=f"conv{index}_pw_relu")
    x = nn.global_avg_pool(x, name="pool")
    x = nn.dropout(x, dropout, name="drop")
    return nn.fc(x, num_classes, name="fc")


def _net(name: str, multiplier: float, arguments: dict[str, float], **facts: Any) -> Net:
    return Net(
        name=name,
        body=mobilenet_v1,
        arguments=arguments,
        paper=PAPER,
        year=2017,
        image_size=224,
        feature_maps={
            f"conv{index}_pw_relu": (side, int(width * multiplier))
            for index, side, width in (
                (2, 112, 64),
                (4, 56, 128),
                (6, 28, 256),
                (12, 14, 512),
                (14, 7, 1024),
            )
        },
        # TF-slim's: decay 0.9997, epsilon 0.001.
        batch_norm=BatchNorm(momentum=0.9997, epsilon=1e-3),
        decay="kernels_but_depthwise",  # section 3.2
        departures=(
            "as in TF-slim: ReLU6 for ReLU, and TensorFlow's SAME padding",
            "table 1 prints stride 2 for the last depthwise convolution, whose sizes need 1",
        ),
        **facts,
    )


NETS = (
    _net(
        "mobilenet_v1",
        1.0,
        {},
        params=4_231_976,
        macs=568_740_352,
        errors=(PublishedError(29.1, 10.1, source="TF-slim's weights"),),
    ),
    _net(
        "mobilenet_v1_075",
        0.75,
        {"width_multiplier": 0.75},
        params=2_585_560,
        macs=325_400_448,
        errors=(PublishedError(31.6, 11.8, source="TF-slim's weights"),),
    ),
    _net(
        "mobilenet_v1_050",
        0.50,
        {"width_multiplier": 0.50},
        params=1_331_592,
        macs=149_497_088,
        errors=(PublishedError(36.7, 15.1, source="TF-slim's weights"),),
    ),
    _net(
        "mobilenet_v1_025",
        0.25,
        {"width_multiplier": 0.25},
        params=470_072,
        macs=41_030_272,
        errors=(PublishedError(50.2, 25.8, source="TF-slim's weights"),),
    ),
)
