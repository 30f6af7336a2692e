"""The flags of the commands that use what a run has trained, as frozen dataclasses."""

import dataclasses
import os

from base.commandline import UserError, flag
from data_prep import schema
from trainers.config import TrainConfig

CENTER_CROP = "center_crop"
TEN_CROP = "ten_crop"
CROPS_144 = "crops_144"
DENSE = "dense"
DENSE_MULTI_SCALE = "dense_multi_scale"
PROTOCOLS = (CENTER_CROP, TEN_CROP, CROPS_144, DENSE, DENSE_MULTI_SCALE)

SAVED_MODEL = "saved_model"
TFLITE = "tflite"
ONNX = "onnx"
FORMATS = (SAVED_MODEL, TFLITE, ONNX)

_RUN = (
    "The run: its folder, an experiment's for its newest run, or EXPERIMENT/NUMBER or EXPERIMENT "
    "in runs/."
)


@dataclasses.dataclass(frozen=True)
class TrainedConfig:
    """Which of a run's weights."""

    checkpoint: str = flag(
        "best",
        "Which checkpoint of the run.",
        choices=("best", "last"),
        group="Which of its weights",
    )
    weights: str = flag(
        "auto",
        "averaged: those of --ema_decay. plain: those that were trained. auto: the averaged ones "
        "where there are any.",
        choices=("auto", "averaged", "plain"),
    )


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """What an evaluation of finished or running runs depends on."""

    trained: TrainedConfig = dataclasses.field(default_factory=TrainedConfig)

    run: tuple[str, ...] = flag(
        (),
        f"{_RUN} Several, separated by commas: the ensemble of them, by averaged probabilities.",
        common=True,
    )
    data_dir: str = flag(
        "", "Data set directory, or the parent of one (default: the run's).", group="Data"
    )
    split: str = flag(schema.VALIDATION, "The split to score.", choices=schema.SPLITS)
    real_labels: str = flag(
        "", "ReaL labels: a JSON list with a list of labels for each validation image, in order."
    )
    protocol: str = flag(
        CENTER_CROP,
        "center_crop: as the run's --eval_map has it. ten_crop: corners, centre and mirror images "
        "(AlexNet). crops_144: GoogLeNet's. dense: the whole image, fully convolutional (VGG, "
        "OverFeat, ResNet). dense_multi_scale: that at several scales.",
        choices=PROTOCOLS,
        group="How images are shown to the net",
        common=True,
    )
    scales: tuple[str, ...] = flag(
        (),
        "Shorter sides of the images in pixels, separated by commas (default: the protocol's; "
        "center_crop, ten_crop and dense take the stored size).",
    )
    image_size: int = flag(
        0, "Side of the crops in pixels, for another size than the run's; 0: the run's."
    )
    eval_device_map: str = flag("", "Device chain, instead of the run's.")
    replicas: str = flag(
        "auto", "auto: every GPU, else the CPU. N: that many GPUs. cpu:N.", group="Devices"
    )
    eval_batch_size: int = flag(
        0, "Images (or views of images) a step over all replicas; 0: as the run had it."
    )

    def __post_init__(self) -> None:
        """Refuses what no evaluation can use."""
        for name in ("eval_batch_size", "image_size"):
            if getattr(self, name) < 0:
                raise UserError(f"--{name}={getattr(self, name)} must not be negative")
        if not all(scale.isdigit() and int(scale) > 0 for scale in self.scales):
            raise UserError(f"--scales={','.join(self.scales)} are not sizes in pixels, as 256,384")
        if self.protocol == DENSE and len(self.scales) > 1:
            raise UserError(f"--protocol={DENSE} has one scale: use --protocol={DENSE_MULTI_SCALE}")
        if self.image_size and self.protocol in (DENSE, DENSE_MULTI_SCALE):
            raise UserError(f"--image_size: --protocol={self.protocol} takes whole images")
        if self.real_labels and self.split != schema.VALIDATION:
            raise UserError("--real_labels: there are such labels for the validation images only")


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """What predictions on files depend on."""

    trained: TrainedConfig = dataclasses.field(default_factory=TrainedConfig)

    run: str = flag("", _RUN, common=True)
    json: bool = flag(False, "Print one JSON object a line, for each file.")
    keep_going: bool = flag(
        False, "Pass over files that cannot be read, with a warning, and exit with 0."
    )
    picture: str = flag("", "Draw the images with their predictions into this PNG file.")
    saliency: str = flag(
        "", "Draw into this PNG file which pixels the first prediction depends on (its gradient)."
    )
    predict_batch_size: int = flag(32, "Images a step.")

    def __post_init__(self) -> None:
        """Refuses what cannot be predicted or drawn."""
        if self.predict_batch_size < 1:
            raise UserError(f"--predict_batch_size={self.predict_batch_size} must be at least 1")
        for name in ("picture", "saliency"):
            path = getattr(self, name)
            if path and os.path.splitext(path)[1].lower() != ".png":
                raise UserError(f"--{name}={path} must end in .png")


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """What an exported net depends on."""

    trained: TrainedConfig = dataclasses.field(default_factory=TrainedConfig)

    run: str = flag("", _RUN, common=True)
    format: str = flag(SAVED_MODEL, "What other programs read.", choices=FORMATS)
    output: str = flag("", "The folder to write; it must not exist, or be empty.")
    check_images: str = flag(
        "",
        "A folder of photographs on which the exported net must give the run's logits (default: "
        "validation images of the run's data set).",
    )


@dataclasses.dataclass(frozen=True)
class ImportConfig:
    """The run that published weights become; --from, no name for a field, is the command's own."""

    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)

    run: str = flag("", "The experiment in which a run is made: runs/NAME, or NAME in --runs_dir.")
    keep_device_map: bool = flag(
        False,
        "Keep the given device chains; else they become the normalisation that the published "
        "weights were trained with.",
    )
