"""How every command of the workspace reads its flags, speaks and fails.

A command is a module with `main()` and `commandline.run(main)`. Its flags are the fields of a
frozen dataclass of `Settings`, each made by `flag(default, help)`: `define_flags` turns the class
into absl flags, `config_from_flags` reads them back, and everything below takes the dataclass.

What a user can mend ends in one line on stderr and exit code 1: a `UserError`, a wrong flag, a
full disk. A traceback is a defect of the workspace.

This module must stay light: it is imported before anything else, so that `--help` answers at once.
"""

import csv
import dataclasses
import errno
import functools
import io
import math
import os
import signal
import sys
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, TypeVar

from absl import app, flags, logging

from base import flag_files
from base.errors import UserError, carried
from base.help_text import help_text
from base.tensorflow_start import start_tensorflow

Config = TypeVar("Config")

# What NVIDIA's and AMD's libraries read to know which GPUs a process may see.
_VISIBLE_GPUS = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
# What a user can do about an error of the system, wherever it happens.
_REMEDIES = {
    errno.ENOSPC: "free some, or take another disk",
    errno.EDQUOT: "free some, or take another disk",
    errno.EACCES: "take another place, or give yourself the permission",
    errno.EPERM: "take another place, or give yourself the permission",
    errno.EROFS: "take another place, as this one is not to be written",
}


def flag(
    default: Any,
    said: str,
    *,
    choices: Sequence[str] = (),
    within: str = "",
    group: str = "",
    common: bool = False,
) -> Any:
    """One field of a configuration dataclass that is also a command-line flag.

    Args:
        default: the flag's default value; its type must be the field's annotation.
        said: what `--help` prints, with the unit where there is one.
        choices: the closed list of values, for a string flag.
        within: the interval of a number, as it is written: `[0, 1)` has 0 and not 1, and `(0, inf)`
            all above 0 that are finite; None, for a flag that was not given, is in each.
        group: the title in `--help` under which this flag and those after it are listed.
        common: whether `--help` lists it at the top, as one of the most used.
    """
    metadata = {
        "help": said,
        "choices": tuple(choices),
        "within": within,
        "group": group,
        "common": common,
    }
    return dataclasses.field(default=default, metadata=metadata)


class Settings:
    """What the dataclasses of flags have in common: each number is within its interval."""

    def __post_init__(self) -> None:
        """Raises UserError, which names the flag and what it may be."""
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value, within = getattr(self, field.name), field.metadata.get("within")
            if within and value is not None and (wanted := _outside(value, within)):
                raise UserError(f"--{field.name}={value} must be {wanted}")


