"""DeiT: ViT trained on ILSVRC alone, with a second token that learns from a teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._registry import Net, PublishedError, Tensor
from .transformer import Encoder, encoder, patches

if TYPE_CHECKING:
    from ._builder import Builder

PAPER = (
    "H. Touvron, M. Cord, M. Douze, F. Massa, A. Sablayrolles, H. Jegou: Training data-efficient "
    "image transformers & distillation through attention. ICML 2021, arXiv:2012.12877"
)
# Table 1.
TINY = Encoder(width=192, layers=12, heads=3)
SMALL = Encoder(width=384, layers=12, heads=6)
BASE = Encoder(width=768, layers=12, heads=12)


def deit(
    nn: Builder,
    x: Tensor,
    num_classes: int,
    *,
    sizes: Encoder,
    distilled: bool,
    positions_at: int | None = None,
    stochastic_depth: float = 0.1,
) -> Tensor | dict[str, Tensor]:
    """Section 3, and 4 where ``distilled``: a second token with a head of its own.

    In training the two heads' logits come out apart, in evaluation 'logits' is their mean.
    Positions are learned on the grid of images of ``positions_at`` pixels a side, the net's own
    size where None, and interpolated for others (section 3, "Fixing the positional encoding").
    """
    nn = nn.using(kernel_initializer=nn.truncated_normal(0.02))
    tokens = 2 if distilled else 1
    shown = nn.grid(x, sizes.patch)
    side = (positions_at or nn.net.image_size) // sizes.patch
    x = patches(nn, x, sizes, nn.torch_default())
    x = nn.learned_tokens(x, tokens, initializer=nn.kernel_initializer, name="class_token")
    x = nn.positions(x, (side, side), shown, initializer=nn.kernel_initializer, name="positions")
    x = encoder(nn, x, sizes, stochastic_depth=stochastic_depth)
    logits = nn.fc(nn.token(x, 0, name="first_token"), num_classes, name="head")
    if not distilled:
        return logits
    taught = nn.fc(nn.token(x, 1, name="second_token"), num_classes, name="head_distillation")
    return {
        "logits": nn.mean_in_evaluation(logits, taught, name="heads"),
        "distillation": taught,
    }


def _net(
    name: str, sizes: Encoder, errors: tuple[float, float], *, distilled: bool = False, **facts: Any
) -> Net:
    return Net(
        name=name,
        body=deit,
        arguments={"sizes": sizes, "distilled": distilled},
        paper=PAPER,
        year=2020,
        image_size=224,
        feature_maps={"patches": (14, sizes.width)},
        errors=(PublishedError(*errors, source="the authors' release"),),
        auxiliary_weights={"distillation": 1.0} if distilled else {},
        **facts,
    )


NETS = (
    _net("deit_tiny", TINY, (27.8, 8.9), params=5_717_416, macs=1_253_683_200),
    _net("deit_small", SMALL, (20.1, 5.0), params=22_050_664, macs=4_598_882_304),
    _net("deit_base", BASE, (18.2, 4.4), params=86_567_656, macs=17_563_828_224),
    _net(
        "deit_tiny_distilled",
        TINY,
        (25.5, 8.1),
        distilled=True,
        params=5_910_800,
        macs=1_261_003_776,
    ),
    _net(
        "deit_small_distilled",
        SMALL,
        (18.8, 4.6),
        distilled=True,
        params=22_436_432,
        macs=4_624_140_288,
    ),
    _net(
        "deit_base_distilled",
        BASE,
        (16.6, 3.5),
        distilled=True,
        params=87_338_192,
        macs=17_656_811_520,
    ),
)
