"""Opens a run and its images, and has the figure drawn that the flags name."""

from collections.abc import Sequence

from PIL import Image

from data_prep import schema
from insight import activations, embedding, images, kernels, neighbours, occlusion, patches
from insight.config import (
    ACTIVATIONS,
    EMBEDDING,
    KERNELS,
    NEIGHBOURS,
    OCCLUSION,
    FiguresConfig,
)
from trainers.run_folder.folder import Run
from trainers.serving.classifier import Classifier

# So many validation images are shown where no files are named.
_SHOWN = {NEIGHBOURS: 8, OCCLUSION: 4, ACTIVATIONS: 1}


def draw(config: FiguresConfig, run: Run, files: Sequence[str]) -> Image.Image:
    """One figure of one net.

    Raises:
        UserError: the run, its data set or a file cannot be opened; the net has no such layer.
    """
    classifier = Classifier(run, config.trained)
    if config.figure == KERNELS:
        return kernels.draw(classifier)
    if config.figure in _SHOWN:
        count = _SHOWN[config.figure]
        shown = (
            images.of_files(classifier, files)
            if files
            else images.of_split(classifier, config, schema.VALIDATION, count)
        )
        if config.figure == OCCLUSION:
            return occlusion.draw(classifier, shown)
        if config.figure == ACTIVATIONS:
            return activations.draw(classifier, config, shown)
        found = images.of_split(classifier, config, config.split or schema.TRAIN, config.images)
        return neighbours.draw(classifier, shown, found)
    found = images.of_split(classifier, config, config.split or schema.VALIDATION, config.images)
    if config.figure == EMBEDDING:
        return embedding.draw(classifier, config, found)
    return patches.draw(classifier, config, found)
