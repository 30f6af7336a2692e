"""AlexNet and its relatives.

``alexnet`` is the net of the 2012 paper, in the two groups of feature maps that were split over two
GPUs: conv2, conv4 and conv5 see only their own half. ``caffenet`` is BVLC's variant of it,
``alexnet_owt`` that of "One weird trick", which most libraries call AlexNet, and ``alexnet_small``
is ours.

Sides of the feature maps stand in the margin, for the net's own input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._registry import Net, PublishedError, ResponseNorm, Tensor

if TYPE_CHECKING:
    from ._builder import Builder

PAPER = (
    "A. Krizhevsky, I. Sutskever, G. E. Hinton: ImageNet Classification with Deep Convolutional "
    "Neural Networks. NIPS 2012"
)
PAPER_OWT = (
    "A. Krizhevsky: One weird trick for parallelizing convolutional neural networks. "
    "arXiv:1404.5997, 2014"
)
PAPER_CAFFE = (
    "Y. Jia et al.: Caffe: Convolutional Architecture for Fast Feature Embedding. "
    "ACM Multimedia 2014, arXiv:1408.5093"
)
# Section 3.3: n, alpha, beta and k. Caffe divides alpha by n, and has k=1.
LRN = ResponseNorm(size=5, alpha=1e-4, beta=0.75, k=2.0)
CAFFE_LRN = ResponseNorm(size=5, alpha=1e-4 / 5, beta=0.75, k=1.0)


def alexnet(
    nn: Builder, x: Tensor, num_classes: int, *, groups: int, dropout: float = 0.5
) -> Tensor:
    """Section 3.5 and figure 2; initialised as in section 5, half of the biases with ones."""
    nn = nn.using(kernel_initializer=nn.normal(0.01))
    x = nn.conv_relu(x, 96, 11, 4, pad="ceil", name="conv1")  # 55
    x = nn.lrn(x, LRN, name="norm1")
    x = nn.max_pool(x, 3, 2, name="pool1")  # 27
    x = nn.conv_relu(x, 256, 5, pad=2, groups=groups, bias_initializer=1.0, name="conv2")  # 27
    x = nn.lrn(x, LRN, name="norm2")
    x = nn.max_pool(x, 3, 2, name="pool2")  # 13
    x = nn.conv_relu(x, 384, 3, pad=1, name="conv3")  # 13
    x = nn.conv_relu(x, 384, 3, pad=1, groups=groups, bias_initializer=1.0, name="conv4")  # 13
    x = nn.conv_relu(x, 256, 3, pad=1, groups=groups, bias_initializer=1.0, name="conv5")  # 13
    x = nn.max_pool(x, 3, 2, name="pool5")  # 6
    x = nn.fc_relu(x, 4096, bias_initializer=1.0, name="fc6")
    x = nn.dropout(x, dropout, name="drop6")
    x = nn.fc_relu(x, 4096, bias_initializer=1.0, name="fc7")
    x = nn.dropout(x, dropout, name="drop7")
    return nn.fc(x, num_classes, name="fc8")


def caffenet(nn: Builder, x: Tensor, num_classes: int, *, dropout: float = 0.5) -> Tensor:
    """BVLC's bvlc_reference_caffenet: each pooling comes before its normalisation."""
    nn = nn.using(kernel_initializer=nn.normal(0.01))
    x = nn.conv_relu(x, 96, 11, 4, name="conv1")  # 55
    x = nn.max_pool(x, 3, 2, pad="ceil", name="pool1")  # 27
    x = nn.lrn(x, CAFFE_LRN, name="norm1")
    x = nn.conv_relu(x, 256, 5, pad=2, groups=2, bias_initializer=1.0, name="conv2")  # 27
    x = nn.max_pool(x, 3, 2, pad="ceil", name="pool2")  # 13
    x = nn.lrn(x, CAFFE_LRN, name="norm2")
    x = nn.conv_relu(x, 384, 3, pad=1, name="conv3")  # 13
    x = nn.conv_relu(x, 384, 3, pad=1, groups=2, bias_initializer=1.0, name="conv4")  # 13
    x = nn.conv_relu(x, 256, 3, pad=1, groups=2, bias_initializer=1.0, name="conv5")  # 13
    x = nn.max_pool(x, 3, 2, pad="ceil", name="pool5")  # 6
    hidden = nn.using(kernel_initializer=nn.normal(0.005), bias_initializer=1.0)
    x = hidden.fc_relu(x, 4096, name="fc6")
    x = nn.dropout(x, dropout, name="drop6")
    x = hidden.fc_relu(x, 4096, name="fc7")
    x = nn.dropout(x, dropout, name="drop7")
    return nn.fc(x, num_classes, name="fc8")


def alexnet_owt(nn: Builder, x: Tensor, num_classes: int, *, dropout: float = 0.5) -> Tensor:
    """One tower of 64 to 384 maps without normalisation, as torchvision has it."""
    nn = nn.using(kernel_initializer=nn.torch_default())
    x = nn.conv_relu(x, 64, 11, 4, pad=2, name="conv1")  # 55
    x = nn.max_pool(x, 3, 2, name="pool1")  # 27
    x = nn.conv_relu(x, 192, 5, pad=2, name="conv2")  # 27
    x = nn.max_pool(x, 3, 2, name="pool2")  # 13
    x = nn.conv_relu(x, 384, 3, pad=1, name="conv3")  # 13
    x = nn.conv_relu(x, 256, 3, pad=1, name="conv4")  # 13
    x = nn.conv_relu(x, 256, 3, pad=1, name="conv5")  # 13
    x = nn.max_pool(x, 3, 2, name="pool5")  # 6
    x = nn.dropout(x, dropout, name="drop5")
    x = nn.fc_relu(x, 4096, name="fc6")
    x = nn.dropout(x, dropout, name="drop6")
    x = nn.fc_relu(x, 4096, name="fc7")
    return nn.fc(x, num_classes, name="fc8")


