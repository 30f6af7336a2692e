"""Checkpoints: one `.npz` file each, whole or absent, readable without TensorFlow.

A checkpoint holds every weight of the net under `model/<path>`, what else the step keeps under
names such as `optimizer/<slot>/<path>` and `ema/<path>`, and the loop's state as JSON in `state`.
It is written whole or not at all (`base/files.py`). Each array has a CRC in the file, so a damaged
checkpoint is noticed, and the one before it is taken.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from base.errors import UserError
from base.files import atomic, second_name
from base.typed_json import FileError, NewerFormatError
from trainers.run_folder.files import LoopState, read_state, state_text

if TYPE_CHECKING:  # the commands that only look at checkpoints do not need it
    import keras
    import tensorflow as tf

BEST = "best.npz"
MODEL = "model/"
AVERAGES = "ema/"
STATE = "state"
# Weights that are averages over batches, and not learned.
_STATISTICS = ("moving_mean", "moving_variance")
_PATTERN = "step-*.npz"
# What damage in an .npz file, in an array's header or in the state can raise.
DAMAGE = (
    *(OSError, ValueError, TypeError, EOFError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """One checkpoint as read: `arrays` by name, and the loop's `state`."""

    path: pathlib.Path
    arrays: Mapping[str, np.ndarray]
    state: LoopState

    def restore(self, variables: Mapping[str, tf.Variable], *, prefix: str) -> None:
        """Assigns the arrays whose names start with `prefix` to the variables of those names.

        Raises:
            UserError: an array or a variable has no counterpart, or another shape.
        """
        found = {name for name in self.arrays if name.startswith(prefix)}
        if variables.keys() != found:
            odd = sorted(variables.keys() ^ found)
            raise UserError(
                f"{self.path} does not fit: {len(odd)} variables are in one of checkpoint and "
                f"run and not in the other, the first is {odd[0]}"
            )
        for name, variable in variables.items():
            if tuple(variable.shape) != self.arrays[name].shape:
                raise UserError(
                    f"{self.path} does not fit: {name} has shape {self.arrays[name].shape}, "
                    f"the run wants {tuple(variable.shape)}"
                )
            variable.assign(self.arrays[name])


def model_variables(model: keras.Model, prefix: str = MODEL) -> dict[str, tf.Variable]:
    """The weights of a net under their names in a checkpoint.

    Raises ValueError where two weights have one path.
    """
    named = {prefix + variable.path: variable.value for variable in model.weights}
    if len(named) < len(model.weights):
        raise ValueError(f"two weights of {model.name} have one path")
    return named


def save(
    directory: pathlib.Path,
    variables: Mapping[str, tf.Variable],
    state: LoopState,
    *,
    keep: int,
) -> pathlib.Path:
    """Writes the checkpoint of `state.step` and removes all but the `keep` newest.

    Returns its path. An OSError (a full disk) leaves the checkpoints as they were.
    """
    arrays = {name: variable.numpy() for name, variable in variables.items()}
    arrays[STATE] = np.frombuffer(state_text(state).encode(), np.uint8)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"step-{state.step:08d}.npz"
    with atomic(path) as file:
        np.savez(file, allow_pickle=False, **arrays)
    for old in by_step(directory)[:-keep]:
        old.unlink()
    return path


def mark_best(path: pathlib.Path) -> None:
    """Makes `path` the directory's best checkpoint too (a second name for the same file)."""
    second_name(path, path.with_name(BEST))


def best_state(directory: pathlib.Path) -> LoopState | None:
    """The loop's state in the directory's best checkpoint; None where that cannot be read."""
    try:
        # Of a path that is no zip file, NumPy would leave the file open.
        with (directory / BEST).open("rb") as opened, np.load(opened) as file:
            return read_state(file[STATE].tobytes())
    except (FileError, KeyError, *DAMAGE):
        return None


def parameters(directory: pathlib.Path) -> int | None:
    """How many parameters the net of a run has, frozen ones too; None where no checkpoint says so.

    Reads the arrays' headers alone.
    """
    count = 0
    for path in [directory / BEST, *reversed(by_step(directory))]:
        try:
            with zipfile.ZipFile(path) as file:
                for name in file.namelist():
                    weight = name.removesuffix(".npy")
                    if weight.startswith(MODEL) and not weight.endswith(_STATISTICS):
                        with file.open(name) as array:
                            np.lib.format.read_magic(array)
                            shape, *_ = np.lib.format.read_array_header_1_0(array)
                            count += math.prod(shape)
            return count
        except DAMAGE:
            count = 0
    return None


class DamagedError(UserError):
    """A checkpoint that is not what was once written."""


def load(path: pathlib.Path) -> Checkpoint:
    """Reads one checkpoint whole.

    Raises:
        UserError: it is missing, or of a newer workspace.
        DamagedError: it is damaged.
    """
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        state = read_state(arrays.pop(STATE).tobytes())
    except FileNotFoundError:
        raise UserError(f"there is no checkpoint {path}") from None
    except NewerFormatError as error:
        raise UserError(f"the checkpoint {path} {error}") from None
    except (KeyError, *DAMAGE) as error:
        raise DamagedError(f"the checkpoint {path} is damaged ({error})") from None
    return Checkpoint(path, arrays, state)


def load_latest(directory: pathlib.Path) -> Checkpoint | None:
    """The newest readable checkpoint, or None where there is none at all.

    A damaged one is named on the screen and passed over for the one before; where all are
    damaged, UserError. One of a newer workspace is no reason to lose its steps: UserError too.
    """
    error = None
    for path in reversed(by_step(directory)):
        try:
            return load(path)
        except DamagedError as damage:
            error = damage
            print(f"warning: {damage}: falling back to the one before", flush=True)
    if error:
        raise error
    return None


def fault(path: pathlib.Path, *, whole: bool = False) -> str | None:
    """Why a checkpoint cannot be used, or None.

    Looks at the file's table of contents and at its state, which is quick and notices a cut-off
    file; `whole` reads every array and compares its CRC too.
    """
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip() if whole else None
            if damaged is not None:
                return f"{path.name} is damaged ({damaged})"
            with file.open(f"{STATE}.npy") as array:
                read_state(np.lib.format.read_array(array).tobytes())
    except FileNotFoundError:
        return f"{path.name} is missing"
    except KeyError:
        return f"{path.name} is not a checkpoint of a training"
    except NewerFormatError as error:
        return f"{path.name} {error}"
    except DAMAGE as error:
        return f"{path.name} is damaged ({error})"
    return None


def by_step(directory: pathlib.Path) -> list[pathlib.Path]:
    """The directory's checkpoints, oldest first."""
    return sorted(directory.glob(_PATTERN))
