"""The flags of evaluate.py, as a frozen dataclass."""

import dataclasses
import os

from base.commandline import Settings, flag
from base.errors import UserError
from data_prep import schema
from trainers.config import RUN_HELP, TrainedConfig
from trainers.run_folder.files import CENTER_CROP, DENSE, DENSE_MULTI_SCALE, PROTOCOLS


@dataclasses.dataclass(frozen=True)
class EvaluateConfig(Settings):
    """What an evaluation of finished or running runs depends on."""

    trained: TrainedConfig = dataclasses.field(default_factory=TrainedConfig)

    run: tuple[str, ...] = flag(
        (),
        f"{RUN_HELP} Several, separated by commas: the ensemble of them, by averaged "
        "probabilities.",
        common=True,
    )
    data_dir: str = flag(
        "", "Data set directory, or the parent of one (default: the run's).", group="Data"
    )
    split: str = flag(schema.VALIDATION, "The split to score.", choices=schema.SPLITS)
    output: str = flag(
        "", "The JSON file to write the result to (default: one in the first run's folder)."
    )
    save_predictions: bool = flag(
        False,
        "Save what is said of each image, too, beside the result (*.predictions.npz): its file's "
        "name, truth, five likeliest classes, probabilities and loss, with small pictures of the "
        "worst. `runs.py mistakes` and the report show them.",
    )
    real_labels: str = flag(
        "",
        "ReaL labels of ILSVRC's validation images (Beyer et al. 2020): the published real.json, a "
        "list with a list of labels for each file by its number. Files without any are left out.",
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
        0,
        "Side of the crops in pixels, for another size than the run's; 0: the run's.",
        within="[0, 65535]",
    )
    eval_device_map: str = flag("", "Device chain, instead of the run's.")
    replicas: str = flag(
        "auto", "auto: every GPU, else the CPU. N: that many GPUs. cpu:N.", group="Devices"
    )
    eval_batch_size: int = flag(
        0,
        "Images (or views of images) a step over all replicas; 0: as the run had it.",
        within="[0, 1e9]",
    )

    def __post_init__(self) -> None:
        """Refuses what no evaluation can use."""
        super().__post_init__()
        if os.path.isdir(self.output):
            raise UserError(f"--output={self.output} is a folder: name a file in it")
        if not all(scale.isdigit() and int(scale) > 0 for scale in self.scales):
            raise UserError(f"--scales={','.join(self.scales)} are not sizes in pixels, as 256,384")
        if self.protocol == DENSE and len(self.scales) > 1:
            raise UserError(f"--protocol={DENSE} has one scale: use --protocol={DENSE_MULTI_SCALE}")
        if self.image_size and self.protocol in (DENSE, DENSE_MULTI_SCALE):
            raise UserError(f"--image_size: --protocol={self.protocol} takes whole images")
        if self.real_labels and self.split != schema.VALIDATION:
            raise UserError("--real_labels: there are such labels for the validation images only")
