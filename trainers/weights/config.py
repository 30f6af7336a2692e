"""The flags of import_weights.py, as a frozen dataclass."""

import dataclasses

from base.commandline import flag
from trainers.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class ImportConfig:
    """The run that published weights become; --from, no name for a field, is the command's own."""

    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)

    run: str = flag("", "The experiment in which a run is made: runs/NAME, or NAME in --runs_dir.")
    from_key: str = flag(
        "",
        "Which of the state dicts in a PyTorch file, by its key: model_ema. Behind it may stand a "
        "part of the names: state_dict.student. Empty: the trained weights, not averaged ones.",
    )
    keep_device_map: bool = flag(
        False,
        "Keep the given device chains; else they become the normalisation that the published "
        "weights were trained with.",
    )
