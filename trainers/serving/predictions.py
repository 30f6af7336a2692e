"""Predictions on image files: which files, in what order, and what is said of each."""

import concurrent.futures
import dataclasses
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy.special import softmax
from tqdm import tqdm

from base import typed_json
from base.errors import UserError
from base.parallel import in_order, usable_cores
from data_prep.schema import IMAGE_SUFFIXES
from trainers.serving.classifier import Classifier, Stored, UnreadableError
from trainers.training.losses import TOP_K, correct

# The standard input, which is named by `-`.
STDIN = pathlib.Path("/dev/stdin")


@dataclasses.dataclass(frozen=True)
class Truth:
    """What is on an image in truth, by its folder, whose name is a class's.

    Attributes:
        label: the class.
        wnid: its.
        right: whether it is the first class, and whether it is among the first five, by
            `losses.correct`.
    """

    label: int
    wnid: str
    right: tuple[bool, bool]


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
        truth: where the file's folder is a class.
    """

    path: pathlib.Path
    labels: tuple[int, ...]
    wnids: tuple[str, ...]
    words: tuple[str, ...]
    probabilities: tuple[float, ...]
    crop: np.ndarray
    logits: np.ndarray
    truth: Truth | None = None

    def as_json(self) -> dict[str, Any]:
        """The prediction as one JSON object; a probability that is not finite is null."""
        rows = zip(self.labels, self.wnids, self.words, self.probabilities, strict=True)
        found: dict[str, Any] = {
            "file": _shown(self.path),
            "predictions": [
                {"label": label, "wnid": wnid, "words": words, "probability": probability}
                for label, wnid, words, probability in rows
            ],
        }
        if self.truth:
            first, fifth = self.truth.right
            about = {"label": self.truth.label, "wnid": self.truth.wnid}
            found["truth"] = about | {"top1": first, "top5": fifth}
        return typed_json.plain(found)

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """The prediction for people: the file, and one line a class."""
        rows = zip(self.wnids, self.words, self.probabilities, strict=True)
        said = f"  ({self.truth.wnid})" if self.truth else ""
        return [_shown(self.path) + said] + [
            f"  {100 * probability:5.1f} %  {wnid}  {words}" for wnid, words, probability in rows
        ]


def find_files(named: Sequence[str]) -> list[pathlib.Path]:
    """The files that are named, and the images in directories that are, at any depth, sorted.

    A file that is named itself is always tried, whatever its name; `-` is the standard input.
    Links are followed, into each folder once.

    Raises:
        UserError: something named does not exist or is a URL, or a directory holds no images.
    """
    found: list[pathlib.Path] = []
    for name in named:
        path = STDIN if name == "-" else pathlib.Path(name)
        if "://" in name and not path.exists():
            raise UserError(f"{name}: URLs are not read: download the file and name that")
        if not path.exists():
            raise UserError(f"{path}: there is no such file or directory")
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(p for p in _below(path) if p.suffix.lower() in IMAGE_SUFFIXES)
        if not inside:
            raise UserError(f"{path} holds no images ({' '.join(sorted(IMAGE_SUFFIXES))})")
        found += inside
    return found


def _below(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """The files in a folder and its folders, links to folders too."""
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = sorted(folders) if real not in seen else []
        if real not in seen:
            yield from (pathlib.Path(place, name) for name in names)
        seen.add(real)


def read(path: pathlib.Path) -> bytes:
    """A file's bytes, or those of the standard input."""
    return sys.stdin.buffer.read() if path == STDIN else path.read_bytes()


def predict(
    classifier: Classifier,
    files: Sequence[pathlib.Path],
    *,
    batch_size: int,
    keep_going: bool,
    top: int = TOP_K,
    read: Callable[[pathlib.Path], bytes] = read,
) -> Iterator[Prediction]:
    """Predictions on files, in their order; those that cannot be read are passed over.

    Files are read and made ready by as many threads as there are cores, while the net works.

    Raises:
        UserError: after the last prediction: files could not be read; with `keep_going` there is a
            warning for each instead.
    """
    faults: list[str] = []

    def pass_over(path: pathlib.Path, reason: str) -> None:
        faults.append(f"{_shown(path)}: {reason}")
        if keep_going:
            tqdm.write(f"warning: {_shown(path)} is passed over: {reason}", file=sys.stderr)

    def of_batch(ready: Sequence[tuple[pathlib.Path, Stored]]) -> Iterator[Prediction]:
        try:
            crops = classifier.crops([stored for _, stored in ready])
        except UnreadableError as error:
            if len(ready) == 1:
                pass_over(ready[0][0], str(error))
                return
            for each in ready:
                yield from of_batch([each])
        else:
            yield from _predictions(classifier, [path for path, _ in ready], crops, top)

    bar = tqdm(total=len(files), unit="image", leave=False, disable=None)
    with concurrent.futures.ThreadPoolExecutor(usable_cores()) as threads:
        ready: list[tuple[pathlib.Path, Stored]] = []
        made = in_order(
            threads, lambda path: (path, _stored(classifier, path, read)), files, 2 * batch_size
        )
        for path, stored in made:
            bar.update()
            if isinstance(stored, Stored):
                ready.append((path, stored))
            else:
                pass_over(path, stored)
            if len(ready) == batch_size:
                yield from of_batch(ready)
                ready = []
        if ready:
            yield from of_batch(ready)
    bar.close()
    if faults and not keep_going:
        more = f"; {len(faults) - 1} more of {len(files)} files cannot be read, too"
        more = more if len(faults) > 1 else ""
        raise UserError(f"{faults[0]}{more} (--keep_going passes over such files)")


def truth_line(truths: Sequence[Truth]) -> str:
    """The accuracy on files whose folders are classes, for people."""
    first, fifth = 100 * np.mean([truth.right for truth in truths], axis=0)
    return (
        f"top-1 {first:.1f} %, top-{TOP_K} {fifth:.1f} % of {len(truths)} images whose folders are "
        "classes"
    )


def _stored(
    classifier: Classifier, path: pathlib.Path, read: Callable[[pathlib.Path], bytes]
) -> Stored | str:
    """What the data set would store of a file, or why it cannot be read."""
    try:
        return classifier.store(read(path))
    except UnreadableError as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)


def _shown(path: pathlib.Path) -> str:
    return "-" if path == STDIN else str(path)


def _predictions(
    classifier: Classifier, paths: Sequence[pathlib.Path], crops: np.ndarray, top: int
) -> Iterator[Prediction]:
    """What the net says of crops uint8 [b, height, width, 3]."""
    dataset = classifier.dataset
    labels = {wnid: label for label, wnid in enumerate(dataset.wnids)}
    rows = classifier.logits(crops)
    truths = np.array([labels.get(path.absolute().parent.name, -1) for path in paths])
    known = np.maximum(truths, 0)
    right = np.stack([correct(rows, known, k).numpy() > 0 for k in (1, TOP_K)], axis=1)
    for index, (path, logits) in enumerate(zip(paths, rows, strict=True)):
        probabilities = softmax(logits.astype(np.float64))
        best = np.argsort(-logits, kind="stable")[:top].tolist()
        truth = int(truths[index])
        yield Prediction(
            path,
            tuple(best),
            tuple(dataset.wnids[label] for label in best),
            tuple(dataset.words[label] for label in best),
            tuple(float(probabilities[label]) for label in best),
            crops[index],
            logits,
            None if truth < 0 else Truth(truth, dataset.wnids[truth], tuple(right[index].tolist())),
        )
