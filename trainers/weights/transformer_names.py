"""Which of our layers each layer of a published ViT, DeiT, Swin or ConvNeXt is.

Sources: torchvision's state dicts, timm's, the authors' (DeiT's are timm's), keras.applications,
and big_vision's arrays.
"""

import re
from collections.abc import Iterator, Mapping

import numpy as np

import nets
from trainers.weights.origin import TF, TORCH, Arrays, Names, Origin


def torchvision_vit(net: nets.Net) -> Names:
    """torchvision's, of today and from before its perceptrons had a class of their own."""
    names = {
        "conv_proj": "patches",
        "class_token": "class_token",
        "encoder.positions": "positions",
        "encoder.ln": "norm",
        "heads.head": "head",
    }
    for index in range(net.arguments["sizes"].layers):
        theirs, ours = f"encoder.layers.encoder_layer_{index}", f"block{index + 1}"
        names[f"{theirs}.ln_1"], names[f"{theirs}.ln_2"] = f"{ours}_norm1", f"{ours}_norm2"
        names[f"{theirs}.self_attention.in_proj"] = f"{ours}_qkv"
        names[f"{theirs}.self_attention.out_proj"] = f"{ours}_project"
        for first, second in (("0", "3"), ("linear_1", "linear_2")):
            names[f"{theirs}.mlp.{first}"] = f"{ours}_mlp1"
            names[f"{theirs}.mlp.{second}"] = f"{ours}_mlp2"
    return names


def torchvision_vit_arrays(arrays: Arrays) -> Arrays:
    """As layers have them: what has no layer of its own gets one."""
    return _renamed(
        arrays,
        {
            r"(.*\.in_proj)_(weight|bias)": r"\1.\2",
            "class_token": "class_token.tokens",
            r"encoder\.pos_embedding": "encoder.positions.embedding",
        },
    )


def timm_vit(net: nets.Net) -> Names:
    """timm's, and DeiT's authors'."""
    names = {
        "patch_embed.proj": "patches",
        "class_token": "class_token",
        "positions": "positions",
        "norm": "norm",
        "head": "head",
        "head_dist": "head_distillation",
    }
    for index in range(net.arguments["sizes"].layers):
        names |= _timm_block(f"blocks.{index}", f"block{index + 1}")
    return names


def timm_vit_arrays(arrays: Arrays) -> Arrays:
    """As layers have them, the class token and that of distillation side by side."""
    given = dict(arrays)
    tokens = [given.pop(name) for name in ("cls_token", "dist_token") if name in given]
    if tokens and all(token.shape[:-1] == (1, 1) for token in tokens):
        given["class_token.tokens"] = np.concatenate(tokens, axis=1)
    return _renamed(given, {"pos_embed": "positions.embedding"})


def big_vision_vit(net: nets.Net) -> Names:
    """big_vision's, by its arrays' names after `big_vision_arrays`."""
    names = {
        "embedding": "patches",
        "Transformer/encoder_norm": "norm",
        "pre_logits": "pre_logits",
        "head": "head",
    }
    for index in range(net.arguments["sizes"].layers):
        theirs, ours = f"Transformer/encoderblock_{index}", f"block{index + 1}"
        attention = f"{theirs}/MultiHeadDotProductAttention_0"
        names[f"{attention}/qkv"], names[f"{attention}/out"] = f"{ours}_qkv", f"{ours}_project"
        for place in (0, 1):
            names[f"{theirs}/LayerNorm_{place}"] = f"{ours}_norm{place + 1}"
            names[f"{theirs}/MlpBlock_0/Dense_{place}"] = f"{ours}_mlp{place + 1}"
    return names


def big_vision_arrays(arrays: Arrays) -> Arrays:
    """As `<layer>.<variable>`, with queries, keys and values of all heads side by side."""
    given = {name.removeprefix("params/"): array for name, array in arrays.items()}
    joined: dict[str, np.ndarray] = {}
    for name, array in given.items():
        layer, _, variable = name.rpartition("/")
        above, _, part = layer.rpartition("/")
        variable = "gamma" if variable == "scale" else variable
        variable = "beta" if variable == "bias" and "norm" in part.lower() else variable
        if part in ("query", "key", "value"):
            if part == "query":  # kernels [width, heads, depth], biases [heads, depth]
                axis = int(variable == "kernel")
                parts = [given[f"{above}/{each}/{variable}"] for each in ("query", "key", "value")]
                flat = [each.reshape(*each.shape[:axis], -1) for each in parts]
                joined[f"{above}/qkv.{variable}"] = np.concatenate(flat, axis=axis)
        elif part == "out" and variable == "kernel":  # [heads, depth, width]
            joined[f"{layer}.{variable}"] = array.reshape(-1, array.shape[-1])
        else:
            joined[f"{layer}.{variable}"] = array
    return joined


