"""The flags of figures.py, as a frozen dataclass."""

import dataclasses
import importlib.util
import os

from base.commandline import Settings, flag
from base.errors import UserError
from data_prep import schema
from trainers.config import RUN_HELP, TrainedConfig

KERNELS = "kernels"
NEIGHBOURS = "neighbours"
OCCLUSION = "occlusion"
PATCHES = "patches"
ACTIVATIONS = "activations"
EMBEDDING = "embedding"
CURVES = "curves"
FIGURES = (KERNELS, NEIGHBOURS, OCCLUSION, PATCHES, ACTIVATIONS, EMBEDDING, CURVES)

PCA = "pca"
TSNE = "tsne"

# Which figures a flag is of, where it is not of all.
_OF = {
    "layer": (PATCHES, ACTIVATIONS),
    "maps": (PATCHES, ACTIVATIONS),
    "images": (NEIGHBOURS, PATCHES, EMBEDDING),
    "method": (EMBEDDING,),
    "split": (NEIGHBOURS, PATCHES, EMBEDDING),
}


@dataclasses.dataclass(frozen=True)
class FiguresConfig(Settings):
    """What a figure depends on."""

    trained: TrainedConfig = dataclasses.field(default_factory=TrainedConfig)

    run: tuple[str, ...] = flag(
        (), f"{RUN_HELP} For curves: one or more, separated by commas.", common=True
    )
    figure: str = flag("", "Which figure.", choices=("", *FIGURES), common=True)
    output: str = flag(
        "",
        "The PNG file (default: <figure>.png in the run's folder of figures, which the report "
        "shows).",
        common=True,
    )
    data_dir: str = flag(
        "", "Where the run's data set is now; empty: where it was.", group="Images"
    )
    split: str = flag(
        "",
        "Of which split the images are that are looked through (default: train for neighbours, as "
        "in the paper, else validation).",
        choices=("", *schema.SPLITS),
    )
    images: int = flag(
        1000,
        "How many images of the data set are looked through for neighbours, patches and the "
        "embedding.",
        within="[1, 1e9]",
    )
    layer: str = flag(
        "",
        "patches, activations: the layer (default: the last one with feature maps that all else "
        "depends on).",
        group="What is drawn",
    )
    maps: tuple[str, ...] = flag(
        (),
        "patches, activations: which feature maps, by number from 0, separated by commas (default: "
        "those that answer most strongly).",
    )
    method: str = flag(
        PCA,
        "embedding: principal components, or t-SNE (van der Maaten & Hinton 2008), for which "
        "scikit-learn must be installed.",
        choices=(PCA, TSNE),
    )

    def __post_init__(self) -> None:
        """Refuses what makes no figure."""
        super().__post_init__()
        if not self.figure:
            raise UserError(f"no figure is named: --figure={'|'.join(FIGURES)}")
        if not self.run:
            raise UserError("no run is named: --run=runs/EXPERIMENT/NUMBER")
        if len(self.run) > 1 and self.figure != CURVES:
            raise UserError(f"--figure={self.figure} is of one run: --run names {len(self.run)}")
        if self.output and os.path.splitext(self.output)[1].lower() != ".png":
            raise UserError(f"--output={self.output} must end in .png")
        if not all(number.isdecimal() for number in self.maps):
            raise UserError(f"--maps={','.join(self.maps)} are not numbers, as 0,17,42")
        if self.method == TSNE and importlib.util.find_spec("sklearn") is None:
            raise UserError(
                f"--method={TSNE} needs scikit-learn: pip install scikit-learn, or take "
                f"--method={PCA}"
            )
        for name, figures in _OF.items():
            default = type(self).__dataclass_fields__[name].default
            if getattr(self, name) != default and self.figure not in figures:
                raise UserError(f"--{name} is of --figure={' and '.join(figures)}")
