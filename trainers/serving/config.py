"""The flags of predict.py and export.py, as frozen dataclasses."""

import dataclasses
import os

from base.commandline import Settings, flag
from base.errors import UserError
from trainers.config import RUN_HELP, TrainedConfig

SAVED_MODEL = "saved_model"
TFLITE = "tflite"
ONNX = "onnx"
FORMATS = (SAVED_MODEL, TFLITE, ONNX)

INT8 = "int8"
FLOAT16 = "float16"


@dataclasses.dataclass(frozen=True)
class PredictConfig(Settings):
    """What predictions on files depend on."""

    trained: TrainedConfig = dataclasses.field(default_factory=TrainedConfig)

    run: str = flag("", RUN_HELP, common=True)
    json: bool = flag(False, "Print one JSON object a line, for each file.")
    top: int = flag(
        5, "How many classes to say of each image, the likeliest first.", within="[1, 1e9]"
    )
    keep_going: bool = flag(
        False,
        "Exit with 0 though files could not be read: a warning for each. Without, what there is to "
        "say of the others is said, too, and the exit code is 1.",
    )
    picture: str = flag("", "Draw the images with their predictions into this PNG file.")
    saliency: str = flag(
        "", "Draw into this PNG file which pixels the first prediction depends on (its gradient)."
    )
    predict_batch_size: int = flag(32, "Images a step.", within="[1, 1e9]")

    def __post_init__(self) -> None:
        """Refuses what cannot be predicted or drawn."""
        super().__post_init__()
        for name in ("picture", "saliency"):
            path = getattr(self, name)
            if path and os.path.splitext(path)[1].lower() != ".png":
                raise UserError(f"--{name}={path} must end in .png")


@dataclasses.dataclass(frozen=True)
class ExportConfig(Settings):
    """What an exported net depends on."""

    trained: TrainedConfig = dataclasses.field(default_factory=TrainedConfig)

    run: str = flag("", RUN_HELP, common=True)
    format: str = flag(SAVED_MODEL, "What other programs read.", choices=FORMATS)
    output: str = flag("", "The folder to write; it must not exist, or be empty.")
    quantize: str = flag(
        "",
        "Smaller numbers in TFLite: float16 weights, or int8 weights and features, whose ranges "
        "training images give. The accuracy is then measured beside the float32 net's.",
        choices=("", INT8, FLOAT16),
    )
    accuracy_images: int = flag(
        1000,
        "With --quantize: the first N validation images that are scored; 0: all.",
        within="[0, 1e9]",
    )
    data_dir: str = flag("", "Where the run's data set is now; empty: where it was.")
    check_images: str = flag(
        "",
        "A folder of photographs on which the exported net must give the run's logits (default: "
        "validation images of the run's data set).",
    )

    def __post_init__(self) -> None:
        """Refuses what cannot be quantized."""
        super().__post_init__()
        if self.quantize and self.format != TFLITE:
            raise UserError(f"--quantize={self.quantize} needs --format={TFLITE}")
