"""Errors while training, of several runs in one chart: He et al. 2016, figure 4."""

from collections.abc import Sequence

from PIL import Image

from base.errors import UserError
from insight import drawing
from trainers.run_folder.folder import Run
from trainers.run_folder.records import read_record


def draw(runs: Sequence[Run]) -> Image.Image:
    """Top-1 errors by epoch: thin lines are those of training, bold ones of validation.

    As there, the training error is that of the training's own crops, by the weights of the moment.

    Raises:
        UserError: a run has no metrics.
    """
    from matplotlib.figure import Figure

    records = [read_record(run.directory) for run in runs]
    for record in records:
        if not record.metrics:
            raise UserError(f"--run={record.directory}: it has no metrics, as nothing was trained")
    figure = Figure(figsize=(8, 5.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    for number, record in enumerate(records):
        color = f"C{number % 10}"
        for lines, width in ((record.train, 0.9), (record.validation, 2.4)):
            epochs = [line.epoch for line in lines]
            errors = [100 * (1 - line.top1) for line in lines]
            label = record.name if width > 1 else None
            style = "-" if width > 1 else "--"
            axes.plot(epochs, errors, style, color=color, linewidth=width, label=label)
    axes.set(xlabel="epoch", ylabel="top-1 error (%)", xlim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(title="bold: validation, thin: training")
    return drawing.chart(figure)
