"""What `runs.py list` and `runs.py show` print."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from base import typed_json
from base.commandline import flag_lines
from trainers.report import published
from trainers.report.published import Gate
from trainers.run_folder import checkpoints, history
from trainers.run_folder.files import Data, Environment, Line
from trainers.run_folder.records import RunRecord

HEADER = (
    "experiment",
    "run",
    "net",
    "epochs",
    "best top-1",
    "published",
    "protocol differs in",
    "images/s",
    "state",
)
_NUMBERS = range(3, 6)
# A column only where accuracies are of different images.
VALIDATED_ON = "validated on"


def list_table(records: Sequence[RunRecord]) -> str:
    """One line a run, with top-1 accuracies in percent; what is broken says why below its line."""
    rows = [HEADER, *(_row(record) for record in records)]
    if several_sets(records):
        sets = [VALIDATED_ON, *(record.validated_on for record in records)]
        rows = [(*row[:-1], each, row[-1]) for row, each in zip(rows, sets, strict=True)]
    lines = aligned(rows, right={*_NUMBERS, 7})
    table = [lines[0]]
    for record, line in zip(records, lines[1:], strict=True):
        table.append(line)
        table += [f"    {fault}" for fault in record.faults]
    return "\n".join(table)


def several_sets(records: Sequence[RunRecord]) -> bool:
    """Whether the runs were validated on different images."""
    return len({record.validated_on for record in records if record.data}) > 1


def show_text(record: RunRecord) -> str:
    """Everything that is known of one run, for people."""
    sections = {
        "state": _state(record),
        "net": [record.net or "not known", *map(str, _departing_flags(record))],
        "paper gate": list(_gate_lines(record)),
        "data": _summary(record.data, ("wnids", "words")),
        "environment": _summary(record.environment, ("git_uncommitted", "git_untracked")),
        "checkpoints": _checkpoint_lines(record),
        "notes": record.notes.strip().splitlines(),
    }
    lines = [str(record.directory)]
    for title, content in sections.items():
        lines += ["", title, *(f"    {line}".rstrip() for line in content)]
    return "\n".join(lines)


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Rows of cells as lines with aligned columns; those in `right` align at their end."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def percent(fraction: float | None) -> str:
    """A fraction as people read it, `57.1 %`; `-` for None."""
    return "-" if fraction is None else f"{100 * fraction:.1f} %"


def epochs_text(record: RunRecord) -> str:
    """Epochs trained, of those that the flags ask for: `3.2/90`."""
    if not record.metrics:
        return "-"
    done = f"{record.epochs:.3g}"
    if record.config is None or record.config.train_steps:
        return done
    return f"{done}/{record.config.train_epochs:g}"


def published_top1(record: RunRecord) -> float | None:
    """The accuracy, a fraction, by the first published figure that states one."""
    errors = [error.top1 for error in published.published_errors(record) if error.top1 is not None]
    return 1 - errors[0] / 100 if errors else None


def differs_in(gates: Sequence[Gate]) -> str:
    """The kinds of differences to the first published figure; `-` where there is none."""
    return ", ".join(gates[0].kinds) or "nothing" if gates else "-"


def _row(record: RunRecord) -> tuple[str, ...]:
    speed = record.images_per_second
    return (
        record.experiment or ".",
        record.directory.name,
        record.net or "-",
        epochs_text(record),
        percent(record.accuracy[0] if record.accuracy else None),
        percent(published_top1(record)),
        differs_in(published.gates(record)),
        "-" if speed is None else f"{speed:.0f}",
        record.state,
    )


def _state(record: RunRecord) -> list[str]:
    lines = [record.state, *record.faults]
    if record.metrics:
        lines[0] += f", {epochs_text(record)} epochs"
    if record.imported:
        lines.append(f"weights imported from {record.imported}")
    if record.initial:
        lines.append(f"began with {record.initial.line()}")
    if record.teacher:
        lines.append(f"taught by {record.teacher.line()}")
    lines += map(history.in_words, record.history)
    if record.images_per_second is not None:
        lines.append(f"{record.images_per_second:.1f} images/s (median)")
    lines += [
        f"{line.split}: {_score(line)} at epoch {line.epoch:g}"
        for lines_of_split in (record.train, record.validation)
        for line in lines_of_split[-1:]
    ]
    if record.best is not None:
        lines.append(f"best validation: {_score(record.best)} at epoch {record.best.epoch:g}")
    lines += [
        f"{name}: top-1 {percent(found.top1)}, top-5 {percent(found.top5)} "
        f"over {found.images:,} images" + (f" of {found.data_dir}" if found.data_dir else "")
        for name, found in record.evaluations.items()
    ]
    return lines


def _score(line: Line) -> str:
    loss = "not finite" if line.loss is None else f"{line.loss:.4f}"
    return f"top-1 {percent(line.top1)}, top-5 {percent(line.top5)}, loss {loss}"


def _departing_flags(record: RunRecord) -> Iterator[str]:
    """The flags that are not the default, but for the net; all, where they cannot be read."""
    if record.config is None:
        yield from (f"--{name}={value}" for name, value in record.flags.items())
        return
    for line, differs in flag_lines(record.config):
        if differs and not line.startswith("--net="):
            yield line


def _gate_lines(record: RunRecord) -> Iterator[str]:
    found = published.gates(record)
    for gate in found:
        yield str(gate)
    if found:
        differences = found[0].differences
        yield "what differs from the first:" if differences else "the first was measured likewise"
        yield from (f"  {difference}" for difference in differences)
    elif published.published_errors(record):
        yield "not evaluated yet"
    else:
        yield "no figure of this net was published"


def _summary(content: Data | Environment | None, long: Collection[str]) -> list[str]:
    """A file's values, one line each; of long ones only how long they are."""
    values = typed_json.plain(content) if content is not None else {}
    lines = []
    for name, value in sorted(values.items()):
        if name in long and value and isinstance(value, str | list):
            noun = "lines" if isinstance(value, str) else "entries"
            count = len(value.splitlines() if isinstance(value, str) else value)
            value = f"{count} {noun}"
        elif isinstance(value, dict):
            value = ", ".join(f"{key} {_short(inner)}" for key, inner in value.items())
        elif isinstance(value, list):
            value = ", ".join(map(_short, value))
        lines.append(f"{name}: {value if value not in ('', None) else 'none'}")
    return lines


def _short(value: Any) -> str:
    """A value as people read it: floats with five digits, a list in one piece."""
    if isinstance(value, list):
        return f"({', '.join(map(_short, value))})"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _checkpoint_lines(record: RunRecord) -> list[str]:
    directory = record.run.checkpoints
    best = directory / checkpoints.BEST
    paths = [*checkpoints.by_step(directory), *([best] if best.exists() else [])]
    return [f"{path.name}  {path.stat().st_size / 1e6:,.1f} MB" for path in paths] or ["none"]
