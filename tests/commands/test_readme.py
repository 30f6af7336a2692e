"""The README's and the documents' tables, commands and links are true."""

import pathlib
import re
import shlex

import numpy as np
import pytest
import tensorflow as tf

import nets
from base.spec import parse_call
from nets import _summary
from pipelines.chain import MAP_FUNCTIONS
from tests.conftest import ROOT, run_command
from trainers.config import read_flag_file
from trainers.run_folder import plugins
from trainers.training.schedules import SCHEDULES

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = [
    block
    for page in PAGES
    for block in re.findall(r"^```\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
]
COMMANDS = [
    shlex.split(line, comments=True)
    for block in BLOCKS
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("python ") and not line.startswith("python -c ")
]
TABLE = (ROOT / "docs/nets.md").read_text()
ROWS = [line.strip("| ").split(" | ") for line in TABLE.splitlines() if line.startswith("| `")]


def script_of(words: list[str]) -> tuple[str, ...]:
    """`trainers/train.py`, or `-m nets`."""
    return tuple(words[1:3]) if words[1] == "-m" else tuple(words[1:2])


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
@pytest.mark.parametrize("script", sorted(set(map(script_of, COMMANDS))), ids=" ".join)
def test_the_commands_exist_and_have_the_flags(script):
    helped = re.findall(r"^  --\S+:", run_command(*script, "--help").stdout, re.MULTILINE)
    for words in COMMANDS:
        if script_of(words) == script:
            for word in words[1 + len(script) :]:
                name = word.partition("=")[0]
                if word.startswith("--flagfile=flags/") and "mine.cfg" not in word:
                    assert pathlib.Path(ROOT / word.partition("=")[2]).is_file(), word
                elif name.startswith("--") and name != "--flagfile":
                    assert {f"  {name}:", f"  --[no]{name[2:]}:"} & set(helped), word


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_links_lead_to_what_is_there(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_page_on_extending_is_a_plugin_that_works(tmp_path):
    [source] = re.findall(
        r"^```python\n(.*?)^```$",
        (ROOT / "docs/extending.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    (tmp_path / "mine.py").write_text(source)
    plugins.load([str(tmp_path / "mine.py")])
    assert nets.build("my_net", 10, 64, width=8).output.shape == (None, 10)
    function = MAP_FUNCTIONS.make(parse_call("random_negative(1.0)"))
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    negative = function({"image": tf.constant(image)}, tf.constant([1, 2]))["image"]
    np.testing.assert_array_equal(negative, 255 - image)
    assert "halves" in SCHEDULES.names()
