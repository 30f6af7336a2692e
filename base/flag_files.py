"""Flag files: one flag a line, blank lines, and comments on lines of their own (`#` or `//`).

`--flagfile=FILE` stands for the lines of FILE, on a command line and in a flag file. A nested file
is looked for beside the file that names it, so that it is found from any working directory; files
from the time when it was not may name theirs from the working directory.

This is the only reader of flag files: the parser of absl is given what it has made of them.
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterable, Sequence

from base import plugins
from base.errors import UserError

_FLAG = "flagfile"
_COMMENTS = ("#", "//")
_COMMENT_BEHIND = re.compile(r"\s(#|//)")
# Text for people may have such a sign in it.
_FREE_TEXT = "note"


@dataclasses.dataclass(frozen=True)
class Argument:
    """One argument of a command, and where it stands.

    Attributes:
        text: such as `--net=alexnet`.
        file: the flag file that has it; None for the command line.
        line: its line there, from 1.
    """

    text: str
    file: pathlib.Path | None = None
    line: int = 0

    @property
    def name(self) -> str:
        """The flag's name as it is written, `net` of `--net=alexnet`; a switch may be `nofast`."""
        return self.text.lstrip("-").partition("=")[0]

    @property
    def place(self) -> str:
        """Where it stands, for messages; empty for the command line."""
        return f"{self.file}, line {self.line}" if self.file else ""


def expanded(arguments: Sequence[str]) -> list[Argument]:
    """A command's arguments with the lines of the flag files in place of each `--flagfile`.

    What follows `--` is left as it is.

    Raises:
        UserError: a file cannot be read, or has a line that is no flag; files name each other in a
            circle.
    """
    found: list[Argument] = []
    for part in _parts(arguments):
        found += read(part) if isinstance(part, pathlib.Path) else [Argument(part)]
    return found


def named_files(arguments: Sequence[str]) -> list[pathlib.Path]:
    """The flag files that the arguments themselves name, in order. Raises UserError as above."""
    return [part for part in _parts(arguments) if isinstance(part, pathlib.Path)]


def read(path: str | os.PathLike[str], *, as_written: bool = False) -> list[Argument]:
    """The flags of a file and of those that it names, in order.

    Args:
        path: the file.
        as_written: whether --plugins stays as it is, where copies of these lie beside the file.

    Raises:
        UserError: as `expanded`.
    """
    return _read(pathlib.Path(path).expanduser(), (), as_written)


def value_in(arguments: Iterable[Argument], name: str) -> str | None:
    """What the arguments say of `--name=`, the last time they do; None where they do not."""
    values = [each.text.partition("=")[2] for each in arguments if each.name == name]
    return values[-1] if values else None


def has_comment_behind(line: str) -> bool:
    """Whether a flag's line goes on with what looks like a comment; no flag file may have such."""
    return bool(_COMMENT_BEHIND.search(line)) and not line.startswith(f"--{_FREE_TEXT}=")


def _parts(arguments: Sequence[str]) -> list[str | pathlib.Path]:
    """The arguments, and a path for each flag file among them."""
    parts: list[str | pathlib.Path] = []
    left = list(arguments)
    while left:
        text = left.pop(0)
        if text == "--":
            return [*parts, text, *left]
        name, equals, value = text.partition("=")
        if name not in (f"--{_FLAG}", f"-{_FLAG}"):
            parts.append(text)
            continue
        if not equals:
            value = left.pop(0) if left else ""
        if not value:
            raise UserError(f"--{_FLAG} with no argument: name a file, --{_FLAG}=FILE")
        parts.append(pathlib.Path(value).expanduser())
    return parts


def _read(path: pathlib.Path, above: tuple[pathlib.Path, ...], as_written: bool) -> list[Argument]:
    """Reads a file that is named by the last of the files `above`, which name each other so."""
    if any(_same(path, other) for other in above):
        circle = " -> ".join(map(str, [*above, path]))
        raise UserError(f"flag files name each other in a circle: {circle}")
    found: list[Argument] = []
    for number, line in enumerate(_lines(path), start=1):
        here = Argument(line, path, number)
        if not line or line.startswith(_COMMENTS):
            continue
        if not line.startswith("-") or here.name == "":
            raise UserError(
                f"{here.place}: {line!r} is no flag: each line is one flag, --name=value, or a "
                "comment that starts with #"
            )
        if has_comment_behind(line):
            raise UserError(
                f"{here.place}: {line!r}: a comment has a line of its own, as this one would be "
                "taken for a part of the value"
            )
        value = line.partition("=")[2]
        if here.name.split()[0] == _FLAG:
            found += _read(_nested(here, value), (*above, path), as_written)
        elif here.name == plugins.FLAG and not as_written:
            copies = plugins.beside(path, value)
            found.append(dataclasses.replace(here, text=f"--{plugins.FLAG}={copies}"))
        else:
            found.append(here)
    return found


def _lines(path: pathlib.Path) -> list[str]:
    try:
        # With or without a byte-order mark; Windows's and Unix's ends of lines.
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").split("\n")]
    except UnicodeDecodeError:
        raise UserError(
            f"the flag file {path} is no text: a flag file has one flag a line"
        ) from None
    except OSError as error:
        raise UserError(f"cannot read the flag file {path}: {error.strerror}") from None


def _nested(named: Argument, value: str) -> pathlib.Path:
    """The file that a line of a flag file names."""
    if not value or named.name != _FLAG:
        raise UserError(f"{named.place}: {named.text!r} names no file: write --{_FLAG}=FILE")
    assert named.file is not None
    path = pathlib.Path(value).expanduser()
    beside = named.file.parent / path
    for candidate in (beside, path):
        if candidate.exists():
            return candidate
    tried = f"neither {beside} nor {path}" if beside != path else f"no {path}"
    raise UserError(f"{named.place}: --{_FLAG}={value}: there is {tried}")


def _same(a: pathlib.Path, b: pathlib.Path) -> bool:
    return os.path.realpath(a) == os.path.realpath(b)
