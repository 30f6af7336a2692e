"""Makes what evaluations save of each image, for tests."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from trainers.run_folder.predictions import Predictions

CLASSES = 8


def picture(shade: int) -> bytes:
    """A small gray JPEG file."""
    file = io.BytesIO()
    Image.new("RGB", (32, 24), (shade, shade, shade)).save(file, "JPEG")
    return file.getvalue()


def predictions_of(labels: Sequence[int], rows: np.ndarray) -> Predictions:
    """What a net has said whose probabilities for these images are the rows."""
    k = min(5, rows.shape[1])
    top = np.argsort(-rows, axis=1, kind="stable")[:, :k]
    finite = np.isfinite(rows).all(axis=1, keepdims=True)
    wnids = tuple(f"n{label:08d}" for label in range(rows.shape[1]))
    return Predictions(
        protocol="center_crop",
        split="validation",
        wnids=wnids,
        words=wnids,
        names=("",) * len(labels),
        labels=np.asarray(labels, np.int32),
        top=np.where(finite, top, -1).astype(np.int32),
        probabilities=np.where(finite, np.take_along_axis(rows, top, 1), 0).astype(np.float32),
        losses=-np.log(rows[range(len(labels)), labels]).astype(np.float32),
    )
