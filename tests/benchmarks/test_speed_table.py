"""The document on speed has one section for each processor."""

import os
import platform

import pytest

from base.comparison import Comparison
from base.errors import UserError
from benchmarks import commands, speed_table

DOCUMENT = """# Speed

What was measured.

## One, 2 cores

```
old
```

## Another

| a | table |
"""


def test_a_processors_section_is_written_anew_and_the_others_stay(tmp_path):
    path = tmp_path / "speed.md"
    path.write_text(DOCUMENT)
    speed_table.keep(path, "One, 2 cores", ["", "new"])
    assert path.read_text() == DOCUMENT.replace("old", "new")
    speed_table.keep(path, "A third", ["", "its own"])
    begin, third, one, another = path.read_text().split("## ")
    assert begin == "# Speed\n\nWhat was measured.\n\n"
    assert third == "A third\n\n```\nits own\n```\n\n"
    assert one.startswith("One, 2 cores") and another.startswith("Another\n\n| a |")


def test_a_document_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"--output=.*none.md: No such file"):
        speed_table.keep(tmp_path / "none.md", "One", [])


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (
            "model\t\t: 207\nmodel name\t: A Processor\nflags\t: fpu avx2 avx512f\n",
            "A Processor, model 207, AVX-512, ",
        ),
        ("model name\t: Another\nflags\t: fpu avx2\n", "Another, "),
        ("", f"{platform.machine()}, "),
    ],
)
def test_the_processor_says_what_speed_hangs_on(told, said, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(told)
    monkeypatch.setattr(speed_table, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2})
    assert speed_table.processor() == f"{said}3 cores"


def test_seconds_are_compared_with_nothing():
    lines = Comparison("commands", {"train.py": [2.0, 4.0]}, {}, unit="s").lines()
    assert lines[0].split() == ["commands", "s", "lowest", "highest"]
    assert lines[1].split() == ["train.py", "3.0", "2.0", "4.0"]


def test_commands_that_are_measured_exist():
    for command in commands.COMMANDS.values():
        assert (commands.ROOT / command.split()[0]).is_file()


def test_a_command_that_fails_is_named():
    with pytest.raises(UserError, match=r"evaluate fails: error: .*no-run"):
        commands._seconds_of("evaluate", ["trainers/evaluate.py", "--run=/no-run"])
