"""The one exception that ends a command in one line.

`base/commandline.py` gives it on to everybody; only what the command line itself is made of imports
it from here, so that there is no circle.
"""


class UserError(Exception):
    """What the user can mend. The message is one line: what was found, where, what to do."""