def torchvision_swin(net: nets.Net) -> Names:
    """torchvision's."""
    names = {"features.0.0": "patches", "features.0.2": "patches_norm", "norm": "norm"}
    names["head"] = "head"
    for stage, index, ours in _units(net.arguments["layers"]):
        theirs = f"features.{2 * stage - 1}.{index}"
        names |= _timm_block(theirs, ours) | {f"{theirs}.attn": f"{ours}_attention"}
        names |= {f"{theirs}.mlp.0": f"{ours}_mlp1", f"{theirs}.mlp.3": f"{ours}_mlp2"}
    for stage in range(2, len(net.arguments["layers"]) + 1):
        names |= _merging(f"features.{2 * stage - 2}", stage)
    return names


def timm_swin(net: nets.Net) -> Names:
    """timm's, whose stages begin with the merging of patches."""
    return _swin(net, first_merging=1) | {"head.fc": "head"}


def authors_swin(net: nets.Net) -> Names:
    """The authors', whose stages end with it."""
    return _swin(net, first_merging=0) | {"head": "head"}


def swin_arrays(arrays: Arrays) -> Arrays:
    """The table of biases under our name for it."""
    return _renamed(arrays, {r"(.*)\.relative_position_bias_table": r"\1.relative_position_bias"})


def torchvision_convnext(net: nets.Net) -> Names:
    """torchvision's."""
    names = {"features.0.0": "stem", "features.0.1": "stem_norm"}
    names |= {"classifier.0": "norm", "classifier.2": "head"}
    for stage, index, ours in _units(net.arguments["blocks"]):
        theirs = f"features.{2 * stage - 1}.{index}"
        names[theirs] = f"{ours}_scale"
        for place, part in ((0, "depthwise"), (2, "norm"), (3, "expand"), (5, "project")):
            names[f"{theirs}.block.{place}"] = f"{ours}_{part}"
    for stage in range(2, len(net.arguments["blocks"]) + 1):
        names |= _down(f"features.{2 * stage - 2}", stage)
    return names


def timm_convnext(net: nets.Net) -> Names:
    """timm's."""
    names = {"stem.0": "stem", "stem.1": "stem_norm", "head.norm": "norm", "head.fc": "head"}
    parts = {"conv_dw": "depthwise", "norm": "norm", "mlp.fc1": "expand", "mlp.fc2": "project"}
    for stage, index, ours in _units(net.arguments["blocks"]):
        theirs = f"stages.{stage - 1}.blocks.{index}"
        names |= {f"{theirs}.{part}": f"{ours}_{mine}" for part, mine in parts.items()}
        names[theirs] = f"{ours}_scale"
    for stage in range(2, len(net.arguments["blocks"]) + 1):
        names |= _down(f"stages.{stage - 1}.downsample", stage)
    return names


def authors_convnext(net: nets.Net) -> Names:
    """The authors'."""
    names = {"downsample_layers.0.0": "stem", "downsample_layers.0.1": "stem_norm"}
    names |= {"norm": "norm", "head": "head"}
    parts = {"dwconv": "depthwise", "norm": "norm", "pwconv1": "expand", "pwconv2": "project"}
    for stage, index, ours in _units(net.arguments["blocks"]):
        theirs = f"stages.{stage - 1}.{index}"
        names |= {f"{theirs}.{part}": f"{ours}_{mine}" for part, mine in parts.items()}
        names[theirs] = f"{ours}_scale"
    for stage in range(2, len(net.arguments["blocks"]) + 1):
        names |= _down(f"downsample_layers.{stage - 1}", stage)
    return names


def torch_convnext_arrays(arrays: Arrays) -> Arrays:
    """Layer scale as a vector, under our name for it."""
    renamed = _renamed(arrays, {r"(.*)\.layer_scale": r"\1.gamma"})
    return {
        name: array.reshape(-1) if name.endswith(".gamma") else array
        for name, array in renamed.items()
    }


