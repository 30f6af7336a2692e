"""Names of layers of convolutional nets since 2016, as `names` has those of the ones before.

Sources: torchvision's state dicts; timm's, for the nets that are TF-slim's, the TPU reference's or
the authors' there; keras.applications. torchvision's MobileNets and EfficientNets are not among
them: they pad otherwise, and most have another epsilon.
"""

from collections.abc import Iterator, Mapping

import numpy as np

import nets
from base.errors import UserError
from trainers.weights.origin import TF, TORCH, TORCH_MEAN, Arrays, Names, Origin


def _torchvision_shufflenet(net: nets.Net) -> Names:
    names = {"conv1.0": "conv1", "conv1.1": "conv1_bn", "fc": "fc"}
    names |= {"conv5.0": "conv5", "conv5.1": "conv5_bn"}
    kept = ("short_depthwise", "short_depthwise_bn", "short_last", "short_last_bn")
    filtered = ("first", "first_bn", "", "depthwise", "depthwise_bn", "last", "last_bn")
    for stage, count in enumerate((4, 8, 4), start=2):
        for unit in range(count):
            for branch, parts in (("branch1", kept), ("branch2", filtered)):
                for place, part in enumerate(parts):
                    ours = f"stage{stage}_{unit + 1}_{part}"
                    names[f"stage{stage}.{unit}.{branch}.{place}"] = ours
    return names


def _regnet_units(net: nets.Net) -> Iterator[tuple[int, int, str]]:
    """(stage, unit, our name), both from 1."""
    for stage, depth in enumerate(net.arguments["depths"], start=1):
        for unit in range(1, depth + 1):
            yield stage, unit, f"block{stage}_{unit}"


def _torchvision_regnet(net: nets.Net) -> Names:
    names = {"stem.0": "conv1", "stem.1": "conv1_bn", "fc": "fc"}
    for stage, unit, ours in _regnet_units(net):
        theirs = f"trunk_output.block{stage}.block{stage}-{unit - 1}"
        for place, part in (("proj", "short"), ("f.a", "a"), ("f.b", "b"), ("f.c", "c")):
            names[f"{theirs}.{place}.0"] = f"{ours}_{part}"
            names[f"{theirs}.{place}.1"] = f"{ours}_{part}_bn"
        names[f"{theirs}.f.se.fc1"], names[f"{theirs}.f.se.fc2"] = _gate(ours)
    return names


def _timm_regnet(net: nets.Net) -> Names:
    names = {"stem.conv": "conv1", "stem.bn": "conv1_bn", "head.fc": "fc"}
    for stage, unit, ours in _regnet_units(net):
        theirs = f"s{stage}.b{unit}"
        parts = {"downsample": "short", "conv1": "a", "conv2": "b", "conv3": "c"}
        for place, part in parts.items():
            names[f"{theirs}.{place}.conv"] = f"{ours}_{part}"
            names[f"{theirs}.{place}.bn"] = f"{ours}_{part}_bn"
        names[f"{theirs}.se.fc1"], names[f"{theirs}.se.fc2"] = _gate(ours)
    return names


def _gate(ours: str) -> tuple[str, str]:
    return f"{ours}_se_down", f"{ours}_se_up"


def _timm_inverted(units: Mapping[str, str], whole: frozenset[str] = frozenset()) -> Names:
    """timm's inverted residual units, from their places to our names; `whole` do not expand."""
    names = {"conv_stem": "conv1", "bn1": "conv1_bn"}
    for theirs, ours in units.items():
        parts = ("conv_dw", "conv_pw") if theirs in whole else ("conv_pw", "conv_dw", "conv_pwl")
        own = ("depthwise", "project") if theirs in whole else ("expand", "depthwise", "project")
        for index, (place, part) in enumerate(zip(parts, own, strict=True), start=1):
            names[f"{theirs}.{place}"] = f"{ours}_{part}"
            names[f"{theirs}.bn{index}"] = f"{ours}_{part}_bn"
        down, up = _gate(ours)
        names[f"{theirs}.se.conv_reduce"], names[f"{theirs}.se.conv_expand"] = down, up
    return names


