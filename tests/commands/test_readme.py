"""The README's table and commands are true."""

import pathlib
import re
import shlex

import pytest

import nets
from base.spec import parse_call
from nets import _summary
from tests.conftest import ROOT, run_command
from trainers.config import read_flag_file

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    shlex.split(line, comments=True)
    for block in BLOCKS
    for line in block.splitlines()
    if line.startswith("python ")
]
ROWS = [line.strip("| ").split(" | ") for line in README.splitlines() if line.startswith("| `")]


def test_the_table_of_nets_says_what_the_registry_says():
    assert len(ROWS) > 20
    for name, parameters, macs, error, flag_file in ROWS:
        net = nets.entry(name.strip("`"))
        assert parameters == f"{net.params:,}"
        assert macs == f"{net.macs / 1e9:.2f} G"
        assert error == (_summary.published(net.errors[0]) if net.errors else "-")
        config = read_flag_file(ROOT / flag_file.strip("`"))
        assert parse_call(config.net).name == net.name


def test_every_recipe_named_after_a_net_is_in_the_table(monkeypatch):
    monkeypatch.chdir(ROOT)
    named = {path.stem for path in (ROOT / "flags").glob("*.cfg")} & set(nets.names())
    assert named == {row[0].strip("`") for row in ROWS}


@pytest.mark.slow(reason="every command runs in a process of its own")
@pytest.mark.parametrize("script", sorted({words[1] for words in COMMANDS}))
def test_the_commands_exist_and_have_the_flags(script):
    helped = re.findall(r"^  --\S+:", run_command(script, "--help").stdout, re.MULTILINE)
    for words in COMMANDS:
        if words[1] == script:
            for word in words[2:]:
                name = word.partition("=")[0]
                if word.startswith("--flagfile=flags/"):
                    assert pathlib.Path(ROOT / word.partition("=")[2]).is_file(), word
                elif name.startswith("--") and name != "--flagfile":
                    assert {f"  {name}:", f"  --[no]{name[2:]}:"} & set(helped), word
