"""Makes a run of weights that others have trained.

    python trainers/import_weights.py --net=squeezenet1_0 --from=squeezenet1_0.npz \\
        --run=runs/squeezenet1_0 --data_dir=data

Reads the files of keras.applications (.h5, .keras, .weights.h5), torchvision's and timm's (.pth and
.safetensors, also what a training script has saved; torch is not needed, and nothing in them is
run), SqueezeNet's from its authors (.npz), and any net's in our own names and layout, as
<layer>.<variable> (.npz). The images get the net's own size and the publisher's normalisation,
where no flag says otherwise. The new run folder has the net's flags and source
as any other, so that evaluate.py, predict.py and export.py take it. The data set gives the order of
the classes: the weights' classes must be in the sorted order of the WNIDs, as all of these are.
"""

import shlex

from absl import flags

from base import commandline
from base.errors import UserError
from pipelines.config import Phase
from trainers.weights.config import ImportConfig

flags.DEFINE_string("from", "", "The file of weights.")


def main() -> None:
    """Reads the flags and makes the run."""
    config = commandline.config_from_flags(ImportConfig)
    file = str(flags.FLAGS["from"].value)
    for name, value in (
        ("net", config.train.net),
        ("from", file),
        ("run", config.run),
    ):
        if not value:
            raise UserError(f"--{name} is missing: --net=NAME --from=FILE --run=runs/NAME")
    from trainers.weights import importing

    own_size = [phase for phase in Phase if not flags.FLAGS[f"{phase}_map"].present]
    run, said = importing.import_weights(config, file, own_size)
    print("\n".join(said))
    print(f"run folder: {run.directory}")
    words = ("python", "trainers/evaluate.py", f"--run={run.directory}")
    print(f"next: {shlex.join(words)}")


if __name__ == "__main__":
    commandline.run(main, configs=[ImportConfig])