def alexnet_small(nn: Builder, x: Tensor, num_classes: int, *, dropout: float = 0.5) -> Tensor:
    """One of AlexNet's two towers for 56 pixels: from pool1 on the sides are AlexNet's own."""
    nn = nn.using(kernel_initializer=nn.variance_scaling(2.0, "fan_in", "untruncated_normal"))
    x = nn.conv_relu(x, 48, 5, pad=2, name="conv1")  # 56
    x = nn.max_pool(x, 3, 2, name="pool1")  # 27
    x = nn.lrn(x, LRN, name="norm1")
    x = nn.conv_relu(x, 128, 3, pad=1, name="conv2")  # 27
    x = nn.max_pool(x, 3, 2, name="pool2")  # 13
    x = nn.lrn(x, LRN, name="norm2")
    x = nn.conv_relu(x, 192, 3, pad=1, name="conv3")  # 13
    x = nn.conv_relu(x, 192, 3, pad=1, name="conv4")  # 13
    x = nn.conv_relu(x, 128, 3, pad=1, name="conv5")  # 13
    x = nn.max_pool(x, 3, 2, name="pool5")  # 6
    x = nn.fc_relu(x, 1024, name="fc6")
    x = nn.dropout(x, dropout, name="drop6")
    x = nn.fc_relu(x, 1024, name="fc7")
    x = nn.dropout(x, dropout, name="drop7")
    return nn.fc(x, num_classes, name="fc8")


def _feature_maps(**channels: int) -> dict[str, tuple[int, int]]:
    sides = {"conv1": 55, "pool1": 27, "conv2": 27, "pool2": 13, "pool5": 6}
    return {layer: (sides.get(layer, 13), count) for layer, count in channels.items()}


FEATURE_MAPS = _feature_maps(
    conv1=96, pool1=96, conv2=256, pool2=256, conv3=384, conv4=384, conv5=256, pool5=256
)
CEIL_CONV1 = (
    "224 pixels without padding give 54 positions, not the paper's 55: conv1 keeps the last, "
    "partial window, as the authors' cuda-convnet does; that equals 3 zero pixels at the bottom "
    "and right (227 pixels, Caffe's choice, fit exactly and are not padded)"
)

NETS = (
    Net(
        name="alexnet",
        body=alexnet,
        arguments={"groups": 2},
        paper=PAPER,
        year=2012,
        params=60_965_224,
        macs=724_406_816,
        image_size=224,
        feature_maps=FEATURE_MAPS,
        errors=(
            PublishedError(40.7, 18.2, "10 crops"),
            PublishedError(38.1, 16.4, "10 crops", nets=5),
            PublishedError(42.9, 19.8, source="BVLC's weights"),
        ),
        departures=(CEIL_CONV1,),
    ),
    Net(
        name="alexnet_one_tower",
        body=alexnet,
        arguments={"groups": 1},
        paper=PAPER,
        year=2012,
        params=62_378_344,
        macs=1_135_256_096,
        image_size=224,
        feature_maps=FEATURE_MAPS,
        departures=("no groups: conv2, conv4 and conv5 see all feature maps", CEIL_CONV1),
    ),
    Net(
        name="caffenet",
        body=caffenet,
        paper=PAPER_CAFFE,
        year=2014,
        params=60_965_224,
        macs=724_406_816,
        image_size=227,
        feature_maps=FEATURE_MAPS,
        errors=(PublishedError(42.6, 19.6, source="BVLC's weights"),),
        departures=(
            "from AlexNet: pooling before normalisation, k=1 and alpha/5 in it, 227 pixels, "
            "fc6 and fc7 start from N(0, 0.005)",
        ),
    ),
    Net(
        name="alexnet_owt",
        body=alexnet_owt,
        paper=PAPER_OWT,
        year=2014,
        params=61_100_840,
        macs=714_188_480,
        image_size=224,
        feature_maps=_feature_maps(
            conv1=64, pool1=64, conv2=192, pool2=192, conv3=384, conv4=256, conv5=256, pool5=256
        ),
        errors=(PublishedError(43.48, 20.93, source="torchvision's weights"),),
        departures=(
            "as in torchvision: the paper's own code normalises after conv1 and conv2",
            "biases start at 0, torchvision's at random values within 1/sqrt(fan_in)",
        ),
    ),
    Net(
        name="alexnet_small",
        body=alexnet_small,
        paper=f"ours, after {PAPER}",
        year=2012,
        params=7_627_944,
        macs=189_221_888,
        image_size=56,
        feature_maps={
            "conv1": (56, 48),
            "pool1": (27, 48),
            "conv2": (27, 128),
            "pool2": (13, 128),
            "conv3": (13, 192),
            "conv4": (13, 192),
            "conv5": (13, 128),
            "pool5": (6, 128),
        },
        departures=(
            "for images of 56 to 64 pixels: one of AlexNet's two towers; conv1 is 5x5, stride 1, "
            "conv2 3x3; pooling before normalisation, 1024 hidden units, He's initialisation",
        ),
    ),
)
