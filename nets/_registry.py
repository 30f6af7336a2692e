"""The table of nets: what is known about a net, and which ones there are.

A family is a module of this package that holds a tuple ``NETS`` of ``Net`` entries; dropping such a
file into the folder registers its nets. What nets are built from has a name that begins with ``_``.
Family modules import only this module (keras stays out
until something is built): a net's body receives the ``Builder`` whose methods make its layers.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

# A keras.KerasTensor while a net is built, a backend's tensor while it runs; keras has no types.
Tensor: TypeAlias = Any

_PACKAGE_FOLDER = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class BatchNorm:
    """The constants of a net's batch normalisation, as its reference code has them.

    Attributes:
        momentum: share of the moving average that stays at each step (torch states 1 - this).
        epsilon: what is added to the variance.
        scale: whether there is a gamma.
    """

    momentum: float
    epsilon: float
    scale: bool = True


@dataclasses.dataclass(frozen=True)
class ResponseNorm:
    """The constants of local response normalisation, x / (k + alpha * sum of x^2)^beta.

    Attributes:
        size: the number of neighbouring channels that are summed.
        alpha: factor of the sum (Caffe and cuda-convnet2 state size times this).
        beta: exponent.
        k: what is added to the sum.
    """

    size: int
    alpha: float
    beta: float
    k: float


# How a net is shown an image: one crop, several whose predictions are averaged, or all of it by
# convolutions; coarse and fine stride are those of OverFeat's table 2.
Views: TypeAlias = Literal[
    "center crop",
    "10 crops",
    "144 crops",
    "dense",
    "dense and multi-crop",
    "coarse stride",
    "fine stride",
]
CENTER_CROP: Views = "center crop"


@dataclasses.dataclass(frozen=True)
class PublishedError:
    """Errors in percent on the 50,000 ILSVRC 2012 validation images, and how they were measured.

    Attributes:
        top1, top5: the errors; None where the source doesn't state it.
        views: how the net was shown each image.
        nets, scales: how many of them were averaged.
        size: side of the square input in pixels; None for the net's ``image_size``.
        subset: which images they were, where not all 50,000.
        source: whose weights were scored; empty for the paper's own tables.
        remark: what else a reader should know.
    """

    top1: float | None
    top5: float | None
    views: Views = CENTER_CROP
    _: dataclasses.KW_ONLY
    nets: int = 1
    scales: int = 1
    size: int | None = None
    subset: str = ""
    source: str = ""
    remark: str = ""

    @property
    def protocol(self) -> str:
        """How they were measured, in words."""
        said = [self.views + (f" at {self.size} pixels" if self.size else "")]
        counts = {"nets": self.nets, "scales": self.scales}
        said += [f"{count} {noun}" for noun, count in counts.items() if count > 1]
        return ", ".join(said + [text for text in (self.subset, self.source, self.remark) if text])


@dataclasses.dataclass(frozen=True)
class Net:
    """What is known about one net; every figure holds for 1000 classes and default options.

    Attributes:
        name: what ``build`` takes.
        body: ``body(nn, x, num_classes, **arguments, **options)`` makes the layers with the
            Builder ``nn`` and returns the logits, or a dict with the key 'logits' and one key for
            each auxiliary head. Its keyword-only parameters that ``arguments`` doesn't fix are
            the net's options.
        paper: the citation; empty where there is none yet.
        year: of the first publication; 0 likewise.
        params: trainable parameters, auxiliary heads included; None where nobody has pinned them:
            ``python -m nets NAME`` prints what there is to pin.
        macs: multiply-adds of convolutions, fully connected layers and attention at ``image_size``,
            auxiliary heads included; biases, normalisation and pooling are not counted. None
            likewise.
        image_size: side of the square input in pixels.
        feature_maps: layer name -> (side, channels) at ``image_size``; the keys are the net's
            endpoints, ``model.get_layer(key).output``.
        errors: published errors, the one to compare with first.
        arguments: keyword arguments of ``body`` that make this variant.
        batch_norm: None for a net without batch normalisation.
        auxiliary_weights: auxiliary head -> weight of its loss beside the main loss.
        auxiliary_params: trainable parameters in the auxiliary heads.
        auxiliary_macs: multiply-adds in the auxiliary heads.
        decay: which variables the reference code's L2 rule decays: the kernels of convolutions
            and fully connected layers, those but the depthwise ones, or every variable.
        departures: where the net differs from the paper, or the paper from itself.
        family: the module of this package that defines the net, or the plugin's name; filled in
            by the registry.
    """

    name: str
    body: Callable[..., Any]
    paper: str = ""
    year: int = 0
    params: int | None = None
    macs: int | None = None
    image_size: int = 224
    feature_maps: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    errors: tuple[PublishedError, ...] = ()
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    batch_norm: BatchNorm | None = None
    auxiliary_weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    auxiliary_params: int = 0
    auxiliary_macs: int = 0
    decay: Literal["kernels", "kernels_but_depthwise", "all"] = "kernels"
    departures: tuple[str, ...] = ()
    family: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments that ``build`` takes for this net, with their defaults."""
        parameters = inspect.signature(self.body).parameters.values()
        options = {
            parameter.name: parameter.default
            for parameter in parameters
            if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in self.arguments
        }
        if self.batch_norm:
            options["synchronized_batch_norm"] = False
        return options