def keras_convnext(net: nets.Net) -> Names:
    """keras.applications', whose layers' names begin with the net's."""
    prefix = net.name
    names = {
        f"{prefix}_stem_conv": "stem",
        f"{prefix}_stem_layernorm": "stem_norm",
        f"{prefix}_head_layernorm": "norm",
        f"{prefix}_head_dense": "head",
    }
    parts = {
        "depthwise_conv": "depthwise",
        "layernorm": "norm",
        "pointwise_conv_1": "expand",
        "pointwise_conv_2": "project",
        "layer_scale": "scale",
    }
    for stage, index, ours in _units(net.arguments["blocks"]):
        theirs = f"{prefix}_stage_{stage - 1}_block_{index}"
        names |= {f"{theirs}_{part}": f"{ours}_{mine}" for part, mine in parts.items()}
    for place in range(len(net.arguments["blocks"]) - 1):
        names[f"{prefix}_downsampling_layernorm_{place}"] = f"down{place + 2}_norm"
        names[f"{prefix}_downsampling_conv_{place}"] = f"down{place + 2}"
    return names


def keras_convnext_arrays(arrays: Arrays) -> Arrays:
    """Layer scale, which has no name of its own in Keras, under ours."""
    return _renamed(arrays, {r"(.*_layer_scale)/.*": r"\1/gamma"})


def _units(counts: tuple[int, ...]) -> Iterator[tuple[int, int, str]]:
    """(stage from 1, unit from 0, our name) of every block."""
    for stage, count in enumerate(counts, start=1):
        for index in range(count):
            yield stage, index, f"block{stage}_{index + 1}"


def _timm_block(theirs: str, ours: str) -> Names:
    """One layer of a transformer in timm."""
    return {
        f"{theirs}.norm1": f"{ours}_norm1",
        f"{theirs}.attn.qkv": f"{ours}_qkv",
        f"{theirs}.attn.proj": f"{ours}_project",
        f"{theirs}.norm2": f"{ours}_norm2",
        f"{theirs}.mlp.fc1": f"{ours}_mlp1",
        f"{theirs}.mlp.fc2": f"{ours}_mlp2",
    }


def _swin(net: nets.Net, first_merging: int) -> Names:
    names = {"patch_embed.proj": "patches", "patch_embed.norm": "patches_norm", "norm": "norm"}
    for stage, index, ours in _units(net.arguments["layers"]):
        theirs = f"layers.{stage - 1}.blocks.{index}"
        names |= _timm_block(theirs, ours) | {f"{theirs}.attn": f"{ours}_attention"}
    for place in range(len(net.arguments["layers"]) - 1):
        names |= _merging(f"layers.{place + first_merging}.downsample", place + 2)
    return names


def _merging(theirs: str, stage: int) -> Names:
    return {f"{theirs}.reduction": f"merge{stage}", f"{theirs}.norm": f"merge{stage}_norm"}


def _down(theirs: str, stage: int) -> Names:
    return {f"{theirs}.0": f"down{stage}_norm", f"{theirs}.1": f"down{stage}"}


def _renamed(arrays: Arrays, patterns: Mapping[str, str]) -> Arrays:
    """Arrays under names that whole names which match are replaced by; tokens without a batch."""
    renamed = {}
    for name, array in arrays.items():
        for pattern, replacement in patterns.items():
            if match := re.fullmatch(pattern, name):
                name = match.expand(replacement)
                break
        renamed[name] = array
    return {
        name: array[0] if name.endswith((".tokens", ".embedding")) and array.ndim == 3 else array
        for name, array in renamed.items()
    }


_DEIT = (
    *("deit_tiny", "deit_small", "deit_base"),
    *("deit_tiny_distilled", "deit_small_distilled", "deit_base_distilled"),
)
_GELU = "big_vision approximates GELU by tanh, ours is exact: logits differ a little"

# By publisher and net.
ORIGINS: Mapping[tuple[str, str], Origin] = {
    ("torch", "vit_b16"): Origin(torchvision_vit, TORCH, arrays=torchvision_vit_arrays),
    # timm's ViT of "How to train your ViT?" have big_vision's normalisation, DeiT torchvision's.
    ("timm", "vit_b16"): Origin(timm_vit, TF, arrays=timm_vit_arrays),
    **{("timm", name): Origin(timm_vit, TORCH, arrays=timm_vit_arrays) for name in _DEIT},
    ("numpy", "vit_s16"): Origin(big_vision_vit, TF, departures=_GELU, arrays=big_vision_arrays),
    **{
        (publisher, "swin_tiny"): Origin(names, TORCH, arrays=swin_arrays)
        for publisher, names in (
            ("torch", torchvision_swin),
            ("timm", timm_swin),
            ("authors", authors_swin),
        )
    },
    **{
        (publisher, "convnext_tiny"): Origin(names, TORCH, arrays=torch_convnext_arrays)
        for publisher, names in (
            ("torch", torchvision_convnext),
            ("timm", timm_convnext),
            ("authors", authors_convnext),
        )
    },
    ("keras", "convnext_tiny"): Origin(keras_convnext, TORCH, arrays=keras_convnext_arrays),
}
