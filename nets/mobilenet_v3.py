"""MobileNetV3: searched inverted residual units, with gates and hard swish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._registry import BatchNorm, Net, PublishedError, Tensor
from .inverted_residual import Inverted, divisible, inverted_residual

if TYPE_CHECKING:
    from ._builder import Builder

PAPER = "A. Howard et al.: Searching for MobileNetV3. ICCV 2019, arXiv:1905.02244"


def bneck(
    size: int, expanded: int, outputs: int, gated: bool, function: str, strides: int
) -> Inverted:
    """One row of tables 1 and 2; the gate sees a quarter of the expanded maps (section 5.3)."""
    return Inverted(
        size,
        expanded,
        outputs,
        strides,
        squeeze=divisible(expanded / 4) if gated else 0,
        activation={"RE": "relu", "HS": "hard_swish"}[function],
        gate="hard_sigmoid",
    )


# Table 1: kernel, exp size, #out, SE, NL, s.
LARGE = (
    bneck(3, 16, 16, False, "RE", 1),  # 112
    bneck(3, 64, 24, False, "RE", 2),  # 56
    bneck(3, 72, 24, False, "RE", 1),
    bneck(5, 72, 40, True, "RE", 2),  # 28
    bneck(5, 120, 40, True, "RE", 1),
    bneck(5, 120, 40, True, "RE", 1),
    bneck(3, 240, 80, False, "HS", 2),  # 14
    bneck(3, 200, 80, False, "HS", 1),
    bneck(3, 184, 80, False, "HS", 1),
    bneck(3, 184, 80, False, "HS", 1),
    bneck(3, 480, 112, True, "HS", 1),
    bneck(3, 672, 112, True, "HS", 1),
    bneck(5, 672, 160, True, "HS", 2),  # 7
    bneck(5, 960, 160, True, "HS", 1),
    bneck(5, 960, 160, True, "HS", 1),
)
# Table 2.
SMALL = (
    bneck(3, 16, 16, True, "RE", 2),  # 56
    bneck(3, 72, 24, False, "RE", 2),  # 28
    bneck(3, 88, 24, False, "RE", 1),
    bneck(5, 96, 40, True, "HS", 2),  # 14
    bneck(5, 240, 40, True, "HS", 1),
    bneck(5, 240, 40, True, "HS", 1),
    bneck(5, 120, 48, True, "HS", 1),
    bneck(5, 144, 48, True, "HS", 1),
    bneck(5, 288, 96, True, "HS", 2),  # 7
    bneck(5, 576, 96, True, "HS", 1),
    bneck(5, 576, 96, True, "HS", 1),
)


def mobilenet_v3(
    nn: Builder,
    x: Tensor,
    num_classes: int,
    *,
    units: tuple[Inverted, ...],
    hidden: int,
    dropout: float = 0.2,
) -> Tensor:
    """Tables 1 and 2; initialiser and padding are TF-slim's, the authors' release."""
    nn = nn.using(kernel_initializer=nn.truncated_normal(0.09))
    x = nn.conv_bn(x, 16, 3, 2, pad="same", name="conv1")  # 112
    x = nn.activation(x, "hard_swish", name="conv1_hard_swish")
    for index, unit in enumerate(units, start=1):
        x = inverted_residual(nn, x, unit, name=f"bneck{index}")
    x = nn.conv_bn(x, 6 * x.shape[-1], 1, name="conv2")  # 7
    x = nn.activation(x, "hard_swish", name="conv2_hard_swish")
    x = nn.global_avg_pool(x, name="pool")
    x = nn.fc(x, hidden, activation="hard_swish", name="fc1")
    x = nn.dropout(x, dropout, name="drop")
    return nn.fc(x, num_classes, name="fc2")


def _net(
    name: str, units: tuple[Inverted, ...], hidden: int, ends: dict[str, int], **facts: Any
) -> Net:
    """``ends``: the units at whose ends the feature maps are pinned, and the sides there."""
    outputs = {f"bneck{index}": unit.outputs for index, unit in enumerate(units, start=1)}
    last = units[-1].outputs
    return Net(
        name=name,
        body=mobilenet_v3,
        arguments={"units": units, "hidden": hidden},
        paper=PAPER,
        year=2019,
        image_size=224,
        feature_maps={"conv1_hard_swish": (112, 16)}
        | {unit: (side, outputs[unit]) for unit, side in ends.items()}
        | {"conv2_hard_swish": (7, 6 * last)},
        batch_norm=BatchNorm(momentum=0.99, epsilon=1e-3),  # section 6.1.1, and TF-slim's epsilon
        decay="kernels_but_depthwise",  # TF-slim's
        **facts,
    )


NETS = (
    _net(
        "mobilenet_v3_large",
        LARGE,
        1280,
        {"bneck1": 112, "bneck3": 56, "bneck6": 28, "bneck10": 14, "bneck12": 14, "bneck15": 7},
        params=5_483_032,
        macs=216_589_760,
        errors=(
            PublishedError(24.8, None),
            PublishedError(25.96, 8.66, source="torchvision's weights"),
        ),
    ),
    _net(
        "mobilenet_v3_small",
        SMALL,
        1024,
        {"bneck3": 28, "bneck6": 14, "bneck8": 14, "bneck11": 7},
        params=2_542_856,
        macs=56_510_400,
        errors=(
            PublishedError(32.5, None, source="TF-slim's weights"),
            PublishedError(32.33, 12.60, source="torchvision's weights"),
        ),
        departures=(
            "table 2's 1024 hidden units, which TF-slim and torchvision have; the 2.9 million "
            "parameters that the paper counts need 1280",
        ),
    ),
)