def _timm_efficientnet(net: nets.Net) -> Names:
    from nets.efficientnet import repetitions

    units = {
        f"blocks.{stage}.{unit}": f"block{stage + 2}_{unit + 1}"
        for stage, count in enumerate(repetitions(net.arguments["depth"]))
        for unit in range(count)
    }
    whole = frozenset(theirs for theirs in units if theirs.startswith("blocks.0."))
    names = _timm_inverted(units, whole)
    return names | {"conv_head": "conv9", "bn2": "conv9_bn", "classifier": "fc"}


def _mobilenet_v2_units() -> list[str]:
    from nets.mobilenet_v2 import STAGES

    return [
        f"block{stage}{'abcd'[index]}"
        for stage, (_, _, count, _) in enumerate(STAGES, start=2)
        for index in range(count)
    ]


def _timm_mobilenet_v2(net: nets.Net) -> Names:
    units = {
        f"blocks.{int(ours[5]) - 2}.{'abcd'.index(ours[6])}": ours for ours in _mobilenet_v2_units()
    }
    names = _timm_inverted(units, frozenset({"blocks.0.0"}))
    return names | {"conv_head": "conv9", "bn2": "conv9_bn", "classifier": "fc"}


def _keras_mobilenet_v2(net: nets.Net) -> Names:
    names = {"Conv1": "conv1", "bn_Conv1": "conv1_bn", "predictions": "fc"}
    names |= {"Conv_1": "conv9", "Conv_1_bn": "conv9_bn"}
    for index, ours in enumerate(_mobilenet_v2_units()):
        theirs = f"block_{index}" if index else "expanded_conv"
        for part in ("expand", "depthwise", "project"):
            names[f"{theirs}_{part}"] = f"{ours}_{part}"
            names[f"{theirs}_{part}_BN"] = f"{ours}_{part}_bn"
    return names


def _keras_xception(net: nets.Net) -> Names:
    names = {"block1_conv1": "conv1", "block1_conv2": "conv2", "predictions": "fc"}
    names |= {"block1_conv1_bn": "conv1_bn", "block1_conv2_bn": "conv2_bn"}
    modules = [*(f"entry{i}" for i in (1, 2, 3)), *(f"middle{i}" for i in range(1, 9)), "exit"]
    for block, ours in enumerate(modules, start=2):
        for index in (1, 2, 3):
            names |= _separable(f"block{block}_sepconv{index}", f"{ours}_sepconv{index}")
    for index in (1, 2):
        names |= _separable(f"block14_sepconv{index}", f"sepconv{index + 2}")
    for index, ours in enumerate(("entry1", "entry2", "entry3", "exit")):
        suffix = f"_{index}" if index else ""
        names[f"conv2d{suffix}"], names[f"batch_normalization{suffix}"] = _pair(f"{ours}_shortcut")
    return names


def _separable(theirs: str, ours: str) -> Names:
    return {theirs: ours, f"{theirs}_dw": f"{ours}_dw", f"{theirs}_bn": f"{ours}_bn"}


def _keras_efficientnet(net: nets.Net) -> Names:
    from nets.efficientnet import repetitions

    names = {"stem_conv": "conv1", "stem_bn": "conv1_bn", "predictions": "fc"}
    names |= {"top_conv": "conv9", "top_bn": "conv9_bn"}
    parts = {"expand_conv": "expand", "dwconv": "depthwise", "project_conv": "project"}
    parts |= {"expand_bn": "expand_bn", "bn": "depthwise_bn", "project_bn": "project_bn"}
    parts |= {"se_reduce": "se_down", "se_expand": "se_up"}
    for stage, count in enumerate(repetitions(net.arguments["depth"]), start=1):
        for unit in range(count):
            theirs, ours = f"block{stage}{chr(ord('a') + unit)}", f"block{stage + 1}_{unit + 1}"
            names |= {f"{theirs}_{place}": f"{ours}_{part}" for place, part in parts.items()}
    return names


def _keras_mobilenet_v3(net: nets.Net) -> Names:
    names = {"conv": "conv1", "conv_1": "conv2", "conv_2": "fc1", "logits": "fc2"}
    names |= {"conv_bn": "conv1_bn", "conv_1_bn": "conv2_bn"}
    for index in range(len(net.arguments["units"])):
        theirs, ours = f"expanded_conv_{index}" if index else "expanded_conv", f"bneck{index + 1}"
        for part in ("expand", "depthwise", "project"):
            names[f"{theirs}_{part}"], names[f"{theirs}_{part}_bn"] = _pair(f"{ours}_{part}")
        gate = f"{theirs}_squeeze_excite_conv"
        names[gate], names[f"{gate}_1"] = _gate(ours)
    return names


