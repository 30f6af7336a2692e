"""The flags of finding a learning rate."""

import dataclasses
import pathlib

from base.commandline import flag
from base.errors import UserError


@dataclasses.dataclass(frozen=True)
class FinderConfig:
    """What train.py does instead of training; no run has these."""

    find_learning_rate: bool = flag(
        False,
        "Instead of training: raise the learning rate with every step of at most an epoch, say "
        "which one to train with, and keep no run (Smith 2017, section 3.3).",
        group="Finding a learning rate",
    )
    learning_rate_picture: str = flag(
        "learning_rate.png", "The PNG file for the losses over these rates."
    )

    def __post_init__(self) -> None:
        """Refuses what is no picture."""
        if pathlib.Path(self.learning_rate_picture).suffix.lower() != ".png":
            raise UserError(
                f"--learning_rate_picture={self.learning_rate_picture} must end in .png"
            )
