"""Finds a learning rate: trains for a while with a rate that rises, until the loss diverges.

Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3. There the rate
rises linearly, and two bounds are read off the curve of the accuracy. Here it rises by a factor,
over rates of all magnitudes, and the loss is looked at, as in fastai's `lr_find`, from which are
also the limit of a loss that diverges and the proposal, a tenth of the rate with the lowest loss.
"""

import dataclasses
import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

import nets
from base.errors import UserError
from base.files import save_png
from trainers.config import TrainConfig
from trainers.run_folder.continuing import load_plugins
from trainers.training.devices.replicas import refuse_broken_links
from trainers.training.logbook import ProgressLine
from trainers.training.session import opened
from trainers.training.step import GRADIENT_NORM, IMAGES, LOSS
from trainers.training.trainer import Trainer

LOWEST, HIGHEST = 1e-7, 10.0
# The rate rises over an epoch, or so many steps; fewer tell nothing.
MOST_STEPS, FEWEST_STEPS = 200, 20
# What the mean of the losses so far counts beside the newest one.
SMOOTHING = 0.9
# The smoothed loss has diverged where it is so many times the lowest.
DIVERGED = 4.0
# The loss must fall by this share below that of the first quarter of the rates: they teach nothing.
LEAST_FALL = 0.01


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The mean loss of each step, and the rate that it was taken with."""

    rates: Sequence[float]
    losses: Sequence[float]

    @property
    def smoothed(self) -> np.ndarray:
        """The losses' exponential mean, float64 [K]: the first ones weigh no more than others."""
        mean, means = 0.0, []
        for step, loss in enumerate(self.losses, start=1):
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
            means.append(mean / (1 - SMOOTHING**step))
        return np.array(means)

    @property
    def diverged(self) -> bool:
        """Whether the newest loss is no longer worth going on from."""
        return not math.isfinite(self.losses[-1]) or bool(
            self.smoothed[-1] > DIVERGED * self.smoothed.min()
        )

    @property
    def proposed(self) -> float | None:
        """A rate to train with, in two digits; None where the loss has fallen at no rate."""
        smoothed = self.smoothed
        smoothed[~np.isfinite(smoothed)] = np.inf
        lowest = int(smoothed.argmin())
        start = float(np.median(self.losses[: max(1, len(self.losses) // 4)]))
        if not smoothed[lowest] < (1 - LEAST_FALL) * start:
            return None
        return float(f"{self.rates[lowest] / 10:.2g}")


def find_learning_rate(config: TrainConfig, picture: str) -> Sweep:
    """Trains with rising rates, says which rate it proposes, and draws the losses; keeps no run.

    Args:
        config: the flags of a training; its rate, schedule and length are not used.
        picture: the PNG file to write.

    Raises:
        UserError: the flags fit no training, an epoch is too short, or the picture is refused.
    """
    load_plugins(config, None)
    devices, pipeline = opened(config)
    count = min(MOST_STEPS, pipeline.steps_per_epoch)
    if count < FEWEST_STEPS:
        raise UserError(
            f"--find_learning_rate takes {FEWEST_STEPS} steps at least, and an epoch has {count} "
            f"of {config.pipeline.train_batch_size} images: lower --train_batch_size"
        )
    refuse_broken_links(devices.strategy)
    trainer = Trainer(config, pipeline, nets, devices)
    chief = devices.workers.chief
    if chief:
        print(*trainer.announcement()[:2], sep="\n")
        print(f"rates: {LOWEST:g} to {HIGHEST:g} in {count} steps, kept nowhere", flush=True)
    sweep = _swept(trainer, np.geomspace(LOWEST, HIGHEST, count).tolist(), shown=chief)
    if not math.isfinite(sweep.losses[0]):
        raise UserError("the loss is not finite at the first step: look at pipelines/preview.py")
    if chief:
        print(_said(sweep))
        save_png(drawn(sweep, config.experiment), picture)
        print(f"picture: {picture}")
    return sweep


def _swept(trainer: Trainer, rates: Sequence[float], *, shown: bool) -> Sweep:
    """Takes a step with each rate, up to where the loss diverges."""
    batches, losses = trainer.batches(), list[float]()
    bar = ProgressLine(len(rates)) if shown else None
    for taken, rate in enumerate(rates, start=1):
        (row,) = trainer.take_steps(batches, 1, [rate])
        trainer.state.step = taken
        finite = trainer.config.precision == "mixed_float16" or math.isfinite(row[GRADIENT_NORM])
        losses.append(row[LOSS] / row[IMAGES] if row[IMAGES] and finite else math.nan)
        if bar:
            bar.show(taken, f"rate {rate:.2g}  loss {losses[-1]:.4f}")
        if Sweep(rates[:taken], losses).diverged:
            break
    if bar:
        bar.close()
    return Sweep(rates[: len(losses)], losses)


def _said(sweep: Sweep) -> str:
    end = f"the loss diverges at {sweep.rates[-1]:.2g}" if sweep.diverged else "it never diverges"
    if sweep.proposed is None:
        return (
            f"no rate to propose: the loss falls at none ({end}); look at the picture, and at "
            "pipelines/preview.py"
        )
    return (
        f"proposed: --learning_rate={sweep.proposed:g}, a tenth of the rate at which the smoothed "
        f"loss is lowest ({np.nanmin(sweep.smoothed):.4g}); {end}"
    )


def drawn(sweep: Sweep, title: str) -> Image.Image:
    """The losses over the rates, with the proposed one marked."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.semilogx(sweep.rates, sweep.losses, ".", ms=3, color="0.7", label="each step")
    axes.semilogx(sweep.rates, sweep.smoothed, label="smoothed")
    if sweep.proposed is not None:
        said = f"proposed: {sweep.proposed:g}"
        axes.axvline(sweep.proposed, ls="--", lw=1, color="0.4", label=said)
    # What diverges would flatten what falls.
    start, low = sweep.losses[0], float(np.nanmin(sweep.smoothed))
    fall = max(start - low, 0.1 * start)
    axes.set(xlabel="learning rate", ylabel="loss (nats)", title=title)
    axes.set_ylim(low - 0.2 * fall, start + 0.5 * fall)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return Image.open(file)