def _keras_3_spelling(arrays: Arrays) -> Arrays:
    """Conv/BatchNorm and expanded_conv/squeeze_excite/Conv of Keras 2, as Keras 3 writes them."""
    spelled = {}
    for name, array in arrays.items():
        layer, _, variable = name.rpartition("/")
        layer = layer.lower().replace("/batchnorm", "_bn").replace("/", "_")
        spelled[f"{layer}/{variable}"] = array
    return spelled


def _without_normalization(arrays: Arrays) -> Arrays:
    """What Keras's EfficientNets do to images is left out: the device chain does it.

    Their variances are deviations; a layer behind takes the other root (TensorFlow's issue 49930).

    Raises UserError where their images were normalised otherwise.
    """
    mean = arrays.get("normalization/mean")
    if mean is not None and not np.allclose(255 * np.ravel(mean), TORCH_MEAN, atol=0.1):
        raise UserError(
            f"the weights' own normalisation subtracts {(255 * np.ravel(mean)).tolist()}, "
            f"keras.applications' {list(TORCH_MEAN)}: import the weights without that layer, and "
            "name it in the flags with --keep_device_map"
        )
    return {k: v for k, v in arrays.items() if not k.startswith("normalization/")}


def _timm_mobilenet_v3(net: nets.Net) -> Names:
    counts = (1, 2, 3, 4, 2, 3) if net.name == "mobilenet_v3_large" else (1, 2, 3, 2, 3)
    places = [
        f"blocks.{stage}.{unit}" for stage, count in enumerate(counts) for unit in range(count)
    ]
    units = {theirs: f"bneck{index}" for index, theirs in enumerate(places, start=1)}
    names = _timm_inverted(units, frozenset({"blocks.0.0"}))
    last = f"blocks.{len(counts)}.0"
    names |= {f"{last}.conv": "conv2", f"{last}.bn1": "conv2_bn"}
    return names | {"conv_head": "fc1", "classifier": "fc2"}


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


def _timm_inception_v4(net: nets.Net) -> Names:
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


def _keras_inception_resnet_v2(net: nets.Net) -> Names:
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


def _timm_inception_resnet_v2(net: nets.Net) -> Names:
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


_EFFICIENTNETS = ("efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3")

_MOBILENET_V3 = ("mobilenet_v3_large", "mobilenet_v3_small")

# By publisher and net, as `names.ORIGINS`.
ORIGINS: Mapping[tuple[str, str], Origin] = {
    ("keras", "mobilenet_v2"): Origin(_keras_mobilenet_v2, TF),
    ("keras", "inception_resnet_v2"): Origin(_keras_inception_resnet_v2, TF),
    ("keras", "xception"): Origin(_keras_xception, TF),
    **{
        ("keras", name): Origin(_keras_mobilenet_v3, TF, arrays=_keras_3_spelling)
        for name in _MOBILENET_V3
    },
    **{
        ("keras", name): Origin(_keras_efficientnet, TORCH, arrays=_without_normalization)
        for name in _EFFICIENTNETS
    },
    ("torch", "shufflenet_v2"): Origin(_torchvision_shufflenet, TORCH),
    ("torch", "regnet_y_800mf_torchvision"): Origin(_torchvision_regnet, TORCH),
    ("timm", "regnet_y_800mf"): Origin(_timm_regnet, TORCH),
    ("timm", "regnet_y_4gf"): Origin(_timm_regnet, TORCH),
    ("timm", "mobilenet_v2"): Origin(_timm_mobilenet_v2, TORCH),
    **{("timm", name): Origin(_timm_efficientnet, TORCH) for name in _EFFICIENTNETS},
    ("timm", "inception_v4"): Origin(_timm_inception_v4, TF),
    ("timm", "inception_resnet_v2"): Origin(_timm_inception_resnet_v2, TF),
    **{("timm", name): Origin(_timm_mobilenet_v3, TF) for name in _MOBILENET_V3},
}
