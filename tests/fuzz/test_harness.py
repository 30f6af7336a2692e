"""What accepts damaged input in the other files does notice a reader that does wrong."""

import random
import sys
import time
import warnings

import numpy as np
import pytest

from base.errors import UserError
from tests.fuzz import conftest
from tests.fuzz.mutation import mutate


def refuse():
    raise UserError("damaged: download it again")


def refuse_in_two_lines():
    raise UserError("damaged:\ndownload it again")


def ask_for_memory():
    try:
        np.zeros(100 << 30, np.uint8)
    except Exception:
        raise UserError("damaged") from None


def hang():
    while True:
        time.sleep(0.01)


def chatter():
    warnings.warn("what is this?", stacklevel=1)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: None, None),
        (refuse, None),
        (lambda: {}["missing"], "KeyError: 'missing'"),
        (refuse_in_two_lines, "not one line"),
        (ask_for_memory, "1024 MB were asked for"),
        (hang, "no end after"),
        (chatter, "a warning: what is this?"),
    ],
)
def test_what_a_reader_may_do(call, says, monkeypatch):
    monkeypatch.setattr(conftest, "SECONDS", 0.1)
    with conftest.limited():
        found = conftest.outcome(call, (UserError,))
    assert found is None if says is None else says in found


def test_a_failure_names_its_mutation_and_stderr_counts(fuzz):
    def fails(damaged: bytes) -> None:
        assert damaged.startswith(b"magic")

    def speaks(damaged: bytes) -> None:
        print("libfoo: what is this?", file=sys.stderr)

    with pytest.raises(pytest.fail.Exception, match=r"--fuzz_seed=\d+ --mutation=\d+: Traceback"):
        fuzz(b"magic and more", fails, UserError)
    with pytest.raises(pytest.fail.Exception, match="on stderr: libfoo"):
        fuzz(b"magic and more", speaks, UserError)


def test_a_mutation_is_made_again_from_its_number_and_nearly_all_do_damage():
    data = bytes(range(256)) * 3
    made = [mutate(data, random.Random(f"0/{number}")) for number in range(500)]
    assert made == [mutate(data, random.Random(f"0/{number}")) for number in range(500)]
    assert len(set(made)) > 450
    assert made.count(data) < 25
