"""The one exception that ends a command in one line, and how such a line lists names.

`base/commandline.py` gives it on to everybody; only what the command line itself is made of imports
it from here, so that there is no circle.
"""

import re
from collections.abc import Sequence


class UserError(Exception):
    """What the user can mend. The message is one line: what was found, where, what to do."""


def listed(names: Sequence[str]) -> str:
    """Names in a line: the first ones, and how many more there are."""
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{', '.join(names[:4])}{more}"


def carried(error: Exception) -> str:
    """What a UserError said that was raised within TensorFlow, which hands on its text alone."""
    if not type(error).__module__.startswith("tensorflow."):
        return ""
    found = re.search(rf"\b{UserError.__name__}: (.*)", str(error))
    return found[1] if found else ""
