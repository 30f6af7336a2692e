"""Makes what evaluations save of each image, for tests."""

import io

import numpy as np
from PIL import Image

from trainers.run_folder.predictions import Predictions
from trainers.scoring.tally import Tally

CLASSES = 8


def picture(shade: int) -> bytes:
    """A small gray JPEG file."""
    file = io.BytesIO()
    Image.new("RGB", (32, 24), (shade, shade, shade)).save(file, "JPEG")
    return file.getvalue()


def predictions_of(labels: list[int], rows: np.ndarray, classes: int = CLASSES) -> Predictions:
    """What a net has said whose probabilities for these images are the rows."""
    tally = Tally(len(labels), classes)
    tally.add(np.arange(len(labels)), np.asarray(labels), np.asarray(rows, np.float64))
    return tally.predictions([f"n{label:08d}" for label in range(classes)])
