"""`--help` has the usage first, then the most used flags, then the others in their groups."""

import dataclasses

import pytest

from base.commandline import flag
from base.help_text import WIDTH, help_text
from tests.conftest import ROOT, run_command


@dataclasses.dataclass(frozen=True)
class Inner:
    depth: int = flag(3, "How deep, in layers.", group="Size", common=True)
    width: int = flag(8, "How wide, in channels; a sentence that is too long for one line of it.")


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner = dataclasses.field(default_factory=Inner)
    own: str = flag("", "Of the command alone.")
    kind: str = flag("a", "Which kind.", choices=("a", "b"), group="Kind")
    mode: str = flag("x", "x: one way. y: another.", choices=("x", "y"))
    fast: bool = flag(False, "In a hurry.", group="Size")
    hidden: int = 5


def test_flags_are_in_groups_with_their_defaults():
    text = help_text("\nDoes it.\n\n    python it.py\n", [Outer])
    assert text.split("\n\nIn every command:")[0] == (
        "Does it.\n\n    python it.py\n\n"
        "Most used:\n  --depth: How deep, in layers. (default: 3)\n\n"
        "Of this command:\n  --own: Of the command alone.\n\n"
        "Size:\n"
        "  --width: How wide, in channels; a sentence that is too long for one line of it. "
        "(default: 8)\n"
        "  --[no]fast: In a hurry. (default: false)\n\n"
        "Kind:\n"
        "  --kind: Which kind. (one of a, b; default: a)\n"
        "  --mode: x: one way. y: another. (default: x)"
    )


COMMANDS = [
    path
    for room in ("data_prep", "pipelines", "trainers")
    for path in sorted((ROOT / room).glob("*.py"))
    if "commandline" in path.read_text() and 'if __name__ == "__main__"' in path.read_text()
]


# Runs a command as `python NAME --help` does, and looks at what it has imported.
RUN = """
import runpy, sys
sys.argv = [sys.argv[1], "--help"]
try:
    if sys.argv[0].endswith(".py"):
        runpy.run_path(sys.argv[0], run_name="__main__")
    else:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
finally:
    assert not {"tensorflow", "keras"} & set(sys.modules)
"""


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_command_answers_without_tensorflow_in_lines_that_fit(path):
    name = path.parent.name if path.name == "__main__.py" else str(path)
    text = run_command("-c", RUN, name).stdout
    assert text.startswith(path.read_text().split('"""')[1].splitlines()[0])
    assert "\nMost used:\n" in text or len(text.splitlines()) < 60
    assert "\nIn every command:\n" in text
    assert max(map(len, text.splitlines())) <= WIDTH
