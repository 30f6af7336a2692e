"""Runs and their metrics as pandas DataFrames, for whoever goes on with them in Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from base.errors import UserError
from trainers.run_folder.records import RunRecord, differing_flags

if TYPE_CHECKING:
    import pandas


def runs(records: Sequence[RunRecord]) -> pandas.DataFrame:
    """See `trainers.read_runs`: accuracies are fractions, losses nats, `best_epoch` is theirs."""
    flags = differing_flags(records)
    flags.pop("net", None)  # which has its own column
    rows = []
    for record in records:
        best = record.best
        rows.append(
            {
                "state": record.state,
                "net": record.net,
                "epochs": record.epochs,
                "top1": best.top1 if best else None,
                "top5": best.top5 if best else None,
                "loss": best.loss if best else None,
                "best_epoch": best.epoch if best else None,
                "images_per_second": record.images_per_second,
                "directory": str(record.directory),
            }
            | {f"--{name}": record.flags.get(name) for name in flags}
        )
    return _pandas().DataFrame(rows, index=[record.name for record in records])


def metrics(record: RunRecord) -> pandas.DataFrame:
    """A row for each line of metrics.jsonl that can be read, in the order of steps.

    What lines of one split alone have is missing in those of the other: `learning_rate`,
    `gradient_norm`, `images_per_second` and `input_wait` in validation's, `images` in training's.
    """
    rows = [{"split": line.split, **msgspec.structs.asdict(line)} for line in record.metrics]
    return _pandas().DataFrame(rows)


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise UserError(
            "runs as tables need pandas: pip install pandas, or pip install -e '.[notebooks]'"
        ) from None
    return pandas
