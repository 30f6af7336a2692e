"""Scores a trained run on every image of a split.

    python trainers/evaluate.py --run=runs/alexnet/1

Builds the net from the run's own copy of its source and prints top-1 and top-5 accuracy; the
result goes into the run folder, named by its protocol.
"""

from data_prep import commandline
from trainers.config import EvaluateConfig


def main() -> None:
    """Reads the flags and evaluates."""
    config = commandline.config_from_flags(EvaluateConfig)
    if not config.run:
        raise commandline.UserError("no run is named: --run=runs/EXPERIMENT/NUMBER")
    from trainers import evaluation

    score, file = evaluation.evaluate(config)
    print(f"{config.split}, {config.protocol}: {score.line()} over {score.images} images")
    print(f"written to {file}")


if __name__ == "__main__":
    commandline.run(main, configs=[EvaluateConfig])
