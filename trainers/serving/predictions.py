"""Predictions on image files: which files, in what order, and what is said of each."""

import concurrent.futures
import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from base.errors import UserError
from base.parallel import in_order, usable_cores
from data_prep.schema import IMAGE_SUFFIXES
from trainers.serving.classifier import Classifier, Stored, UnreadableError
from trainers.training.losses import TOP_K


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What the net says of one file.

    Attributes:
        path: the file.
        labels: int [k], the classes of the largest probabilities, largest first.
        wnids: theirs.
        words: theirs.
        probabilities: float [k].
        crop: uint8 [height, width, 3], what the net was given.
        logits: float32 [N].
    """

    path: pathlib.Path
    labels: tuple[int, ...]
    wnids: tuple[str, ...]
    words: tuple[str, ...]
    probabilities: tuple[float, ...]
    crop: np.ndarray
    logits: np.ndarray

    def as_json(self) -> dict[str, Any]:
        """The prediction as one JSON object."""
        rows = zip(self.labels, self.wnids, self.words, self.probabilities, strict=True)
        return {
            "file": str(self.path),
            "predictions": [
                {"label": label, "wnid": wnid, "words": words, "probability": probability}
                for label, wnid, words, probability in rows
            ],
        }

    def lines(self) -> list[str]:
        """The prediction for people: the file, and one line a class."""
        rows = zip(self.wnids, self.words, self.probabilities, strict=True)
        return [str(self.path)] + [
            f"  {100 * probability:5.1f} %  {wnid}  {words}" for wnid, words, probability in rows
        ]


def find_files(named: Sequence[str]) -> list[pathlib.Path]:
    """The files that are named, and the images in directories that are, at any depth, sorted.

    A file that is named itself is always tried, whatever its name.

    Raises:
        UserError: something named does not exist, or a directory holds no images.
    """
    found: list[pathlib.Path] = []
    for name in named:
        path = pathlib.Path(name)
        if not path.exists():
            raise UserError(f"{path}: there is no such file or directory")
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        if not inside:
            raise UserError(f"{path} holds no images ({' '.join(sorted(IMAGE_SUFFIXES))})")
        found += inside
    return found


def predict(
    classifier: Classifier,
    files: Sequence[pathlib.Path],
    *,
    batch_size: int,
    keep_going: bool,
) -> Iterator[Prediction]:
    """Predictions on files, in their order.

    Files are read and made ready by as many threads as there are cores, while the net works.

    Raises:
        UserError: a file cannot be read; with `keep_going` a warning is printed instead.
    """
    bar = tqdm(total=len(files), unit="image", leave=False, disable=None)
    with concurrent.futures.ThreadPoolExecutor(usable_cores()) as threads:
        ready: list[tuple[pathlib.Path, Stored]] = []
        made = in_order(
            threads, lambda path: (path, _stored(classifier, path)), files, 2 * batch_size
        )
        for path, stored in made:
            bar.update()
            if isinstance(stored, Stored):
                ready.append((path, stored))
            elif keep_going:
                tqdm.write(f"warning: {path} is passed over: {stored}", file=sys.stderr)
            else:
                raise UserError(f"{path}: {stored} (--keep_going passes over such files)")
            if len(ready) == batch_size:
                yield from _predict_batch(classifier, ready)
                ready = []
        if ready:
            yield from _predict_batch(classifier, ready)
    bar.close()


def _stored(classifier: Classifier, path: pathlib.Path) -> Stored | str:
    """What the data set would store of a file, or why it cannot be read."""
    try:
        return classifier.store(path.read_bytes())
    except UnreadableError as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)


def _predict_batch(
    classifier: Classifier, ready: Sequence[tuple[pathlib.Path, Stored]]
) -> Iterator[Prediction]:
    crops = classifier.crops([stored for _, stored in ready])
    dataset = classifier.dataset
    for (path, _), crop, logits in zip(ready, crops, classifier.logits(crops), strict=True):
        exponentials = np.exp(logits.astype(np.float64) - logits.max())
        probabilities = exponentials / exponentials.sum()
        best = np.argsort(-probabilities, kind="stable")[:TOP_K].tolist()
        yield Prediction(
            path,
            tuple(best),
            tuple(dataset.wnids[label] for label in best),
            tuple(dataset.words[label] for label in best),
            tuple(float(probabilities[label]) for label in best),
            crop,
            logits,
        )
