"""JSON files with a type: checked as they are read, numbered by format, free of NaN and Infinity.

The types are msgspec's structs, or plain dataclasses. msgspec checks while it decodes and says
which field is wrong; it reads the 18,000 lines that a long training leaves several times faster
than `json`, and no schema is written a second time beside the types. Writing is left to `json`,
because msgspec writes some numbers in other characters (`8e-7`, `1e16`) than older files have them.

A file has a key `format`. One without is of format 0, from before there was such a number. Keys
that are not known are passed over, so that people and later versions may add some; what an older
version would misunderstand raises the number, and is then refused by name.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

Content = TypeVar("Content")

_FORMAT = "format"
_AT = re.compile(r" - at `\$\.?(?P<field>[^`]*)`")
_MISSING = re.compile(r"missing required field `(?P<field>[^`]*)`")


class FileError(ValueError):
    """What is wrong with a file's text, as words that follow its name: `has no loss`."""


class NotJsonError(FileError):
    """The text is cut off, or was never JSON."""


class NewerFormatError(FileError):
    """The file is whole, and of a later version of the workspace."""


class _Numbered(msgspec.Struct):
    format: int = 0


def read(text: str | bytes, kind: type[Content] | Any, newest: int) -> Content:
    """A file's content.

    Args:
        text: the file's, one JSON value. NaN and Infinity, which Python's json once wrote, are
            read as null.
        kind: the type of the content, or a union of structs with tags.
        newest: the newest format that is known.

    Raises:
        FileError: it is not of this type; the words name the field.
        NotJsonError: it is not JSON.
        NewerFormatError: its format is newer.
    """
    try:
        refuse_newer(text, newest)
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        raise FileError(_in_words(str(error))) from None
    except RecursionError:
        raise NotJsonError("is nested too deeply") from None
    except msgspec.DecodeError as error:
        reason = error
    try:
        value = json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        raise NotJsonError(f"is not JSON ({reason})") from None
    _refuse(converted(value, _Numbered).format, newest)
    return converted(value, kind)


def converted(value: Any, kind: type[Content] | Any) -> Content:
    """What `json` has read, as a type. Raises FileError where it is not of it."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise FileError(_in_words(str(error))) from None


def refuse_newer(text: str | bytes, newest: int) -> None:
    """Raises NewerFormatError for a JSON object whose format is newer than `newest`."""
    mark = b'"format"' if isinstance(text, bytes) else '"format"'
    if mark in text:  # type: ignore[operator]
        _refuse(msgspec.json.decode(text, type=_Numbered).format, newest)


def write(value: Any, number: int) -> str:
    """A file's text: one key a line, sorted, with its format's number; see `plain`."""
    content = plain(value) | {_FORMAT: number}
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """A struct, a dataclass or a container of such as JSON has it.

    A number that is not finite becomes None. A struct's field that is None, and is so by default,
    is left out.
    """
    if isinstance(value, msgspec.Struct):
        fields = {each.name: each.default for each in msgspec.structs.fields(value)}
        found = {name: getattr(value, name) for name in fields}
        return {
            name: plain(field)
            for name, field in found.items()
            if not (field is None and fields[name] is None)
        }
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def _refuse(found: int, newest: int) -> None:
    if found > newest:
        known = f"formats 0 to {newest}" if newest else "format 0"
        raise NewerFormatError(
            f"is of format {found}, this version reads {known}: update the workspace"
        )


def _in_words(message: str) -> str:
    """msgspec's message as words that follow a file's name, on one line."""
    message = " ".join(message.split())
    at = _AT.search(message)
    if missing := _MISSING.search(message):
        inside = f" in its {at['field']}" if at else ""
        return f"has no {missing['field']}{inside}"
    if at is None:
        return "is not a JSON object" if "`object`" in message else f"cannot be used ({message})"
    return f"has a {at['field']} that cannot be used ({message[: at.start()].lower()})"
