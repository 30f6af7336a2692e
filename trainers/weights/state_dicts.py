"""Finds the weights in what a training script has saved: one of its state dicts, without wrappers.

Scripts save state dicts among other things, under keys of their own: torchvision's references
`model` and `model_ema`, timm `state_dict` and `state_dict_ema`, Lightning `state_dict`. Their names
begin with those of wrappers: `module.` of DistributedDataParallel, `_orig_mod.` of torch.compile,
`model.` of a LightningModule.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from base.errors import UserError
from trainers.weights.torch_files import Opaque, RefusedError, Tensor

# The keys of trained weights, the likeliest first; and what is in the keys of averaged ones.
_TRAINED = ("state_dict", "model_state_dict", "model", "net", "network", "module")
_AVERAGED = re.compile("ema|averag|teacher", re.IGNORECASE)
_DEPTH = 3  # of keys in keys

# Wrappers of parts of a net, and those of the whole of it.
_INNER_WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
_OUTER_WRAPPERS = ("module.", "model.", "net.", "network.")
# How many times torch.optim.swa_utils.AveragedModel has averaged: no weight.
_COUNTER = "n_averaged"


@dataclasses.dataclass(frozen=True)
class StateDict:
    """One state dict of a file.

    Attributes:
        arrays: by name.
        key: where it stands in the file, `KEY.KEY`; empty: it is all of it.
        others: the keys of those that were not taken.
    """

    arrays: Mapping[str, np.ndarray]
    key: str
    others: tuple[str, ...]


def find(saved: Any, wanted: str) -> StateDict:
    """One state dict of what was saved.

    Args:
        saved: with `Tensor`s.
        wanted: its key, KEY.KEY; behind it may stand the name of the part of a net to take.
            Empty: the trained weights, not averaged ones, where there is one such.

    Raises:
        RefusedError: there is none, but an object of a class that is not read.
        ValueError: there is none, or it holds something else.
        UserError: there is none with this key, or there are several.
    """
    found = dict(_all(saved, ""))
    if not found:
        for each in (saved, *(saved.values() if isinstance(saved, Mapping) else ())):
            if isinstance(each, Opaque):
                raise RefusedError(f"holds a {each.name}")
        raise ValueError(f"it holds a {type(saved).__name__}, not a state dict")
    key, part = _split(found, wanted) if wanted else (_choice(found), "")
    entries = {name: value for name, value in found[key].items() if _is_weight(name)}
    for name, value in entries.items():
        if isinstance(value, Opaque):
            raise RefusedError(f"holds a {value.name} as {name!r}")
        if not isinstance(value, Tensor):
            raise ValueError(f"its entry {name!r} is no tensor")
    names = [name for name in entries if name.startswith(part)]
    arrays = {
        short: entries[name].array() for short, name in zip(_unwrapped(names), names, strict=True)
    }
    if len(arrays) < len(names):
        raise ValueError("two of its names are the same without those of wrappers")
    return StateDict(arrays, key, tuple(each for each in found if each and each != key))


def _all(value: Any, key: str, depth: int = 0) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every state dict by its key: a mapping from names to values of which some are tensors."""
    if not isinstance(value, Mapping) or depth > _DEPTH:
        return
    named = {name: each for name, each in value.items() if isinstance(name, str)}
    if any(isinstance(each, Tensor) for each in named.values()):
        yield key, named
    for name, each in named.items():
        yield from _all(each, f"{key}.{name}".removeprefix("."), depth + 1)


def _choice(found: Mapping[str, Any]) -> str:
    """The key of the trained weights; a tensor or two beside them make no state dict."""
    trained = [key for key in found if not _AVERAGED.search(key)]
    known = [key for name in _TRAINED for key in trained if key and key.split(".")[-1] == name]
    if known:
        return known[0]
    if "" in found or len(trained or found) == 1:
        return "" if "" in found else next(iter(trained or found))
    raise UserError(
        "the file has several state dicts: import_weights.py takes one, and --from_key says which, "
        + ", ".join(found)
    )


def _split(found: Mapping[str, Mapping[str, Any]], wanted: str) -> tuple[str, str]:
    """A key of a state dict, and how the names in it are to begin."""
    for key in sorted(found, key=len, reverse=True):
        part = f"{wanted}.".removeprefix(f"{key}." if key else "")
        if key == wanted:
            return key, ""
        if f"{wanted}.".startswith(f"{key}." if key else "") and any(
            name.startswith(part) for name in found[key]
        ):
            return key, part
    keys = ", ".join(key for key in found if key) or "one state dict without a key"
    raise UserError(f"--from_key={wanted} is not in the file, which has {keys}")


def _is_weight(name: str) -> bool:
    return name.split(".")[-1] != _COUNTER


def _unwrapped(names: list[str]) -> list[str]:
    """Names without those of wrappers."""
    for wrapper in _INNER_WRAPPERS:
        names = [name.replace(wrapper, "") for name in names]
    for outer in _OUTER_WRAPPERS * 2:
        if all(name.startswith(outer) for name in names):
            names = [name.removeprefix(outer) for name in names]
    return names