def names() -> list[str]:
    """Returns the names of all nets, family by family, in the order of their files' tables."""
    return list(_all_nets())


def entry(name: str) -> Net:
    """Returns what is known about one net.

    Raises:
        ValueError: no net has this name; the message suggests the nearest.
    """
    nets = _all_nets()
    if name not in nets:
        raise ValueError(unknown_name("net", name, list(nets)))
    return nets[name]


def register(nets: Iterable[Any], source: str) -> None:
    """Adds nets from outside of this package, in place of those that their source had before.

    Args:
        nets: entries, of this package's ``Net`` or of that of a copy of it.
        source: what gives the nets, by its name.

    Raises:
        ValueError: a name is taken by a net that is not the source's, or one is no entry.
    """
    known = {name: net for name, net in _all_nets().items() if net.family != source}
    fields = [field.name for field in dataclasses.fields(Net)]
    for net in nets:
        if not hasattr(net, "name") or not hasattr(net, "body"):
            raise ValueError(f"NETS holds nets.Net(name=..., body=...), not {net!r}")
        if net.name in known:
            raise ValueError(f"there is a net {net.name} already: take another name")
        given = {field: getattr(net, field) for field in fields if hasattr(net, field)}
        known[net.name] = Net(**given | {"family": source})
    _all_nets().clear()
    _all_nets().update(known)


def source_files(name: str) -> list[Path]:
    """Returns the files of this package that are needed to build one net.

    Copied into one folder they are a package by themselves, with only the nets of those files. A
    net from outside of this package needs what builds any net.
    """
    found: set[str] = set()
    family = entry(name).family
    wanted = {"__init__", family} if (_PACKAGE_FOLDER / f"{family}.py").exists() else {"__init__"}
    while wanted:
        module = wanted.pop()
        found.add(module)
        wanted |= _imported_modules(_PACKAGE_FOLDER / f"{module}.py") - found
    return [_PACKAGE_FOLDER / f"{module}.py" for module in sorted(found)]


@functools.cache
def _all_nets() -> dict[str, Net]:
    nets: dict[str, Net] = {}
    families = sorted(
        module.name
        for module in pkgutil.iter_modules([str(_PACKAGE_FOLDER)])
        if not module.name.startswith("_")
    )
    for family in families:
        for net in getattr(importlib.import_module(f".{family}", __package__), "NETS", ()):
            if net.name in nets:
                files = f"{nets[net.name].family}.py and {family}.py"
                raise ValueError(f"two nets are named {net.name!r}: in {files}")
            nets[net.name] = dataclasses.replace(net, family=family)
    return nets


def _imported_modules(file: Path) -> set[str]:
    """Returns the sibling modules that a file imports, at its top or in its functions."""
    modules = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            modules |= {node.module} if node.module else {alias.name for alias in node.names}
    return modules


def unknown_name(kind: str, name: str, known: list[str]) -> str:
    """The message for a name that isn't known: the nearest one, and all that are."""
    near = difflib.get_close_matches(name, known, n=1)
    suggestion = f" Did you mean {near[0]!r}?" if near else ""
    listing = ", ".join(known) if known else "none"
    return f"unknown {kind}: {name!r}.{suggestion} Known: {listing}"
