"""Everything that can stand in a flag is listed, says what it does, and where it comes from."""

import pytest

from base import catalogue
from pipelines.__main__ import stages
from pipelines.chain import MAP_FUNCTIONS
from tests.conftest import assert_one_line_error, run_command
from trainers.__main__ import protocols
from trainers.run_folder.files import PROTOCOLS
from trainers.training.losses import LOSSES
from trainers.training.optimizers import OPTIMIZERS
from trainers.training.schedules import SCHEDULES

REGISTRIES = (MAP_FUNCTIONS, SCHEDULES, OPTIMIZERS, LOSSES)
# As they are before other tests add some of their own.
MAP_FUNCTION_NAMES = MAP_FUNCTIONS.names()
OTHER_NAMES = [name for each in (SCHEDULES, OPTIMIZERS, LOSSES) for name in each.names()]
ENTRIES = [entry for each in REGISTRIES for entry in catalogue.entries(each)] + protocols()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_docstring_begins_with_one_line_and_names_a_source(entry):
    first = entry.text.partition("\n\n")[0]
    assert first.strip() and (entry.name in PROTOCOLS or len(first.splitlines()) == 1)
    assert entry.source, "a citation with its year, or a line `Source: ...`, which may be plain"


def test_every_protocol_is_described():
    assert [entry.name for entry in protocols()] == list(PROTOCOLS)


def test_map_functions_say_where_they_can_stand():
    found = {name: stages(name) for name in MAP_FUNCTION_NAMES}
    assert set(found.values()) == {"host", "device", "host, device"}
    assert (found["decode"], found["mixup"], found["random_flip"]) == (
        "host",
        "device",
        "host, device",
    )


def test_citations_and_sources_are_found():
    def source(text: str) -> str:
        return catalogue.Entry("a", "a", text).source

    assert source("As AlexNet (Krizhevsky et\nal. 2012, section 4).") == "Krizhevsky et al. 2012"
    assert source("Does it (Müller & Hutter 2021).") == "Müller & Hutter 2021"
    assert source("Does it.\n\nSource: fb.resnet.torch.\n\nArgs:\n    a: b.") == "fb.resnet.torch"
    assert source("Does it in 2012 ways.") == ""


@pytest.mark.end_to_end
def test_the_commands_list_everything_and_show_one():
    text = run_command("-m", "pipelines").stdout
    assert all(f"\n  {name}(" in text for name in MAP_FUNCTION_NAMES)
    assert "\n  random_flip(probability=0.5)   [host, device]\n" in text
    text = run_command("-m", "trainers").stdout
    assert all(f"\n  {name}(" in text for name in OTHER_NAMES)
    assert all(f"\n  {name}\n" in text for name in PROTOCOLS)
    shown = run_command("-m", "trainers", "lamb", "ten_crop").stdout
    assert "lamb(beta1=0.9" in shown and "scale_all: whether variables" in shown
    assert "Krizhevsky et al. 2012 (AlexNet)" in shown


@pytest.mark.parametrize(
    ("room", "name", "nearest"),
    [("pipelines", "random_flp", "random_flip"), ("trainers", "cosin", "cosine")],
)
@pytest.mark.end_to_end
def test_an_unknown_name_is_one_line_with_the_nearest(room, name, nearest):
    done = run_command("-m", room, name, code=1)
    assert_one_line_error(done, f"nothing is named {name!r} (did you mean {nearest}?)")
