"""What `--help` prints: how the command is used, then its flags in groups, the most used first."""

import dataclasses
import textwrap
import typing
from collections.abc import Iterable, Iterator
from typing import Any

from absl import flags

WIDTH = 100
MOST_USED = "Most used"
_UNGROUPED = "Of this command"
_COMMON = """  --flagfile: reads flags from a file, one a line; what comes later wins.
  --help: this text.
  --helpfull: the flags of every module, TensorFlow's and absl's own too."""


def help_text(usage: str, configs: Iterable[type], others: Iterable[flags.Flag[Any]] = ()) -> str:
    """The whole text.

    Args:
        usage: the docstring of the command's module.
        configs: the dataclasses whose fields are the command's flags.
        others: flags that the command has defined by itself.
    """
    groups: dict[str, list[str]] = {MOST_USED: [], _UNGROUPED: []}
    for config in configs:
        for group, field in _grouped(config):
            title = MOST_USED if field.metadata["common"] else group
            groups.setdefault(title, []).append(_described(field))
    for other in others:
        groups[_UNGROUPED].append(_wrapped(other.name, other.help or "", other.default))
    parts = [usage.strip()]
    for title, entries in groups.items():
        if entries:
            parts.append("\n".join([f"{title}:", *entries]))
    return "\n\n".join([*parts, f"In every command:\n{_COMMON}"])


def _grouped(config: type) -> Iterator[tuple[str, "dataclasses.Field[Any]"]]:
    """Each flag's field with the title of its group: the last that a field before it has begun."""
    hints = typing.get_type_hints(config)
    group = _UNGROUPED
    for field in dataclasses.fields(config):
        kind = hints[field.name]
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            yield from _grouped(kind)
        elif "help" in field.metadata:
            group = field.metadata["group"] or group
            yield group, field


def _described(field: "dataclasses.Field[Any]") -> str:
    name = f"[no]{field.name}" if isinstance(field.default, bool) else field.name
    return _wrapped(name, field.metadata["help"], field.default, field.metadata["choices"])


def _wrapped(name: str, said: str, default: Any, choices: Iterable[str] = ()) -> str:
    if isinstance(default, tuple | list):
        default = ",".join(default)
    notes = []
    named = [choice for choice in choices if choice]
    if named and not all(f"{choice}:" in said for choice in named):  # else the text has them
        notes.append(f"one of {', '.join(named)}")
    if default not in ("", None):
        shown = str(default).lower() if isinstance(default, bool) else default
        notes.append(f"default: {shown}")
    text = f"--{name}: {said}" + (f" ({'; '.join(notes)})" if notes else "")
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent="  ",
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )
