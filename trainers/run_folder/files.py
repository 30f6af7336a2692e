"""What the JSON files of a run folder hold: each one's type, for who writes it and who reads it.

`base/typed_json.py` says why these are msgspec's structs, and what a file's `format` is. A field
without a default is one that readers rely on; a file that lacks it is at fault. What is None was
not known, or was not a finite number. Unknown keys are passed over.

metrics.jsonl has no format number in its lines, as these are as they always were: the number will
come with the first change, and lines that have a newer one are refused already.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from base import typed_json
from base.errors import listed
from data_prep import schema

# The newest formats that are known. 1: a number that is not finite is null, not NaN.
FORMAT = 1
LINE_FORMAT = 0

# The protocols of evaluations, by the names that flags and files have for them.
CENTER_CROP = "center_crop"
TEN_CROP = "ten_crop"
CROPS_144 = "crops_144"
DENSE = "dense"
DENSE_MULTI_SCALE = "dense_multi_scale"
PROTOCOLS = (CENTER_CROP, TEN_CROP, CROPS_144, DENSE, DENSE_MULTI_SCALE)

# How many sums a training keeps of each step: see `trainers/training/step.py`.
COLUMNS = 7

# (height, width) in pixels, or a square's one side.
Size = tuple[int, int] | int


class Constraints(msgspec.Struct, kw_only=True, frozen=True):
    """The file that pins what a bit-exact run needs, and what was installed in place of it."""

    sha256: str
    differing: dict[str, str] = {}


class Cuda(msgspec.Struct, kw_only=True, frozen=True):
    """What computes on GPUs: versions, the GPUs' compute capabilities, and whether TF32 is on."""

    driver: str | None = None
    cuda: str | None = None
    cudnn: str | None = None
    nccl: str | None = None
    compute_capabilities: tuple[str, ...] = ()
    tf32: bool | None = None


class Environment(msgspec.Struct, kw_only=True, frozen=True):
    """environment.json: the machine and the code that a run came from.

    `variables` are those of the environment that TensorFlow reads. `cuda` is None without GPUs.
    `git_uncommitted` is `git diff HEAD`, cut perhaps, as `git_uncommitted_cut` then says.
    """

    python: str | None = None
    machine: str | None = None
    cpu: str | None = None
    memory_gib: float | None = None
    packages: dict[str, str] = {}
    constraints: Constraints | None = None
    variables: dict[str, str] = {}
    gpus: tuple[str, ...] = ()
    cuda: Cuda | None = None
    git_commit: str | None = None
    git_untracked: tuple[str, ...] = ()
    git_uncommitted: str | None = None
    git_uncommitted_cut: str | None = None


class ChannelStatistics(msgspec.Struct, kw_only=True, frozen=True):
    """The mean and deviation of a data set's pixels, in levels 0..255, RGB."""

    channel_mean: tuple[float | None, ...]
    channel_std: tuple[float | None, ...]


class Data(msgspec.Struct, kw_only=True, frozen=True):
    """data.json: what a run is trained on, and what its net is given.

    `records` are by split; `image_size` is by `train` and `eval`. What comes after `image_size` is
    known of this workspace's own data sets only; `manifest_sha256` is `Manifest.sha256`.
    """

    label_order: str
    num_classes: int
    records: dict[str, int]
    wnids: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    image_size: dict[str, Size] = {}
    statistics: ChannelStatistics | None = None
    name: str | None = None
    config: str | None = None
    settings: schema.ImageSettings | None = None
    generated: bool | None = None
    manifest_sha256: str | None = None


class Means(msgspec.Struct, kw_only=True, frozen=True):
    """The means over some images: loss in nats, accuracies as fractions."""

    images: int
    loss: float | None
    top1: float
    top5: float


class Imported(msgspec.Struct, kw_only=True, frozen=True):
    """The file of weights that others have trained, from which a run was made.

    `key` is which of the file's state dicts, where it is one of several things in it.
    """

    file: str = "a file"
    sha256: str | None = None
    form: str | None = None
    key: str | None = None
    arrays: int | None = None


class InitialWeights(msgspec.Struct, kw_only=True, frozen=True):
    """initial.json: what a training has begun with, by --init_from; teacher.json: what teaches it.

    `source` is what the flag names: a checkpoint of a run, as RUN/FILE, or a file of weights, whose
    bytes `sha256` is of. `taken` counts arrays; `left` are those of the source that were not taken,
    `anew` the net's that began without one, `<layer>/<variable>`. `device_map` is what normalised
    the source's images.
    """

    source: str = "a file"
    sha256: str | None = None
    taken: int | None = None
    left: tuple[str, ...] = ()
    anew: tuple[str, ...] = ()
    device_map: str | None = None

    def line(self) -> str:
        """All of it, for people."""
        taken = "the" if self.taken is None else self.taken
        text = f"{taken} arrays of {self.source}"
        if self.sha256:
            text += f" (SHA-256 {self.sha256[:12]})"
        if self.left:
            text += f", not {listed(self.left)}"
        return f"{text}; anew: {listed(self.anew)}" if self.anew else text


class Result(msgspec.Struct, kw_only=True, frozen=True):
    """result.json: that a run has come to its end, after so many steps, and with what."""

    step: int | None = None
    validation: Means | None = None
    imported: Imported | None = None


class Stretch(msgspec.Struct, kw_only=True, frozen=True):
    """What one process has trained of a run.

    Times are ISO 8601, with their zone. Where `ended` is None it is at work, or was killed.
    `outcome` is one of `history`'s, `reason` what has failed; `changed` are the flags that were
    other than before, as `0.1 -> 0.2`.
    """

    host: str
    began: str
    first_step: int
    changed: dict[str, str] = {}
    ended: str | None = None
    seconds: float | None = None
    last_step: int | None = None
    outcome: str | None = None
    reason: str | None = None


class History(msgspec.Struct, kw_only=True, frozen=True):
    """history.json: who has trained a run, when, and how that ended, the last one last."""

    stretches: tuple[Stretch, ...] = ()


class ScoredWeights(msgspec.Struct, kw_only=True, frozen=True):
    """The weights of a run that were scored.

    `chosen_by_validation`: the checkpoint is the run's best on its validation images.
    """

    run: str
    checkpoint: str
    step: int
    averaged: bool
    chosen_by_validation: bool


class Evaluation(msgspec.Struct, kw_only=True, frozen=True):
    """evaluation_*.json and ensemble_*.json: what an evaluation found, and what that depends on.

    Accuracies are fractions; intervals hold with 95 %, by the method that `interval` names.
    `per_class` has each class's fraction of right images; rows of `most_confused` are true WNID,
    predicted WNID, images. `ensemble` are the runs whose probabilities were averaged. `checkpoint`
    and `weights` are what the flags said, `scored` is what that came to, for each run. `own_data`:
    the images are of the data set that the (first) run was trained on; None: not known.
    """

    protocol: str
    images: int
    top1: float
    top5: float
    loss: float | None = None
    split: str = schema.VALIDATION
    eval_map: str | None = None
    eval_device_map: str | None = None
    checkpoint: str | None = None
    weights: str | None = None
    image_size: Size | None = None
    label_order: str | None = None
    scored: tuple[ScoredWeights, ...] = ()
    data_dir: str | None = None
    manifest_sha256: str | None = None
    own_data: bool | None = None
    scales: tuple[int, ...] | None = None
    short_sides: tuple[int, ...] | None = None
    enlarged_scales: tuple[int, ...] | None = None
    stored: str | None = None
    ensemble: tuple[str, ...] | None = None
    interval: str | None = None
    top1_interval: tuple[float, float] | None = None
    top5_interval: tuple[float, float] | None = None
    calibration_error: float | None = None
    per_class: dict[str, float] = {}
    most_confused: tuple[tuple[str, str, int], ...] = ()
    real_images: int | None = None
    real_top1: float | None = None
    real_top1_interval: tuple[float, float] | None = None


class TrainLine(msgspec.Struct, kw_only=True, frozen=True, tag_field="split", tag=schema.TRAIN):
    """A line of metrics.jsonl: the means over the steps of training since the last such line.

    `input_wait` is the fraction of the time that the steps have waited for data.
    """

    split: ClassVar[str] = schema.TRAIN
    step: int
    epoch: float
    loss: float | None
    top1: float
    top5: float
    learning_rate: float | None = None
    gradient_norm: float | None = None
    images_per_second: float | None = None
    input_wait: float | None = None


class ValidationLine(
    msgspec.Struct, kw_only=True, frozen=True, tag_field="split", tag=schema.VALIDATION
):
    """A line of metrics.jsonl: an evaluation of all validation images while training."""

    split: ClassVar[str] = schema.VALIDATION
    step: int
    epoch: float
    images: int | None = None
    loss: float | None
    top1: float
    top5: float


Line = TrainLine | ValidationLine
_LINES = msgspec.json.Decoder(Line)


class LoopState(msgspec.Struct, kw_only=True):
    """`state` in a checkpoint: what it keeps of the loop beside the variables.

    The data's position follows from the step.

    Attributes:
        step: steps taken.
        label_order: the data set's label-order hash.
        validation_errors: top-1 error of every evaluation so far, for schedules and the best.
        window: the sum of the rows (`train_step`) of the steps since the last line of metrics.
    """

    step: int
    label_order: str
    validation_errors: list[float]
    window: list[float]


def first_state(label_order: str) -> LoopState:
    """Where a training begins, on a data set with this label-order hash."""
    return LoopState(step=0, label_order=label_order, validation_errors=[], window=[0.0] * COLUMNS)


def read_state(text: str | bytes) -> LoopState:
    """The state that `state_text` has written. Raises as `typed_json.read`."""
    raw: dict[str, Any] = typed_json.read(text, dict[str, Any], FORMAT)
    window = raw.get("window")
    if isinstance(window, list):  # a sum that was not finite stays so
        raw["window"] = [math.nan if value is None else value for value in window]
    return typed_json.converted(raw, LoopState)


def state_text(state: LoopState) -> str:
    """A checkpoint's state as text."""
    return json.dumps(typed_json.plain(state) | {"format": FORMAT}, sort_keys=True, allow_nan=False)


def read_lines(text: str) -> list[Line] | None:
    """All lines of metrics.jsonl at once, or None where any is not as it should be."""
    try:
        for line in text.split("\n") if '"format"' in text else ():
            typed_json.refuse_newer(line or "{}", LINE_FORMAT)
        return _LINES.decode_lines(text)
    except (msgspec.DecodeError, typed_json.FileError, RecursionError):
        return None


def read_line(text: str) -> Line:
    """One line of metrics.jsonl. Raises as `typed_json.read`."""
    return typed_json.read(text, Line, LINE_FORMAT)


def line_text(line: Line) -> str:
    """A line of metrics.jsonl, with its keys in the order that people read: when, then what."""
    values: Mapping[str, Any] = msgspec.structs.asdict(line)
    head = {"step": line.step, "epoch": line.epoch, "split": line.split}
    rest = {name: typed_json.plain(value) for name, value in values.items() if name not in head}
    return json.dumps(head | rest, allow_nan=False) + "\n"
