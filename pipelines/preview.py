"""Draws what the input pipeline does: a contact sheet of the first training images of a run.

    python pipelines/preview.py --flagfile=flags/alexnet.cfg --output=preview.png

One row an image; one column for the stored image and one after each map function, with what was
drawn for it under the tile. The last column is what the net is given. They are the very pixels that
a training with these flags begins with: same order, same seeds.
"""

import dataclasses
import pathlib
import shlex
import sys

from absl import flags

from base import plugins
from base.commandline import config_from_flags, flag, run
from base.errors import UserError
from pipelines.config import SYNTHETIC, PipelineConfig


@dataclasses.dataclass(frozen=True)
class PreviewConfig:
    """What the contact sheet shows."""

    pipeline: PipelineConfig = dataclasses.field(default_factory=PipelineConfig)
    output: str = flag("preview.png", "The PNG file to write.")
    images: int = flag(6, "How many images, one a row: an even number, because some chains pair.")

    def __post_init__(self) -> None:
        """Refuses what cannot be shown."""
        if self.images < 2 or self.images % 2:
            raise UserError(f"--images={self.images} must be an even number above 0")
        if self.pipeline.data == SYNTHETIC:
            raise UserError("--data=synthetic: random pixels are nothing to look at")
        if pathlib.Path(self.output).suffix.lower() != ".png":
            raise UserError(f"--output={self.output} must end in .png")


def main() -> None:
    """Writes the contact sheet that the flags ask for."""
    config = config_from_flags(PreviewConfig)
    # TensorFlow takes seconds to import; --help does not need it.
    from base.files import save_png
    from pipelines.contact_sheet import columns_of, painted
    from pipelines.reading.dataset import open_dataset

    plugins.load(config.pipeline.plugins)
    dataset = open_dataset(config.pipeline)
    sheet = painted(columns_of(dataset, config.pipeline, config.images))
    save_png(sheet, config.output)
    print(f"{config.images} images after each map function: {config.output}")
    if flags.FLAGS["flagfile"].value:
        own = ("--output", "--images")
        words = [each for each in sys.argv[1:] if not each.startswith(own)]
        print(f"next: {shlex.join(('python', 'trainers/train.py', *words))}")


if __name__ == "__main__":
    run(main, configs=[PreviewConfig], share_flag_files=True)
