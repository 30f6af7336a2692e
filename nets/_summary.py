"""The tables that ``python -m nets`` prints."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ._counts import count_macs, count_params, layer_macs, layer_params
from ._registry import Net, PublishedError

if TYPE_CHECKING:
    import keras

# Layers that have no parameters, and leave the feature maps' sides and number as they are.
_UNLISTED = {"InputLayer", "ZeroPadding2D", "ReLU", "Activation", "Flatten", "Dropout"}
_UNLISTED |= {"StochasticDepth", "BlurPool"}


def nets_table(nets: Iterable[Net]) -> str:
    """One line a net: name, paper, input, parameters, multiply-adds, published error."""
    header = ("net", "paper", "input", "parameters", "MACs", "top-1/top-5 error, %")
    rows = [
        (
            net.name,
            _authors(net),
            str(net.image_size),
            "-" if net.params is None else f"{net.params / 1e6:.2f} M",
            "-" if net.macs is None else f"{net.macs / 1e9:.3f} G",
            published(net.errors[0]) if net.errors else "-",
        )
        for net in nets
    ]
    return _columns([header, *rows], right={2, 3, 4})


def net_table(net: Net, model: keras.Model) -> str:
    """The net's own table, one line a layer, and what its entry says."""
    header = ("layer", "output", "kernel", "parameters", "MACs")
    rows = [_layer_row(layer) for layer in model.layers if type(layer).__name__ not in _UNLISTED]
    height, width = model.input.shape[1:3]
    params, macs = count_params(model), count_macs(model)
    total = ("total", f"from {height}x{width}x3", "", f"{params:,}", f"{macs:,}")
    lines = [_columns([header, *rows, total], right={3, 4}), ""]
    about = f"{net.name}: {net.paper or 'no paper is named'}"
    lines += textwrap.wrap(about, 100, subsequent_indent="    ")
    if net.params is None or net.macs is None:
        lines.append(f"To pin in its entry: params={params:_}, macs={macs:_}, image_size={height}")
    lines += [f"Published error: {published(error)}" for error in net.errors]
    for head, weight in net.auxiliary_weights.items():
        lines.append(f"Auxiliary head: {head}, weight {weight} in the loss")
    for option, default in net.options.items():
        lines.append(f"Option: {option}={default}")
    for departure in net.departures:
        lines += textwrap.wrap(f"Departure: {departure}", 100, subsequent_indent="    ")
    return "\n".join(lines)


def _layer_row(layer: keras.Layer) -> tuple[str, ...]:
    kernel = getattr(layer, "kernel", None)
    params, macs = layer_params(layer), layer_macs(layer)
    return (
        layer.name,
        "x".join(map(str, layer.output.shape[1:])),
        "x".join(map(str, kernel.shape)) if kernel is not None else _window(layer),
        f"{params:,}" if params else "",
        f"{macs:,}" if macs else "",
    )


def _window(layer: keras.Layer) -> str:
    size = getattr(layer, "pool_size", None)
    return "x".join(map(str, size)) if size else ""


def published(error: PublishedError) -> str:
    """An error in words, as the tables have it: top-1/top-5 (protocol)."""
    top1, top5 = ("-" if figure is None else str(figure) for figure in (error.top1, error.top5))
    return f"{top1}/{top5} ({error.protocol})"


def _authors(net: Net) -> str:
    if not net.paper:
        return "-"
    first, *others = net.paper.partition(":")[0].removesuffix(" et al.").split(",")
    if first == "ours":
        return first
    several = others or " et al.:" in net.paper
    return f"{first}{' et al.' if several else ''} {net.year}"


def _columns(rows: Sequence[Sequence[str]], right: set[int]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
