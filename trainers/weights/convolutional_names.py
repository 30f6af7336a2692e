"""Names of layers of convolutional nets since 2016, as `names` has those of the ones before.

Sources: torchvision's state dicts; timm's, for the nets that are TF-slim's, the TPU reference's or
the authors' there; keras.applications. torchvision's MobileNets and EfficientNets are not among
them: they pad otherwise, and most have another epsilon.
"""

from collections.abc import Callable, Iterator, Mapping

import nets
from trainers.weights import inception_names
from trainers.weights.transformer_names import Names


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


_EFFICIENTNETS = ("efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3")

# By net, those whose images were normalised as torchvision's, and as TF-slim's.
KERAS: Mapping[str, Callable[[nets.Net], Names]] = {
    "mobilenet_v2": _keras_mobilenet_v2,
    "inception_resnet_v2": inception_names.keras_resnet_v2,
}
TORCHVISION: Mapping[str, Callable[[nets.Net], Names]] = {
    "shufflenet_v2": _torchvision_shufflenet,
    "regnet_y_800mf_torchvision": _torchvision_regnet,
}
TIMM: Mapping[str, Callable[[nets.Net], Names]] = {
    "regnet_y_800mf": _timm_regnet,
    "regnet_y_4gf": _timm_regnet,
    "mobilenet_v2": _timm_mobilenet_v2,
    **dict.fromkeys(_EFFICIENTNETS, _timm_efficientnet),
}
TIMM_AS_TF: Mapping[str, Callable[[nets.Net], Names]] = {
    "inception_v4": inception_names.timm_v4,
    "inception_resnet_v2": inception_names.timm_resnet_v2,
    "mobilenet_v3_large": _timm_mobilenet_v3,
    "mobilenet_v3_small": _timm_mobilenet_v3,
}
