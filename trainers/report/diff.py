"""What `runs.py diff A B` prints: two runs, beside each other where they differ."""

from __future__ import annotations

import difflib
import hashlib
import pathlib
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from base import plugins, typed_json
from base.errors import UserError
from trainers.config import FLAGS_FILE, NET_DIR
from trainers.report.tables import aligned, epochs_text, percent
from trainers.run_folder.records import RunRecord

# Values of these would fill the screen; the label order's hash stands for the first two.
_LISTS = ("wnids", "words")
_DIFFS = ("git_uncommitted",)
_MISSING = "-"


def diff_text(a: RunRecord, b: RunRecord) -> str:
    """The two runs' flags, net source, environment, data and metrics, each where they differ."""
    sections = {
        "flags": _values(a.flags, b.flags),
        "net source": list(source_diff(a, b)),
        "environment": _values(_fields(a.environment), _fields(b.environment)),
        "data": _values(_fields(a.data), _fields(b.data)),
        "metrics": list(_metrics(a, b)),
    }
    if begun := _values(_fields(a.initial), _fields(b.initial)):
        sections["initial weights"] = begun
    if taught := _values(_fields(a.teacher), _fields(b.teacher)):
        sections["teacher"] = taught
    lines = [f"a: {_headline(a)}", f"b: {_headline(b)}"]
    for title, content in sections.items():
        lines += ["", title, *(content or ["    nothing differs"])]
    return "\n".join(lines)


def source_diff(a: RunRecord, b: RunRecord) -> Iterator[str]:
    """The runs' copies of their nets' source, as a unified diff of all files."""
    for name in _source_names(a, b):
        before, after = (_source_lines(record, name) for record in (a, b))
        yield from difflib.unified_diff(
            before, after, f"{a.name}/{name}", f"{b.name}/{name}", lineterm=""
        )


def run_tool(a: RunRecord, b: RunRecord, tool: str) -> int:
    """Opens `tool` on flags.cfg and on each file of the nets' source in which the runs differ.

    Args:
        a: a run.
        b: another one.
        tool: a command, with options perhaps; called with the two paths, once for each file.

    Returns:
        How many files it was called for.

    Raises:
        UserError: there is no such command.
    """
    try:
        command = shlex.split(tool)
    except ValueError as error:
        raise UserError(f"--tool={tool} cannot be read: {error}") from None
    names = [FLAGS_FILE] if a.flags != b.flags else []
    for name in _source_names(a, b):
        if _source_lines(a, name) != _source_lines(b, name):
            names.append(name)
    for name in names:
        paths = [record.directory / name for record in (a, b)]
        shown = [path if path.exists() else pathlib.Path("/dev/null") for path in paths]
        try:
            # Its exit code says whether files differ, in some tools, and not that it failed.
            subprocess.run([*command, *map(str, shown)], check=False)
        except OSError as error:
            raise UserError(f"--tool={tool} cannot be started: {error.strerror}") from None
    return len(names)


def _headline(record: RunRecord) -> str:
    faults = f" ({'; '.join(record.faults)})" if record.faults else ""
    return f"{record.directory}, {record.net or 'net not known'}, {record.state}{faults}"


def _values(a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
    """A table of the names whose values differ."""
    differing = [name for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name)]
    if not differing:
        return []
    rows = [(name, _shown(a, name), _shown(b, name)) for name in differing]
    return [f"    {line}" for line in aligned([("", "a", "b"), *rows])]


def _shown(values: Mapping[str, str], name: str) -> str:
    return _MISSING if name not in values else values[name] or "(empty)"


def _fields(content: msgspec.Struct | None) -> dict[str, str]:
    """What a file says, as text by dotted name; nothing of what is not known."""
    return _flat(typed_json.plain(content)) if content is not None else {}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested values as text by dotted name; long lists and diffs by their length and hash."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        elif name in _DIFFS and value:
            digest = hashlib.sha256(value.encode()).hexdigest()[:8]
            flat[prefix + name] = f"{len(value.splitlines())} lines, SHA-256 {digest}..."
        elif name not in _LISTS:
            flat[prefix + name] = str(value)
    return flat


def _source_names(a: RunRecord, b: RunRecord) -> list[str]:
    """The files of both runs' copies of nets and plugins, as seen from their folders."""
    return sorted(
        {
            path.relative_to(record.directory).as_posix()
            for record in (a, b)
            for folder in (NET_DIR, plugins.FLAG)
            for path in (record.directory / folder).rglob("*.py")
        }
    )


def _source_lines(record: RunRecord, name: str) -> list[str]:
    try:
        text = (record.directory / name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.splitlines()


def _metrics(a: RunRecord, b: RunRecord) -> Iterator[str]:
    """The runs' figures side by side, then their validation, epoch by epoch."""
    rows = [("", "a", "b"), ("epochs", epochs_text(a), epochs_text(b))]
    speeds = [_number(record.images_per_second, ".1f") for record in (a, b)]
    rows.append(("images/s", speeds[0], speeds[1]))
    for place, label in enumerate(("best top-1", "top-5 then")):
        best = [percent(record.accuracy[place] if record.accuracy else None) for record in (a, b)]
        rows.append((label, best[0], best[1]))
    for name in sorted(a.evaluations.keys() | b.evaluations.keys()):
        found = [percent(_top1(record, name)) for record in (a, b)]
        rows.append((f"{name} top-1", found[0], found[1]))
    yield from (f"    {line}" for line in aligned(rows, right={1, 2}))
    by_epoch = [{line.epoch: line for line in record.validation} for record in (a, b)]
    epochs = sorted(by_epoch[0].keys() | by_epoch[1].keys())
    if not epochs:
        return
    table = [("validation: epoch", "top-1 a", "top-1 b", "loss a", "loss b")]
    for epoch in epochs:
        lines = [lines_of_run.get(epoch) for lines_of_run in by_epoch]
        top1 = [percent(line.top1 if line else None) for line in lines]
        loss = [_number(line.loss if line else None, ".4f") for line in lines]
        table.append((f"{epoch:g}", top1[0], top1[1], loss[0], loss[1]))
    yield ""
    yield from (f"    {line}" for line in aligned(table, right=range(5)))


def _top1(record: RunRecord, evaluation: str) -> float | None:
    found = record.evaluations.get(evaluation)
    return found.top1 if found else None


def _number(value: float | None, form: str) -> str:
    return _MISSING if value is None else format(value, form)
