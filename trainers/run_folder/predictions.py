"""What an evaluation said of each image: a file beside its result, readable without TensorFlow.

`evaluate.py --save_predictions` writes `evaluation_<protocol>_<split>.predictions.npz` beside the
`.json` of that name. Numbers stand in columns, one row an image, in the order of the split; texts
and what the file is about are JSON in the array `about`. A few small pictures go along, of the
images that people look at first (`mistakes.pictured`): nobody needs the data set to see them.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Mapping

import msgspec
import numpy as np

from base import typed_json
from base.errors import UserError
from base.files import atomic
from trainers.run_folder.checkpoints import DAMAGE
from trainers.run_folder.files import FORMAT


class _About(msgspec.Struct, kw_only=True, frozen=True):
    """The texts: the evaluation's, each class's, and each image's file name, empty if unknown."""

    protocol: str
    split: str
    wnids: tuple[str, ...]
    words: tuple[str, ...]
    names: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What one evaluation said of each of the n images of a split, by position.

    Attributes:
        protocol, split: of the evaluation.
        wnids, words: of the N classes, in label order.
        names: each image's file name in the source; empty where the data set does not hold it.
        labels: int32 [n], the truth.
        top: int32 [n, k], the k likeliest classes, likeliest first, k = 5 or N. Of equals the truth
            comes last (`losses.correct`). -1 where a logit was not finite: nothing was said.
        probabilities: float32 [n, k], theirs.
        losses: float32 [n], minus the log probability of the truth, in nats; infinite or NaN, too.
        pictures: JPEG files, by position, of a few images.
    """

    protocol: str
    split: str
    wnids: tuple[str, ...]
    words: tuple[str, ...]
    names: tuple[str, ...]
    labels: np.ndarray
    top: np.ndarray
    probabilities: np.ndarray
    losses: np.ndarray
    pictures: Mapping[int, bytes] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError where columns do not fit one another, or name no class."""
        images, classes = len(self.labels), len(self.wnids)
        k = self.top.shape[1] if self.top.ndim == 2 else 0
        fit = (
            self.labels.shape == self.losses.shape == (images,)
            and self.top.shape == self.probabilities.shape == (images, k)
            and len(self.names) == images
            and len(self.words) == classes
            and k > 0
        )
        if not fit:
            raise ValueError("its columns do not fit one another")
        if images and not (
            0 <= self.labels.min() <= self.labels.max() < classes
            and -1 <= self.top.min() <= self.top.max() < classes
            and all(0 <= position < images for position in self.pictures)
        ):
            raise ValueError("a label or a position in it is out of range")

    @functools.cached_property
    def right(self) -> np.ndarray:
        """Whether the first class is the truth, bool [n]."""
        return self.top[:, 0] == self.labels

    @functools.cached_property
    def confidence(self) -> np.ndarray:
        """The probability of the first class, float32 [n]."""
        return self.probabilities[:, 0]

    def name(self, position: int) -> str:
        """What people call an image: its file name, or else its place in the split."""
        return self.names[position] or f"{self.split} image {position}"

    def class_name(self, label: int) -> str:
        """What people call a class: its first word and its WNID; the latter alone, if need be."""
        words = self.words[label].split(",")[0].strip()
        return f"{words} ({self.wnids[label]})" if words not in ("", self.wnids[label]) else words


def beside(result: pathlib.Path) -> pathlib.Path:
    """Where the predictions of an evaluation are, whose result is this JSON file."""
    return result.with_suffix(".predictions.npz")


def save(path: pathlib.Path, predictions: Predictions) -> None:
    """Writes the file, whole or not at all. Raises OSError."""
    about = _About(**{name: getattr(predictions, name) for name in _About.__struct_fields__})
    positions = np.array(sorted(predictions.pictures), np.int32)
    pictures = [predictions.pictures[position] for position in positions.tolist()]
    with atomic(path) as file:
        np.savez_compressed(
            file,
            allow_pickle=False,
            about=np.frombuffer(typed_json.write(about, FORMAT).encode(), np.uint8),
            labels=predictions.labels.astype(np.int32),
            top=predictions.top.astype(np.int32),
            probabilities=predictions.probabilities.astype(np.float32),
            losses=predictions.losses.astype(np.float32),
            picture_positions=positions,
            picture_ends=np.cumsum([len(each) for each in pictures], dtype=np.int64),
            picture_bytes=np.frombuffer(b"".join(pictures), np.uint8),
        )


def load(path: pathlib.Path) -> Predictions:
    """Reads what `save` has written.

    Raises:
        UserError: there is no such file, it is damaged, or of a newer workspace.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about: _About = typed_json.read(arrays["about"].tobytes(), _About, FORMAT)
        data, ends = arrays["picture_bytes"].tobytes(), arrays["picture_ends"].tolist()
        parts = zip(arrays["picture_positions"].tolist(), [0, *ends], ends, strict=False)
        return Predictions(
            **msgspec.structs.asdict(about),
            **{name: arrays[name] for name in ("labels", "top", "probabilities", "losses")},
            pictures={position: data[start:end] for position, start, end in parts},
        )
    except FileNotFoundError:
        raise UserError(f"there is no {path}: evaluate.py --save_predictions writes it") from None
    except typed_json.FileError as error:
        raise UserError(f"{path} {error}") from None
    except (KeyError, *DAMAGE) as error:
        raise UserError(f"{path} is damaged ({error}): evaluate.py writes it again") from None
