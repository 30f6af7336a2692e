"""What a training begins with: the weights of a run, or of a file (--init_from)."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping

import keras
import numpy as np

import nets
from base.errors import UserError, listed
from trainers.config import TrainConfig
from trainers.run_folder import checkpoints
from trainers.run_folder.files import InitialWeights
from trainers.run_folder.finding import find_run
from trainers.run_folder.folder import CHECKPOINTS_DIR
from trainers.weights import files
from trainers.weights.assigning import arrays_for, origin_of

_REMEDY = "--new_head begins the last layer anew"


@dataclasses.dataclass(frozen=True)
class Source:
    """Weights that a training may begin with.

    Attributes:
        path: their file.
        arrays: by `<layer>/<variable>`.
        label_order: the hash of the order of their classes; empty: not known.
        device_map: what has normalised their images; empty: not known.
    """

    path: pathlib.Path
    arrays: Mapping[str, np.ndarray]
    label_order: str = ""
    device_map: str = ""


def open_source(config: TrainConfig, model: keras.Model, entry: nets.Net) -> Source:
    """Reads what --init_from names: a run's best checkpoint, one by its path, or published weights.

    Where a run has averaged its weights, the averages are taken.

    Args:
        config: the flags.
        model: the net.
        entry: its entry in the registry.

    Raises:
        UserError: there is no such run or file, it cannot be read, or it is of another net.
    """
    path = pathlib.Path(config.init_from)
    if path.is_file() and path.parent.name != CHECKPOINTS_DIR:
        weights = files.read(path, flag="--init_from")
        arrays = arrays_for(model, weights, entry)
        return Source(path, arrays, device_map=origin_of(weights, entry).device_map)
    device_map = ""
    if path.is_file():
        checkpoint: checkpoints.Checkpoint | None = checkpoints.load(path)
    else:
        try:
            run = find_run(config.init_from, config.runs_dir, flag="--init_from")
        except UserError as error:
            raise error if path.exists() else UserError(f"{error}; nor is it a file") from None
        device_map = run.flags().pipeline.eval_device_map
        best = run.checkpoints / checkpoints.BEST
        checkpoint = (
            checkpoints.load(best) if best.exists() else checkpoints.load_latest(run.checkpoints)
        )
    if checkpoint is None:
        raise UserError(f"--init_from={config.init_from} has no checkpoint yet")
    averaged = any(name.startswith(checkpoints.AVERAGES) for name in checkpoint.arrays)
    prefix = checkpoints.AVERAGES if averaged else checkpoints.MODEL
    arrays = {
        name.removeprefix(prefix): array
        for name, array in checkpoint.arrays.items()
        if name.startswith(prefix)
    }
    return Source(checkpoint.path, arrays, checkpoint.state.label_order, device_map)


def take(
    source: Source,
    model: keras.Model,
    head: tuple[str, ...],
    label_order: str,
    *,
    new_head: bool,
) -> InitialWeights:
    """Gives a net the source's arrays: all of them, or all but those of its head.

    Args:
        source: where they are from.
        model: the net, which stays as it is where it is refused.
        head: how the names of its last layer's variables begin, and of any auxiliary head's.
        label_order: the hash of the order of the data set's classes.
        new_head: whether the head stays as it is.

    Returns:
        What was taken, and what was not.

    Raises:
        UserError: an array is missing, left over, of another shape or of other classes.
    """
    where = f"--init_from={source.path} does not fit {model.name}"
    variables = {variable.path: variable for variable in model.weights}
    source = dataclasses.replace(source, arrays=nets.fit_positions(model, source.arrays))
    of_head = {name for name in {*variables, *source.arrays} if name.startswith(head)}
    kept = of_head if new_head else set()
    wanted, given = variables.keys() - kept, source.arrays.keys() - kept
    for names, said in (
        (wanted - given, "the net has {}, it has not"),
        (given - wanted, "it has {}, the net has not"),
    ):
        if names:
            hint = f": {_REMEDY}" if names <= of_head else ""
            raise UserError(f"{where}: {said.format(listed(sorted(names)))}{hint}")
    for name in sorted(wanted):
        found, shape = source.arrays[name], tuple(variables[name].shape)
        if found.shape != shape:
            why = _REMEDY if name in of_head else "it is of other options, or another image size"
            raise UserError(f"{where}: {name} has shape {found.shape}, the net's {shape}: {why}")
        if not np.isfinite(found).all():
            raise UserError(f"{where}: {name} has values that are not finite")
    if not new_head and source.label_order not in ("", label_order):
        raise UserError(
            f"{where}: its classes have the label order {source.label_order[:12]}, the data set's "
            f"{label_order[:12]}: {_REMEDY}"
        )
    for name in wanted:
        variables[name].assign(source.arrays[name])
    return InitialWeights(
        source=str(source.path),
        sha256=hashlib.sha256(source.path.read_bytes()).hexdigest(),
        taken=len(wanted),
        left=tuple(sorted(source.arrays.keys() - wanted)),
        anew=tuple(sorted(variables.keys() - wanted)),
        device_map=source.device_map or None,
    )
