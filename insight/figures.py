"""Draws the papers' own figures of a trained net, or of one with imported weights.

    python insight/figures.py --run=runs/alexnet --figure=kernels
    python insight/figures.py --run=runs/alexnet --figure=neighbours photo.jpg more_photos/
    python insight/figures.py --run=runs/resnet18,runs/resnet34 --figure=curves --output=curves.png

    kernels      the first layer's kernels (Krizhevsky et al. 2012, figure 3)
    neighbours   predictions, and images of the nearest features (Krizhevsky et al. 2012, figure 4)
    occlusion    what is said while a gray square covers a part (Zeiler & Fergus 2014, figure 7)
    patches      what a feature map answers most strongly to (Zeiler & Fergus 2014, figure 2)
    activations  the feature maps of a layer for one image
    embedding    the features of many images, in two dimensions
    curves       errors while training, of several runs (He et al. 2016, figure 4)

FILES are any images, and folders of them; without, the first validation images are taken. kernels,
embedding, patches and curves take none.
"""

import sys

from base import commandline
from base.errors import UserError
from base.tensorflow_start import start_tensorflow
from insight.config import CURVES, EMBEDDING, KERNELS, PATCHES, FiguresConfig


def main(arguments: list[str]) -> None:
    """Reads the flags and draws the figure."""
    config = commandline.config_from_flags(FiguresConfig)
    if arguments and config.figure in (CURVES, EMBEDDING, KERNELS, PATCHES):
        raise UserError(f"--figure={config.figure} takes no files: {' '.join(arguments)[:80]}")
    from base.files import save_png
    from trainers.run_folder.finding import find_run
    from trainers.run_folder.folder import FIGURES_DIR

    runs = [find_run(name) for name in config.run]
    path = config.output or str(runs[0].directory / FIGURES_DIR / f"{config.figure}.png")
    if config.figure == CURVES:
        from insight import curves

        picture = curves.draw(runs)
    else:
        start_tensorflow()
        from insight import of_nets

        picture = of_nets.draw(config, runs[0], arguments)
    save_png(picture, path)
    print(f"drawn: {path}", file=sys.stderr)


if __name__ == "__main__":
    commandline.run(main, configs=[FiguresConfig], gpus=True, positional=True, tensorflow=False)
