"""Flags without a command line: a configuration from a flag file and keyword arguments.

What the functions of `trainers` and `pipelines` take that are called from Python is read as a
command's arguments are, so that a flag means the same in both.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from base.commandline import define_flags, flag_line, parse_flags
from base.errors import UserError

# Where a flag file is.
Path = str | os.PathLike[str]


def arguments(flag_file: Path, values: Mapping[str, Any]) -> list[str]:
    """The arguments of a command that has this flag file, if it is not empty, and these flags.

    Args:
        flag_file: its path, or nothing.
        values: by the flags' names. Lists and tuples are those of flags that take several values.
    """
    file = [f"--flagfile={os.fspath(flag_file)}"] if flag_file else []
    return [*file, *(flag_line(name, value) for name, value in values.items())]


def parsed(
    config_class: type, given: Sequence[str], *, share_flag_files: bool = False
) -> flags.FlagValues:
    """The flags of a configuration as these arguments set them, apart from the process's own.

    Args:
        config_class: whose fields are the flags.
        given: a command's arguments.
        share_flag_files: as in `commandline.run`.

    Raises:
        UserError: one is no flag, or has a value that it may not have; a flag file cannot be read.
    """
    values = flags.FlagValues()
    define_flags(config_class, values)
    try:
        rest = parse_flags(given, values, share_flag_files=share_flag_files)
        if rest:
            raise UserError(f"{rest[0]!r} is not a flag")
    except UserError as error:
        raise UserError(f"{' '.join(given)}: {error}") from None
    return values
