"""The feature maps of a layer for one image."""

import keras
import numpy as np
from PIL import Image

from base.errors import UserError
from insight import drawing, layers
from insight.config import FiguresConfig
from insight.images import Images, features
from trainers.serving.classifier import Classifier

_MAPS, _COLUMNS, _SIDE, _GAP = 48, 12, 84, 2


def draw(classifier: Classifier, config: FiguresConfig, shown: Images) -> Image.Image:
    """The image, and the maps that vary most, each from its least value (black) to its largest."""
    if len(shown) > 1:
        raise UserError(f"--figure=activations is of one image: {len(shown)} are named")
    model = classifier.model
    maps = layers.of_flags(config, model)
    part = keras.Model(model.input, maps.layer.output)
    found = maps.fold(features(classifier, part, shown.crops))[0]
    numbers = layers.strongest(config, found.std(axis=(0, 1)), _MAPS)
    low, high = found.min(axis=(0, 1)), found.max(axis=(0, 1))
    levels = np.rint(255 * (found - low) / np.maximum(high - low, 1e-12)).astype(np.uint8)
    tiles = [drawing.tile(levels[..., number], _SIDE, smooth=False) for number in numbers]
    made = drawing.mosaic(tiles, min(_COLUMNS, len(tiles)), _GAP)
    side = 2 * _SIDE
    title = (
        f"{model.name}, {maps.layer.name}: {len(numbers)} of {found.shape[-1]} maps of "
        f"{maps.grid[0]}x{maps.grid[1]}, numbers {', '.join(map(str, numbers[:6]))}, ..."
    )
    height = max(made.height, side) + drawing.MARGIN
    picture = drawing.paper(side + made.width + 3 * drawing.MARGIN, height, title)
    picture.paste(drawing.tile(shown.crops[0], side), (drawing.MARGIN, 2 * drawing.LINE))
    picture.paste(made, (side + 2 * drawing.MARGIN, 2 * drawing.LINE))
    return picture
