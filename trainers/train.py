"""Trains a net and records the run.

    python trainers/train.py --flagfile=flags/alexnet.cfg --data_dir=data

    python trainers/train.py --flagfile=flags/finetune/squeezenet1_0_frozen.cfg --data_dir=tiny

begins with weights that there are (--init_from): a run's, or published ones.

A flag on the command line overrides the flag file if it comes after it. The same command after an
interruption continues the run. With --find_learning_rate it proposes a rate, and keeps nothing.
"""

from base import commandline
from base.errors import UserError
from trainers.config import TrainConfig, from_flags
from trainers.training.measuring.config import FinderConfig


def main() -> None:
    """Reads the flags and trains."""
    config = from_flags()
    if not config.net:
        raise UserError("no net is named: --net=NAME, or --flagfile=flags/NAME.cfg")
    finder = commandline.config_from_flags(FinderConfig)
    if finder.find_learning_rate:
        from trainers.training.measuring.learning_rate import find_learning_rate

        find_learning_rate(config, finder.learning_rate_picture)
        return
    from trainers.training import session

    session.train(config)


if __name__ == "__main__":
    commandline.run(main, configs=[TrainConfig, FinderConfig], gpus=True)
