"""The first layer's kernels: Krizhevsky et al. 2012, figure 3."""

import math

import numpy as np
from PIL import Image

from base.spec import parse_chain
from insight import drawing
from trainers.serving import net_layers
from trainers.serving.classifier import Classifier

_LEAST, _GAP, _COLUMNS = 44, 2, 16  # pixels, pixels, tiles


def draw(classifier: Classifier) -> Image.Image:
    """Every kernel as a small image in the images' own colours.

    Each is scaled to its largest weight, gray is 0.
    """
    layer = net_layers.first_kernels(classifier.model)
    kernels = np.asarray(layer.kernel, np.float32)
    if any(
        call.name == "to_bgr" for call in parse_chain(classifier.config.pipeline.eval_device_map)
    ):
        kernels = kernels[:, :, ::-1]
    height, width, _, count = kernels.shape
    scaled = kernels / np.maximum(np.abs(kernels).max(axis=(0, 1, 2)), 1e-12)
    pixels = np.rint(127.5 + 127.5 * scaled).astype(np.uint8)
    side = max(height, width) * math.ceil(_LEAST / max(height, width))
    tiles = [drawing.tile(pixels[..., number], side, smooth=False) for number in range(count)]
    made = drawing.mosaic(tiles, min(_COLUMNS, count), _GAP)
    title = f"{classifier.model.name}, {layer.name}: {count} kernels of {height}x{width}x3"
    picture = drawing.paper(made.width + 2 * drawing.MARGIN, made.height + drawing.MARGIN, title)
    picture.paste(made, (drawing.MARGIN, 2 * drawing.LINE))
    return picture
