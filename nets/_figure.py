"""The picture of ``python -m nets --figure``: all nets, error over parameters and multiply-adds."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ._registry import CENTER_CROP, Net

if TYPE_CHECKING:
    from PIL import Image

SIZE, DPI, FONT = (11.0, 16.0), 100, 6.5
TICKS = (15, 17, 20, 25, 30, 35, 40, 45, 50)
# Where a label may stand beside its point: angles, the nearest distance first, in points.
ANGLES = (0, 180, 90, 270, 35, 145, 215, 325)
DISTANCES = (4, 9, 14, 20, 27, 35, 45)

# Left, bottom, right and top, in pixels.
Box = tuple[float, float, float, float]


def center_crop_error(net: Net) -> float | None:
    """The published top-1 error by one centre crop of all images, the one to compare with first."""
    for error in net.errors:
        if error.views == CENTER_CROP and not error.subset and error.top1 is not None:
            return error.top1
    return None


def drawn(nets: Iterable[Net]) -> Image.Image:
    """All nets with a centre crop's error, over parameters and over MACs; colours are years."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from PIL import Image

    shown = [
        (net, error)
        for net in nets
        if (error := center_crop_error(net)) is not None and net.params and net.macs and net.year
    ]
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    years = [net.year for net, _ in shown]
    colours: Any = ScalarMappable(Normalize(min(years), max(years)), "turbo")
    panels = figure.subplots(2)
    sizes = (
        ("parameters, millions", [(net.params or 0) / 1e6 for net, _ in shown]),
        ("multiply-adds of one image, billions", [(net.macs or 0) / 1e9 for net, _ in shown]),
    )
    for axes, (label, values) in zip(panels, sizes, strict=True):
        errors = [error for _, error in shown]
        axes.scatter(values, errors, s=14, c=colours.to_rgba(years), zorder=3)
        axes.set(xscale="log", xlabel=label, ylabel="published top-1 error, one centre crop, %")
        axes.set(yscale="log", yticks=TICKS)
        axes.minorticks_off()
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:g}")
        axes.margins(x=0.06, y=0.05)
        axes.grid(alpha=0.25, lw=0.5)
    bar = figure.colorbar(
        colours, ax=panels, location="top", aspect=60, shrink=0.6, ticks=sorted(set(years))
    )
    bar.set_label("year of the paper")
    canvas.draw()
    for axes, (_, values) in zip(panels, sizes, strict=True):
        points = axes.transData.transform([(v, e) for v, (_, e) in zip(values, shown, strict=True)])
        _label(axes, points, [(net.name, colours.to_rgba(net.year)) for net, _ in shown])
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    # Few colours make a file that may be kept beside the code.
    return Image.open(file).convert("RGB").quantize(96)


def _label(axes: Any, points: Any, labels: Sequence[tuple[str, Any]]) -> None:
    """Writes each point's name beside it, where nothing is yet, with a line where that is far.

    Points among many others come first.
    """
    scale = DPI / 72
    taken: list[Box] = [_around(x, y, 8, 8) for x, y in points]
    frame = axes.get_window_extent()
    crowds = [sum(math.dist(each, other) < 60 for other in points) for each in points]
    to_data = axes.transData.inverted().transform
    for place in sorted(range(len(points)), key=lambda place: -crowds[place]):
        (x, y), (name, colour) = points[place], labels[place]
        width, height = 0.6 * FONT * len(name) * scale, 1.2 * FONT * scale
        spots = [
            _around(
                x + math.cos(math.radians(angle)) * (distance * scale + width / 2),
                y + math.sin(math.radians(angle)) * (distance * scale + height / 2),
                width,
                height,
            )
            for distance, angle in itertools.product(DISTANCES, ANGLES)
        ]

        def cost(box: Box) -> float:
            inside = frame.x0 < box[0] and box[2] < frame.x1
            inside &= frame.y0 < box[1] and box[3] < frame.y1
            return sum(_overlap(box, other) for other in taken) + 1e6 * (not inside)

        box = min(spots, key=cost)  # of equal ones the first, and nearest
        taken.append(box)
        dark = tuple(0.62 * part for part in colour[:3])
        middle = to_data(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
        axes.text(*middle, name, fontsize=FONT, color=dark, ha="center", va="center")
        edge = min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3])
        if math.dist(edge, (x, y)) > DISTANCES[1] * scale:
            (x0, x1), (y0, y1) = zip(to_data((x, y)), to_data(edge), strict=True)
            axes.plot((x0, x1), (y0, y1), lw=0.4, color=dark, zorder=2)


def _around(x: float, y: float, width: float, height: float) -> Box:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _overlap(a: Box, b: Box) -> float:
    """The area that two boxes share."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)
