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

# Ways to explain a prediction: see explanations.py.
GRADCAM = "gradcam"
CAM = "cam"
OCCLUSION = "occlusion"
GRADIENT = "gradient"
EXPLANATIONS = (GRADCAM, CAM, OCCLUSION, GRADIENT)

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
    explain: tuple[str, ...] = flag(
        (),
        "Which parts of each image the prediction depends on, drawn into --picture; one or more of "
        "gradcam (Selvaraju et al. 2017), cam (Zhou et al. 2016; for nets that end in a global "
        "average and one linear layer), occlusion (a gray square slid over it: Zeiler & Fergus "
        "2014), gradient (Simonyan et al. 2014).",
        group="Explanations",
    )
    explain_class: str = flag(
        "", "The WNID of the class that is explained (default: each image's likeliest)."
    )
    explain_layer: str = flag(
        "",
        "The layer whose feature maps gradcam takes (default: the last one that all else depends "
        "on, which the picture names).",
    )
    predict_batch_size: int = flag(32, "Images a step.", within="[1, 1e9]")

    def __post_init__(self) -> None:
        """Refuses what cannot be predicted or drawn."""
        super().__post_init__()
        if self.picture and os.path.splitext(self.picture)[1].lower() != ".png":
            raise UserError(f"--picture={self.picture} must end in .png")
        for method in self.explain:
            if method not in EXPLANATIONS:
                known = ", ".join(EXPLANATIONS)
                raise UserError(f"--explain={method}: explanations are {known}")
        if self.explain and not self.picture:
            raise UserError("--explain draws a picture: name it by --picture=FILE.png")
        if self.explain_layer and GRADCAM not in self.explain:
            raise UserError(f"--explain_layer is of --explain={GRADCAM}")
        if self.explain_class and not self.explain:
            raise UserError("--explain_class needs --explain")


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
