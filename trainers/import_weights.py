"""Makes a run of weights that others have trained.

    python trainers/import_weights.py --flagfile=flags/squeezenet1_0.cfg --from=squeezenet1_0.npz \\
        --run=runs/squeezenet1_0 --data_dir=data

Reads the files of keras.applications (.h5, .keras, .weights.h5), torchvision's (.pth; torch is not
needed), SqueezeNet's from its authors (.npz), and any net's in our own names and layout, as
<layer>.<variable> (.npz). The new run folder has the net's flags and source
as any other, so that evaluate.py, predict.py and export.py take it. The data set gives the order of
the classes: the weights' classes must be in the sorted order of the WNIDs, as all of these are.
"""

from absl import flags

from base import commandline
from base.errors import UserError
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

    run, said = importing.import_weights(config, file)
    if said:
        print(said)
    print(f"run folder: {run.directory}")


if __name__ == "__main__":
    commandline.run(main, configs=[ImportConfig])
