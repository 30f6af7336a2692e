"""Names of the layers of Inception-v3, -v4 and Inception-ResNet-v2; see `names`."""

from collections.abc import Mapping

import nets
from trainers.weights.transformer_names import Names

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


def _inception_v3_convolutions() -> list[str]:
    names = list(_INCEPTION_V3_STEM.values())
    for module, kind in _INCEPTION_V3_MODULES.items():
        names += [f"mixed_{module}_{part}" for part in _INCEPTION_V3_PARTS[kind].split()]
    return names


def keras_v3(net: nets.Net) -> Names:
    """Keras numbers these layers in the order in which they are made; see `numbered_from_zero`."""
    names = {"predictions": "classifier"}
    for index, ours in enumerate(_inception_v3_convolutions()):
        suffix = f"_{index}" if index else ""
        names[f"conv2d{suffix}"] = ours
        names[f"batch_normalization{suffix}"] = f"{ours}_bn"
    return names


def torchvision_v3(net: nets.Net) -> Names:
    """Its own names of branches."""
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


def _pair(name: str) -> tuple[str, str]:
    return name, f"{name}_bn"


def _timm_convolutions(pairs: Mapping[str, str]) -> Names:
    """timm's pairs of a convolution and a normalisation, from their places."""
    names = {f"{theirs}.conv": ours for theirs, ours in pairs.items()}
    return names | {f"{theirs}.bn": f"{ours}_bn" for theirs, ours in pairs.items()}


def _branches(theirs: str, ours: str, branches: Mapping[str, int]) -> dict[str, str]:
    """The places of timm's branches, numbered from 0; ours are numbered from 1."""
    places = {}
    for branch, (name, length) in enumerate(branches.items()):
        for index in range(length):
            place = f"{theirs}.branch{branch}" + (f".{index}" if length > 1 else "")
            places[place] = f"{ours}_{name}_{index + 1}"
    return places


def timm_v4(net: nets.Net) -> Names:
    """timm numbers modules and branches; it has no auxiliary head."""
    pairs = {"features.0": "conv1a", "features.1": "conv2a", "features.2": "conv2b"}
    pairs |= {"features.3.conv": "mixed_3a_3x3", "features.5.conv": "mixed_5a_3x3"}
    pairs |= _branches("features.4", "mixed_4a", {"short": 2, "long": 4})
    pairs["features.4.branch0.1"] = "mixed_4a_short_3x3"
    pairs["features.4.branch1.3"] = "mixed_4a_long_3x3"
    kinds = {
        "5bcde": {"1x1": 1, "3x3": 2, "double3x3": 3},
        "6a": {"3x3": 1, "double3x3": 3},
        "6bcdefgh": {"1x1": 1, "7x7": 3, "double7x7": 5},
        "7a": {"3x3": 2, "7x7": 4},
    }
    modules = [
        (f"mixed_{kind[0]}{each}", parts) for kind, parts in kinds.items() for each in kind[1:]
    ]
    for place, (ours, parts) in enumerate(modules, start=6):
        pairs |= _branches(f"features.{place}", ours, parts)
        pairs[f"features.{place}.branch3.1"] = f"{ours}_pool_proj"
    of_c = {
        **{"branch0": "1x1_1", "branch1_0": "3x3_1", "branch3.1": "pool_proj"},
        **{"branch1_1a": "3x3_1x3_1", "branch1_1b": "3x3_3x1_1"},
        **{f"branch2_{index}": f"double3x3_{index + 1}" for index in range(3)},
        **{"branch2_3a": "double3x3_1x3_1", "branch2_3b": "double3x3_3x1_1"},
    }
    for place, letter in enumerate("bcd", start=19):
        pairs |= {
            f"features.{place}.{part}": f"mixed_7{letter}_{own}" for part, own in of_c.items()
        }
    return _timm_convolutions(pairs) | {"last_linear": "classifier"}


# Ours, in the order in which Keras makes them; at the ends of branches stand their lengths.
_INCEPTION_RESNET = (
    ("mixed_5b", {"1x1": 1, "5x5": 2, "double3x3": 3}),
    *((f"block35_{index}", {"1x1": 1, "3x3": 2, "double3x3": 3}) for index in range(1, 11)),
    ("mixed_6a", {"3x3": 1, "double3x3": 3}),
    *((f"block17_{index}", {"1x1": 1, "7x7": 3}) for index in range(1, 21)),
    ("mixed_7a", {"first3x3": 2, "second3x3": 2, "double3x3": 3}),
    *((f"block8_{index}", {"1x1": 1, "3x3": 3}) for index in range(1, 11)),
)
_INCEPTION_RESNET_STEM = ("1a", "2a", "2b", "3b", "4a")


def keras_resnet_v2(net: nets.Net) -> Names:
    """Keras numbers these layers in the order in which they are made; see `numbered_from_zero`."""
    order = [f"conv{each}" for each in _INCEPTION_RESNET_STEM]
    names = {"predictions": "classifier", "conv_7b": "conv7b", "conv_7b_bn": "conv7b_bn"}
    for ours, branches in _INCEPTION_RESNET:
        order += [f"{ours}_{part}_{i}" for part, n in branches.items() for i in range(1, n + 1)]
        if ours == "mixed_5b":
            order.append("mixed_5b_pool_proj")
        names[f"{ours}_conv"] = f"{ours}_up"
    for index, ours in enumerate(order):
        suffix = f"_{index}" if index else ""
        names[f"conv2d{suffix}"], names[f"batch_normalization{suffix}"] = _pair(ours)
    return names


def timm_resnet_v2(net: nets.Net) -> Names:
    """timm numbers branches; it has no auxiliary head."""
    pairs = {f"conv2d_{each}": f"conv{each}" for each in _INCEPTION_RESNET_STEM}
    pairs |= {"conv2d_7b": "conv7b", "mixed_5b.branch3.1": "mixed_5b_pool_proj"}
    ups = {}
    repeats = {"block35": "repeat", "block17": "repeat_1", "block8": "repeat_2"}
    for ours, branches in _INCEPTION_RESNET:
        kind, _, number = ours.partition("_")
        theirs = f"{repeats[kind]}.{int(number) - 1}" if kind in repeats else ours
        theirs = "block8" if ours == "block8_10" else theirs
        pairs |= _branches(theirs, ours, branches)
        ups[f"{theirs}.conv2d"] = f"{ours}_up"
    return _timm_convolutions(pairs) | ups | {"classif": "classifier"}
