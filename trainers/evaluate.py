"""Scores trained runs on every image of a split, by one of the papers' protocols.

    python trainers/evaluate.py --run=runs/alexnet/1 --protocol=ten_crop
    python trainers/evaluate.py --run=runs/googlenet/1,runs/googlenet/2 --protocol=crops_144

Builds each net from its run's own copy of its source. Prints top-1 and top-5 accuracy with their
95 % confidence intervals, which weights these are, and ours beside the published errors; the result
goes into the (first) run folder, a file for each protocol, split and data set, or into --output.
"""

import os
import pathlib
import shlex
import sys
from typing import TYPE_CHECKING

from base import commandline
from base.errors import UserError
from trainers.scoring.config import EvaluateConfig

if TYPE_CHECKING:
    from trainers.scoring.evaluation import Evaluation


def main() -> None:
    """Reads the flags and evaluates."""
    config = commandline.config_from_flags(EvaluateConfig)
    if not config.run:
        raise UserError("no run is named: --run=runs/EXPERIMENT/NUMBER")
    from trainers.scoring import evaluation

    found = evaluation.evaluate(config, _say)
    print(f"written to {found.file}")
    if found.saved:
        print(f"predictions: {found.saved}")
    runs_dir = os.path.relpath(pathlib.Path(found.result.scored[0].run).absolute().parents[1])
    words = ("python", "trainers/runs.py", "report", f"--runs_dir={runs_dir}")
    print(f"next: {shlex.join(words)}")
    if found.saved and not config.output:
        words = ("python", "trainers/runs.py", "mistakes", found.result.scored[0].run)
        print(f"next: {shlex.join(words)}")


def _say(found: "Evaluation") -> None:
    score, result = found.score, found.result
    intervals = ", ".join(
        f"{name} {low:.1%} to {high:.1%}".replace("%", " %")
        for name, interval in (("top-1", result.top1_interval), ("top-5", result.top5_interval))
        if interval is not None
        for low, high in (interval,)
    )
    scales = "".join(f" {scale}" for scale in result.scales or ())
    print(f"{result.split}, {result.protocol}{scales}: {score.line()} over {score.images} images")
    print(f"{result.interval}: {intervals}; calibration error {result.calibration_error:.3f}")
    if result.real_images is not None:
        top1 = "-" if result.real_top1 is None else f"{result.real_top1:.2%}"
        print(
            f"ReaL labels: top-1 {top1} over {result.real_images} images; "
            f"{result.images - result.real_images} have none and are left out (entry k is "
            "of ILSVRC2012_val_k, by file name; labels are ILSVRC's 0 to 999)"
        )
    print("\n".join(found.table), flush=True)
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)


if __name__ == "__main__":
    commandline.run(main, configs=[EvaluateConfig], gpus=True)