def _outside(value: float, interval: str) -> str:
    """What a number would have to be, where it is not in the interval; NaN is in none."""
    low, high = map(float, interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    if above and below:
        return ""
    words = [f"{'at least' if interval[0] == '[' else 'above'} {low:.12g}"]
    if high != math.inf:
        words.append(f"{'at most' if interval[-1] == ']' else 'below'} {high:.12g}")
    elif value == math.inf:
        words.append("finite")
    return " and ".join(words)


def define_flags(config_class: type, flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines one absl flag for each field of `config_class` made by `flag`.

    Fields of type bool, int, float, str and tuple[str, ...] (comma-separated) are understood;
    nested dataclasses contribute their own flags. Other fields are no flags, and are left alone.
    """
    if "flagfile" not in flag_values:  # which absl keeps apart, and does not fill in
        flags.DEFINE_string("flagfile", "", "The last flag file.", flag_values=flag_values)
    module = sys.modules["__main__"]
    hints = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        kind: Any = _plain_type(hints[field.name])
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            define_flags(kind, flag_values)
            continue
        if "help" not in field.metadata:
            continue
        default: Any = field.default
        common: dict[str, Any] = {
            "name": field.name,
            "default": list(default) if kind is tuple else default,
            "help": field.metadata["help"],
            "flag_values": flag_values,
        }
        if field.metadata["choices"]:
            flags.DEFINE_enum(enum_values=field.metadata["choices"], **common)
        elif kind is bool:
            flags.DEFINE_boolean(**common)
        elif kind is int:
            flags.DEFINE_integer(**common)
        elif kind is float:
            flags.DEFINE_float(**common)
        elif kind is str:
            flags.DEFINE_string(**common)
        elif kind is tuple:
            flags.DEFINE_list(**common)
        else:
            raise TypeError(f"{config_class.__name__}.{field.name}: no flag for {kind}")
        # --help lists the flags of the command's own module; these belong there.
        flag_values.register_key_flag_for_module(module.__name__, flag_values[field.name])
        flag_values.register_key_flag_for_module(sys.argv[0], flag_values[field.name])


def config_from_flags(
    config_class: type[Config], flag_values: flags.FlagValues = flags.FLAGS
) -> Config:
    """The flags' values as an instance of `config_class` (which may refuse them by UserError)."""
    hints = typing.get_type_hints(config_class)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(config_class):  # type: ignore[arg-type]
        kind: Any = _plain_type(hints[field.name])
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            values[field.name] = config_from_flags(kind, flag_values)
            continue
        if "help" not in field.metadata:
            continue
        value: Any = flag_values[field.name].value
        # No shell expands a `~` behind `--data_dir=`, or in a flag file.
        if kind is str and value:
            value = os.path.expanduser(value)
        elif kind is tuple:
            value = tuple(map(os.path.expanduser, value))
        values[field.name] = value
    return config_class(**values)


def flag_lines(config: Any) -> list[tuple[str, bool]]:
    """A configuration as flag-file lines, sorted by name: (line, whether it differs from default).

    Reading the lines back by `--flagfile` gives an equal configuration.
    """
    lines: list[tuple[str, bool]] = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            lines += flag_lines(value)
        elif value is not None and "help" in field.metadata:
            lines.append((flag_line(field.name, value), value != field.default))
    return sorted(lines)


def flag_line(name: str, value: Any) -> str:
    """A flag and its value as an argument, or as a line of a flag file."""
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, tuple | list):
        value = _listed(value)
    return f"--{name}={value}"


def run(
    main: Callable[..., int | None],
    *,
    configs: Iterable[type] = (),
    positional: bool = False,
    share_flag_files: bool = False,
    tensorflow: bool = True,
    gpus: bool = False,
) -> NoReturn:
    """Defines the flags of `configs`, parses them, runs `main`, and exits with its code.

    Args:
        main: called with no argument, or with the list of positional arguments if `positional`.
        configs: dataclasses whose fields are the command's flags.
        positional: whether the command takes arguments that are not flags.
        share_flag_files: ignore, in flag files only, the flags of other commands: a flag file
            describes a whole experiment, and some commands use a part of it.
        tensorflow: whether to start TensorFlow, quietly, before `main`.
        gpus: whether the command computes on GPUs; others leave them, and their memory, alone.
    """
    configs = tuple(configs)
    for config_class in configs:
        define_flags(config_class)
    if positional:
        flags.FLAGS.set_gnu_getopt()  # else absl reads no flag after the first argument

    parser = functools.partial(
        _parsed, configs=configs, positional=positional, share_flag_files=share_flag_files
    )

    def guarded(argv: list[str]) -> int:
        # TensorFlow's Python half logs through absl: what it did well is not worth a line.
        logging.set_verbosity(logging.WARNING)
        if not gpus:
            os.environ |= dict.fromkeys(_VISIBLE_GPUS, "-1")
        try:
            if tensorflow:
                start_tensorflow()
            return (main(argv[1:]) if positional else main()) or 0
        except UserError as error:
            fail(str(error))
        except KeyboardInterrupt:
            fail("interrupted", code=130)
        except OSError as error:
            if error.errno in _REMEDIES:
                fail(
                    f"{error.filename or 'the output'}: {error.strerror}: {_REMEDIES[error.errno]}"
                )
            raise
        except Exception as error:
            if said := carried(error):
                fail(said)
            raise

    try:
        try:
            app.run(guarded, flags_parser=parser)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # who reads the output, such as `head`, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(128 + signal.SIGPIPE)
    raise AssertionError("app.run returned")  # it exits the process


def _parsed(
    argv: Sequence[str], *, configs: Sequence[type], positional: bool, share_flag_files: bool
) -> list[str]:
    """`parse_flags` of a whole command line; what it refuses ends the process with one line."""
    if not {"--help", "-help", "-h", "--helpshort"}.isdisjoint(argv[1:]):
        own = {flag.name for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])}
        own -= {field for each in configs for field in _flag_names(each)}
        usage = sys.modules["__main__"].__doc__ or ""
        print(help_text(usage, configs, [flags.FLAGS[name] for name in sorted(own)]))
        sys.exit(0)
    try:
        rest = parse_flags(argv[1:], share_flag_files=share_flag_files)
    except UserError as error:
        fail(f"{error} (--help lists the flags)")
    except SystemExit:
        sys.exit(0)  # --helpfull: absl prints it and exits with 1
    if rest and not positional:
        fail(f"unexpected argument {rest[0]!r}: every setting is a flag, --name=value")
    return [*argv[:1], *rest]


def parse_flags(
    arguments: Sequence[str],
    flag_values: flags.FlagValues = flags.FLAGS,
    *,
    share_flag_files: bool = False,
) -> list[str]:
    """Sets flags from the arguments of a command, and gives those that are no flags.

    Args:
        arguments: without the command's name.
        flag_values: the flags to set; `flagfile` becomes the last flag file that the arguments
            name.
        share_flag_files: as in `run`.

    Raises:
        UserError: there is no such flag, it has no such value, or a flag file cannot be read.
    """
    found = flag_files.expanded(arguments)
    if share_flag_files:
        found = [each for each in found if each.file is None or _known(each.name, flag_values)]
    for each in found:
        is_flag = each.file is not None and each.name in flag_values
        if is_flag and "=" not in each.text and not flag_values[each.name].boolean:
            raise UserError(f"{each.place}: {each.text} has no value: write {each.text}=VALUE")
    try:
        rest = flag_values(["", *(each.text for each in found)])[1:]
    except flags.Error as error:
        said = " ".join(str(error).split())
        unknown = getattr(error, "flagname", None)
        places = [
            each.place
            for each in found
            if each.place and (each.name == unknown or said.startswith(f"flag {each.text}:"))
        ]
        raise UserError(f"{places[-1]}: {said}" if places else said) from None
    files = flag_files.named_files(arguments)
    if files:
        flag_values["flagfile"].value = str(files[-1])
    return rest


def fail(message: str, code: int = 1) -> NoReturn:
    """Ends the process with one line on stderr."""
    sys.stdout.flush()
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


def _plain_type(hint: Any) -> Any:
    """`int` for int and int | None; `tuple` for tuple[str, ...]."""
    if isinstance(hint, types.UnionType):
        hint = next(member for member in typing.get_args(hint) if member is not types.NoneType)
    return typing.get_origin(hint) or hint


def _known(name: str, flag_values: flags.FlagValues) -> bool:
    return name in flag_values or name.removeprefix("no") in flag_values


def _flag_names(config_class: type) -> list[str]:
    """The flags of a configuration, those of nested ones too."""
    values = flags.FlagValues()
    define_flags(config_class, values)
    return list(values)


def _listed(values: Sequence[str]) -> str:
    """Values as absl reads a list, by commas; those that hold a comma are in quotes."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()
