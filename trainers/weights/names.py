"""Which of our layers each layer of a published net is, family by family.

Sources: keras.applications (Keras 3), torchvision's state dicts, the authors' SqueezeNet. Where a
published net computes something else than ours of nearly the same name, it is refused with the
reason: shapes alone would not tell.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import nets
from nets.residual import unit_name
from trainers.weights import convolutional_names, inception_names
from trainers.weights import transformer_names as transformers
from trainers.weights.files import Form
from trainers.weights.transformer_names import Arrays, Names


@dataclasses.dataclass(frozen=True)
class Origin:
    """Weights of one origin for one family.

    Attributes:
        names: from the net's entry to the layers' names.
        device_map: how the images were normalised for these weights; empty: not known.
        flattened: our layer that flattens feature maps, which torch flattens channel by channel.
        departures: what the publisher's net has otherwise than ours; the weights fit all the same.
        arrays: from the file's arrays to such as have a layer and a variable in their names.
    """

    names: Callable[[nets.Net], Names]
    device_map: str
    flattened: str = ""
    departures: str = ""
    arrays: Callable[[Arrays], Arrays] = lambda arrays: arrays


# keras.applications.imagenet_utils.preprocess_input: 'caffe', 'tf' and 'torch'.
_CAFFE = "to_bgr|subtract_mean((103.939, 116.779, 123.68))"
_TF = "mean_std((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))"
# The same as torchvision's: mean .485 .456 .406, std .229 .224 .225.
_TORCH = "mean_std((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))"
_SQUEEZENET = "to_bgr|subtract_mean((104.0, 117.0, 123.0))"


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
_DEIT = (
    *("deit_tiny", "deit_small", "deit_base"),
    *("deit_tiny_distilled", "deit_small_distilled", "deit_base_distilled"),
)
_GELU = "big_vision approximates GELU by tanh, ours is exact: logits differ a little"
_NO_PADDING = "torchvision does not pad conv10, the authors and we do: logits differ a little"

# By publisher and net. A form's own is the publisher of that name, 'torch' torchvision.
ORIGINS: Mapping[tuple[str, str], Origin] = {
    **{("keras", name): Origin(_keras_resnet, _CAFFE) for name in _V1},
    **{("keras", name): Origin(_keras_resnet_v2, _TF) for name in _V2},
    **{("keras", name): Origin(_keras_vgg, _CAFFE) for name in _VGG_KERAS},
    **{("keras", name): Origin(_keras_densenet, _TORCH) for name in _DENSENET_KERAS},
    **{("keras", name): Origin(_keras_mobilenet, _TF) for name in _MOBILENET},
    ("keras", "inception_v3"): Origin(inception_names.keras_v3, _TF),
    **{
        ("torch", name): Origin(_torchvision_resnet, _TORCH)
        for name in (*_BASIC, *_V1_5, *_RESNEXT)
    },
    **{("torch", name): Origin(_torchvision_vgg, _TORCH, flattened="fc6") for name in _VGG},
    ("torch", "alexnet_owt"): Origin(_torchvision_alexnet, _TORCH, flattened="fc6"),
    ("torch", "squeezenet1_0"): Origin(_torchvision_squeezenet, _TORCH, departures=_NO_PADDING),
    ("torch", "squeezenet1_1"): Origin(_torchvision_squeezenet, _TORCH),
    **{("torch", name): Origin(_torchvision_densenet, _TORCH) for name in _DENSENET},
    # Its weights are TF-slim's, with their normalisation (transform_input).
    ("torch", "inception_v3_torchvision"): Origin(inception_names.torchvision_v3, _TF),
    **{("keras", name): Origin(names, _TF) for name, names in convolutional_names.KERAS.items()},
    **{
        ("torch", name): Origin(names, _TORCH)
        for name, names in convolutional_names.TORCHVISION.items()
    },
    **{("timm", name): Origin(names, _TORCH) for name, names in convolutional_names.TIMM.items()},
    **{
        ("timm", name): Origin(names, _TF) for name, names in convolutional_names.TIMM_AS_TF.items()
    },
    ("torch", "vit_b16"): Origin(
        transformers.torchvision_vit, _TORCH, arrays=transformers.torchvision_vit_arrays
    ),
    # timm's ViT of "How to train your ViT?" have big_vision's normalisation, DeiT torchvision's.
    ("timm", "vit_b16"): Origin(transformers.timm_vit, _TF, arrays=transformers.timm_vit_arrays),
    **{
        ("timm", name): Origin(transformers.timm_vit, _TORCH, arrays=transformers.timm_vit_arrays)
        for name in _DEIT
    },
    ("numpy", "vit_s16"): Origin(
        transformers.big_vision_vit, _TF, departures=_GELU, arrays=transformers.big_vision_arrays
    ),
    **{
        (publisher, "swin_tiny"): Origin(names, _TORCH, arrays=transformers.swin_arrays)
        for publisher, names in (
            ("torch", transformers.torchvision_swin),
            ("timm", transformers.timm_swin),
            ("authors", transformers.authors_swin),
        )
    },
    **{
        (publisher, "convnext_tiny"): Origin(
            names, _TORCH, arrays=transformers.torch_convnext_arrays
        )
        for publisher, names in (
            ("torch", transformers.torchvision_convnext),
            ("timm", transformers.timm_convnext),
            ("authors", transformers.authors_convnext),
        )
    },
    ("keras", "convnext_tiny"): Origin(
        transformers.keras_convnext, _TORCH, arrays=transformers.keras_convnext_arrays
    ),
    ("numpy", "squeezenet1_0"): Origin(_authors_squeezenet, _SQUEEZENET),
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
