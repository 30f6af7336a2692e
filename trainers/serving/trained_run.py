"""A recorded run as Python uses it: predictions on images of any kind, its net, its numbers."""

from __future__ import annotations

import functools
import io
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np
from PIL import Image

from base.errors import UserError
from trainers.config import TrainedConfig
from trainers.run_folder.folder import Run
from trainers.run_folder.records import RunRecord, read_record
from trainers.serving import predictions
from trainers.serving.classifier import Classifier
from trainers.serving.predictions import Prediction

if TYPE_CHECKING:
    import pandas

# One image: a file, or a folder of such; Pillow's; or levels, uint8 [height, width] or
# [height, width, 3].
AnyImage = str | pathlib.Path | Image.Image | np.ndarray

_BATCH = 32


class TrainedRun:
    """One run. Its net is built when something first asks for it.

    Attributes:
        directory: its folder.
    """

    def __init__(self, run: Run, checkpoint: str = "best"):
        """Reads nothing yet; `checkpoint` is `best` or `last`."""
        if checkpoint not in ("best", "last"):
            raise UserError(f"checkpoint={checkpoint!r} is neither 'best' nor 'last'")
        self.directory = run.directory
        self._run, self._checkpoint = run, checkpoint

    def __repr__(self) -> str:
        return f"<run {self.directory}>"

    @functools.cached_property
    def classifier(self) -> Classifier:
        """The net with the preprocessing of the run's evaluation.

        Raises:
            UserError: the run lacks a checkpoint, or a record of its data.
        """
        return Classifier(self._run, TrainedConfig(checkpoint=self._checkpoint))

    @property
    def model(self) -> keras.Model:
        """The run's net with its trained weights, to go on with in Keras.

        From float32 images [b, height, width, 3], normalised as the run's evaluation does it, to
        float32 logits [b, classes]. (`nets.build` builds untrained nets, as `nets` knows no runs.)
        """
        return self.classifier.model

    @property
    def words(self) -> tuple[str, ...]:
        """What the classes are called, in the order of labels."""
        return self.classifier.dataset.words

    @property
    def record(self) -> RunRecord:
        """What the run's folder says now: flags, data, scores, state."""
        return read_record(self.directory)

    def metrics(self) -> pandas.DataFrame:
        """The run's metrics.jsonl: a row for each line, training's and validation's.

        Raises:
            UserError: pandas is not installed.
        """
        from trainers.run_folder import frames

        return frames.metrics(self.record)

    def predict(
        self,
        images: AnyImage | Sequence[AnyImage],
        *,
        top: int = predictions.TOP_K,
        keep_going: bool = False,
    ) -> list[Prediction]:
        """The likeliest classes of images, as predict.py says them.

        Each image is resized, compressed and cropped as the run's validation images were.

        Args:
            images: one or several files, folders of files, Pillow's images, or uint8 arrays
                [height, width] or [height, width, 3]; one array may hold several, [b, height,
                width, 3].
            top: how many classes to say of each.
            keep_going: leave out what cannot be read, with a warning.

        Raises:
            UserError: an image cannot be read, or is smaller than the run's crops.
            TypeError: something is no image.
        """
        contents: dict[pathlib.Path, bytes] = {}
        files: list[pathlib.Path] = []
        for image in _listed(images):
            if isinstance(image, str | pathlib.Path):
                files += predictions.find_files([str(image)])
            else:
                # No path of a file, and in no folder that may be called as a class is.
                files.append(pathlib.Path("<image>", str(len(files))))
                contents[files[-1]] = _png(image)
        found = predictions.predict(
            self.classifier,
            files,
            batch_size=_BATCH,
            keep_going=keep_going,
            top=top,
            read=lambda path: contents[path] if path in contents else predictions.read(path),
        )
        return list(found)


def _listed(images: AnyImage | Sequence[AnyImage]) -> list[AnyImage]:
    if isinstance(images, np.ndarray) and images.ndim == 4:
        return list(images)
    return [images] if isinstance(images, AnyImage) else list(images)


def _png(image: object) -> bytes:
    """An image in memory as a file that has its very pixels."""
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.shape[2:] not in ((), (1,), (3,)) or image.ndim < 2:
            raise TypeError(
                f"an array {image.dtype} {list(image.shape)} is no image: levels are uint8 "
                "[height, width] or [height, width, 3]"
            )
        image = Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)
    if not isinstance(image, Image.Image):
        raise TypeError(f"{type(image).__name__} is neither a file, nor an array, nor Pillow's")
    file = io.BytesIO()
    if image.mode not in ("L", "RGB", "RGBA", "LA", "P", "I;16"):
        image = image.convert("RGB")
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()
