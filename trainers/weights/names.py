"""Which of our layers each layer of a published net is, family by family.

Sources: keras.applications (Keras 3), torchvision's state dicts, the authors' SqueezeNet. Where a
published net computes something else than ours of nearly the same name, it is refused with the
reason: shapes alone would not tell.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import nets
from nets.residual import unit_name
from trainers.weights import convolutional_names, transformer_names
from trainers.weights.files import Form
from trainers.weights.origin import CAFFE, SQUEEZENET, TF, TORCH, Names, Origin

_INCEPTION_V3_PARTS = {
    "35": "1x1 5x5_reduce 5x5 double3x3_reduce double3x3_1 double3x3_2 pool_proj",
    "17 reduction": "3x3 double3x3_reduce double3x3_1 double3x3_2",
    "17": "1x1 7x7_reduce 7x7_1_1x7 7x7_2_7x1 double7x7_reduce double7x7_1_7x1 double7x7_2_1x7 "
    "double7x7_3_7x1 double7x7_4_1x7 pool_proj",
    "8 reduction": "3x3_reduce 3x3 7x7_reduce 7x7_1_1x7 7x7_2_7x1 7x7_3x3",
    "8": "1x1 3x3_reduce 1x3 3x1 double3x3_reduce double3x3 double_1x3 double_3x1 pool_proj",
}
_TORCHVISION_INCEPTION_PARTS = {
    "35": "branch1x1 branch5x5_1 branch5x5_2 branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3 "
    "branch_pool",
    "17 reduction": "branch3x3 branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3",
    "17": "branch1x1 branch7x7_1 branch7x7_2 branch7x7_3 branch7x7dbl_1 branch7x7dbl_2 "
    "branch7x7dbl_3 branch7x7dbl_4 branch7x7dbl_5 branch_pool",
    "8 reduction": "branch3x3_1 branch3x3_2 branch7x7x3_1 branch7x7x3_2 branch7x7x3_3 "
    "branch7x7x3_4",
    "8": "branch1x1 branch3x3_1 branch3x3_2a branch3x3_2b branch3x3dbl_1 branch3x3dbl_2 "
    "branch3x3dbl_3a branch3x3dbl_3b branch_pool",
}
_INCEPTION_V3_MODULES = {
    **dict.fromkeys(("5b", "5c", "5d"), "35"),
    "6a": "17 reduction",
    **dict.fromkeys(("6b", "6c", "6d", "6e"), "17"),
    "7a": "8 reduction",
    **dict.fromkeys(("7b", "7c"), "8"),
}
_INCEPTION_V3_STEM = {
    "Conv2d_1a_3x3": "conv1a",
    "Conv2d_2a_3x3": "conv2a",
    "Conv2d_2b_3x3": "conv2b",
    "Conv2d_3b_1x1": "conv3b",
    "Conv2d_4a_3x3": "conv4a",
}


def _units(net: nets.Net) -> Iterator[tuple[int, int, str]]:
    """(stage from 1, unit from 0, our name) of every residual unit."""
    for stage, count in enumerate(net.arguments["units"]):
        for unit in range(count):
            yield stage + 1, unit, unit_name(stage, unit, count)


def _keras_resnet(net: nets.Net) -> Names:
    names = {"conv1_conv": "conv1", "conv1_bn": "conv1_bn", "predictions": "fc"}
    for stage, unit, ours in _units(net):
        theirs = f"conv{stage + 1}_block{unit + 1}"
        for index, branch in enumerate(("branch1", "branch2a", "branch2b", "branch2c")):
            names[f"{theirs}_{index}_conv"] = f"{ours}_{branch}"
            names[f"{theirs}_{index}_bn"] = f"{ours}_{branch}_bn"
    return names


def _keras_resnet_v2(net: nets.Net) -> Names:
    names = _keras_resnet(net) | {"post_bn": "bn5"}
    for stage, unit, ours in _units(net):
        names[f"conv{stage + 1}_block{unit + 1}_preact_bn"] = f"{ours}_bn"
    return names


def _keras_vgg(net: nets.Net) -> Names:
    names = {"fc1": "fc6", "fc2": "fc7", "predictions": "fc8"}
    for stage, sizes in enumerate(net.arguments["stages"], start=1):
        for index in range(1, len(sizes) + 1):
            names[f"block{stage}_conv{index}"] = f"conv{stage}_{index}"
    return names


def _keras_densenet(net: nets.Net) -> Names:
    names = {
        "conv1_conv": "conv1",
        "conv1/conv": "conv1",
        "conv1_bn": "conv1_bn",
        "conv1/bn": "conv1_bn",
        "bn": "bn",
        "predictions": "fc",
    }
    for block, layers in enumerate(net.arguments["blocks"], start=1):
        for layer in range(1, layers + 1):
            theirs, ours = f"conv{block + 1}_block{layer}", f"dense{block}_{layer}"
            names[f"{theirs}_0_bn"], names[f"{theirs}_1_conv"] = f"{ours}_bn1", f"{ours}_conv1"
            names[f"{theirs}_1_bn"], names[f"{theirs}_2_conv"] = f"{ours}_bn2", f"{ours}_conv2"
        names[f"pool{block + 1}_bn"] = f"transition{block}_bn"
        names[f"pool{block + 1}_conv"] = f"transition{block}_conv"
    return names


def _keras_mobilenet(net: nets.Net) -> Names:
    names = {"conv1": "conv1", "conv1_bn": "conv1_bn", "conv_preds": "fc"}
    for index in range(1, 14):
        for part in ("dw", "pw"):
            names[f"conv_{part}_{index}"] = f"conv{index + 1}_{part}"
            names[f"conv_{part}_{index}_bn"] = f"conv{index + 1}_{part}_bn"
    return names


def _inception_v3_convolutions() -> list[str]:
    names = list(_INCEPTION_V3_STEM.values())
    for module, kind in _INCEPTION_V3_MODULES.items():
        names += [f"mixed_{module}_{part}" for part in _INCEPTION_V3_PARTS[kind].split()]
    return names


def _keras_inception_v3(net: nets.Net) -> Names:
    """Keras numbers these layers in the order in which they are made; see `numbered_from_zero`."""
    names = {"predictions": "classifier"}
    for index, ours in enumerate(_inception_v3_convolutions()):
        suffix = f"_{index}" if index else ""
        names[f"conv2d{suffix}"] = ours
        names[f"batch_normalization{suffix}"] = f"{ours}_bn"
    return names


def _torchvision_resnet(net: nets.Net) -> Names:
    names = {"conv1": "conv1", "bn1": "conv1_bn", "fc": "fc"}
    for stage, unit, ours in _units(net):
        theirs = f"layer{stage}.{unit}"
        for index, letter in enumerate("abc", start=1):
            names[f"{theirs}.conv{index}"] = f"{ours}_branch2{letter}"
            names[f"{theirs}.bn{index}"] = f"{ours}_branch2{letter}_bn"
        names[f"{theirs}.downsample.0"] = f"{ours}_branch1"
        names[f"{theirs}.downsample.1"] = f"{ours}_branch1_bn"
    return names


def _torchvision_vgg(net: nets.Net) -> Names:
    names, place = {"classifier.0": "fc6", "classifier.3": "fc7", "classifier.6": "fc8"}, 0
    for stage, sizes in enumerate(net.arguments["stages"], start=1):
        for index in range(1, len(sizes) + 1):
            names[f"features.{place}"] = f"conv{stage}_{index}"
            place += 2  # the convolution and its ReLU
        place += 1  # the pooling
    return names


def _torchvision_alexnet(net: nets.Net) -> Names:
    theirs = [f"features.{place}" for place in (0, 3, 6, 8, 10)]
    theirs += [f"classifier.{place}" for place in (1, 4, 6)]
    ours = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
    return dict(zip(theirs, ours, strict=True))


def _torchvision_squeezenet(net: nets.Net) -> Names:
    first = net.name == "squeezenet1_0"
    places = (3, 4, 5, 7, 8, 9, 10, 12) if first else (3, 4, 6, 7, 9, 10, 11, 12)
    names = {"features.0": "conv1", "classifier.1": "conv10"}
    for fire, place in enumerate(places, start=2):
        for part in ("squeeze", "expand1x1", "expand3x3"):
            ours = "squeeze1x1" if part == "squeeze" else part
            names[f"features.{place}.{part}"] = f"fire{fire}_{ours}"
    return names


def _torchvision_densenet(net: nets.Net) -> Names:
    names = {
        "features.conv0": "conv1",
        "features.norm0": "conv1_bn",
        "features.norm5": "bn",
        "classifier": "fc",
    }
    for block, layers in enumerate(net.arguments["blocks"], start=1):
        for layer in range(1, layers + 1):
            theirs, ours = f"features.denseblock{block}.denselayer{layer}", f"dense{block}_{layer}"
            for index in ("1", "2"):
                # Files from before torchvision 0.3 have the point.
                for point in ("", "."):
                    names[f"{theirs}.norm{point}{index}"] = f"{ours}_bn{index}"
                    names[f"{theirs}.conv{point}{index}"] = f"{ours}_conv{index}"
        names[f"features.transition{block}.norm"] = f"transition{block}_bn"
        names[f"features.transition{block}.conv"] = f"transition{block}_conv"
    return names


def _torchvision_inception_v3(net: nets.Net) -> Names:
    pairs = dict(_INCEPTION_V3_STEM)
    for module, kind in _INCEPTION_V3_MODULES.items():
        parts = _TORCHVISION_INCEPTION_PARTS[kind].split()
        for part, ours in zip(parts, _INCEPTION_V3_PARTS[kind].split(), strict=True):
            pairs[f"Mixed_{module}.{part}"] = f"mixed_{module}_{ours}"
    pairs |= {"AuxLogits.conv0": "aux1_conv1", "AuxLogits.conv1": "aux1_conv2"}
    names = {"fc": "classifier", "AuxLogits.fc": "aux1_classifier"}
    for theirs, ours in pairs.items():
        names[f"{theirs}.conv"], names[f"{theirs}.bn"] = ours, f"{ours}_bn"
    return names


def _authors_squeezenet(net: nets.Net) -> Names:
    names = {"conv1": "conv1", "conv_final": "conv10"}
    parts = {"conv1x1_1": "squeeze1x1", "conv1x1_2": "expand1x1", "conv3x3_2": "expand3x3"}
    for fire in range(2, 10):
        for theirs, ours in parts.items():
            names[f"fire{fire}.{theirs}"] = f"fire{fire}_{ours}"
    return names


_V2 = ("resnet50_v2_keras", "resnet101_v2_keras", "resnet152_v2_keras")
_V1 = ("resnet50", "resnet101", "resnet152")
_V1_5 = ("resnet50_v1_5", "resnet101_v1_5", "resnet152_v1_5")
_BASIC = ("resnet18", "resnet34")
_RESNEXT = ("resnext50_32x4d", "resnext101_64x4d", "wide_resnet50_2")
_VGG_KERAS = ("vgg16", "vgg19")
_VGG = ("vgg11", "vgg13", "vgg16", "vgg19")
_DENSENET_KERAS = ("densenet121", "densenet169", "densenet201")
_DENSENET = (*_DENSENET_KERAS, "densenet161")
_MOBILENET = ("mobilenet_v1", "mobilenet_v1_075", "mobilenet_v1_050", "mobilenet_v1_025")
_NO_PADDING = "torchvision does not pad conv10, the authors and we do: logits differ a little"

# By publisher and net. A form's own is the publisher of that name, 'torch' torchvision.
ORIGINS: Mapping[tuple[str, str], Origin] = {
    **{("keras", name): Origin(_keras_resnet, CAFFE) for name in _V1},
    **{("keras", name): Origin(_keras_resnet_v2, TF) for name in _V2},
    **{("keras", name): Origin(_keras_vgg, CAFFE) for name in _VGG_KERAS},
    **{("keras", name): Origin(_keras_densenet, TORCH) for name in _DENSENET_KERAS},
    **{("keras", name): Origin(_keras_mobilenet, TF) for name in _MOBILENET},
    ("keras", "inception_v3"): Origin(_keras_inception_v3, TF),
    **{
        ("torch", name): Origin(_torchvision_resnet, TORCH) for name in (*_BASIC, *_V1_5, *_RESNEXT)
    },
    **{("torch", name): Origin(_torchvision_vgg, TORCH, flattened="fc6") for name in _VGG},
    ("torch", "alexnet_owt"): Origin(_torchvision_alexnet, TORCH, flattened="fc6"),
    ("torch", "squeezenet1_0"): Origin(_torchvision_squeezenet, TORCH, departures=_NO_PADDING),
    ("torch", "squeezenet1_1"): Origin(_torchvision_squeezenet, TORCH),
    **{("torch", name): Origin(_torchvision_densenet, TORCH) for name in _DENSENET},
    # Its weights are TF-slim's, with their normalisation (transform_input).
    ("torch", "inception_v3_torchvision"): Origin(_torchvision_inception_v3, TF),
    **transformer_names.ORIGINS,
    **convolutional_names.ORIGINS,
    ("numpy", "squeezenet1_0"): Origin(_authors_squeezenet, SQUEEZENET),
}

# Whose weights come in files of a form.
PUBLISHERS: Mapping[Form, tuple[str, ...]] = {
    "keras": ("keras",),
    "torch": ("torch", "timm", "authors"),
    "numpy": ("numpy",),
}

# Arrays under our own layers' names, `<layer>.<variable>`, in our layout: for any net, by NumPy.
OUR_OWN = Origin(lambda net: {}, "")

# Nets whose shapes fit weights that compute something else.
REFUSED: Mapping[tuple[Form, str], str] = {
    **{
        ("torch", name): "torchvision's strides are in the 3x3 convolutions: --net=" + other
        for name, other in zip(_V1, _V1_5, strict=True)
    },
    **{
        ("keras", name): "keras.applications has its strides in the first 1x1 convolutions: "
        "--net=" + other
        for name, other in zip(_V1_5, _V1, strict=True)
    },
    ("torch", "googlenet"): "torchvision's GoogLeNet is another net: it has 3x3 convolutions where "
    "the paper has 5x5, and batch normalisation",
    ("torch", "alexnet"): "torchvision's AlexNet is that of 'One weird trick': --net=alexnet_owt",
    ("torch", "inception_v3"): "torchvision's has gammas: --net=inception_v3_torchvision",
}


def numbered_from_zero(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Keras's layers that it numbers through, conv2d_94 and so on, counted from the first one here.

    A process that built other nets before has higher numbers.
    """
    numbered: dict[str, dict[int, str]] = {}
    for name in arrays:
        layer = name.partition("/")[0]
        if match := re.fullmatch(r"(conv2d|batch_normalization)(?:_(\d+))?", layer):
            numbered.setdefault(match[1], {})[int(match[2] or 0)] = layer
    fresh = {
        numbers[number]: f"{kind}_{place}" if place else kind
        for kind, numbers in numbered.items()
        for place, number in enumerate(sorted(numbers))
    }
    renamed = {}
    for name, array in arrays.items():
        layer, _, variable = name.partition("/")
        renamed[f"{fresh.get(layer, layer)}/{variable}"] = array
    return renamed
