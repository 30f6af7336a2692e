"""Calls a reader with damaged input, many times, and accepts only what it is meant to do then."""

import contextlib
import os
import pathlib
import random
import resource
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fuzz.mutation import mutate

SECONDS = 5  # of one call
MEMORY = 1 << 30  # bytes that one call may add


class HangError(BaseException):
    """A call that does not end; no `except Exception` takes it for a damaged file."""


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Limits the memory that is added within, in all."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = pages * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextlib.contextmanager
def timed() -> Iterator[None]:
    """Raises HangError in what takes longer than SECONDS."""

    def ring(*_: Any) -> None:
        raise HangError(f"no end after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it was made of, is that there was no memory."""
    while error is not None:
        if isinstance(error, MemoryError) or "unable to allocate" in str(error).lower():
            return True
        error = error.__cause__ or error.__context__
    return False


def outcome(call: Callable[[], object], accepted: tuple[type[Exception], ...]) -> str | None:
    """What is wrong with what a call did, or None where it ended well or by an accepted error.

    An accepted error is one line, and does not stand for memory that could not be had.
    """
    try:
        with timed(), warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            call()
    except accepted as error:
        if ran_out_of_memory(error):
            return f"more than {MEMORY >> 20} MB were asked for:\n{traceback.format_exc()}"
        if "\n" in str(error):
            return f"the message is not one line: {error}"
    except (Exception, HangError):
        return traceback.format_exc()
    if warned:
        return f"a warning: {warned[0].message} ({warned[0].filename}:{warned[0].lineno})"
    return None


Fuzz = Callable[..., None]


@pytest.fixture
def fuzz(request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]) -> Fuzz:
    """`fuzz(valid, call, *accepted)`: calls `call` with mutations of the valid bytes.

    What it raises must be one of `accepted`, in time and memory, with nothing on stderr. `valid`
    may be several inputs by name; then `call` takes the name of the one that was damaged too. A
    failure says how to make its mutation again.
    """
    option = request.config.getoption
    seed, only = option("--fuzz_seed"), option("--mutation")
    numbers = range(option("--mutations")) if only is None else [only]

    def run(
        valid: bytes | dict[str, bytes],
        call: Callable[..., object],
        *accepted: type[Exception],
        text: bool = False,
    ) -> None:
        inputs = valid if isinstance(valid, dict) else {"": valid}
        for number in numbers:
            rng = random.Random(f"{seed}/{request.node.name}/{number}")
            name = rng.choice(sorted(inputs))
            damaged = mutate(inputs[name], rng, text=text and not name.endswith(".npz"))
            given = (name, damaged) if isinstance(valid, dict) else (damaged,)
            # Each call by itself: what a thousand leave to the allocator is not what one asks for.
            with limited():
                wrong = outcome(lambda given=given: call(*given), accepted)
            if not wrong and (said := capfd.readouterr().err):
                wrong = f"on stderr: {said}"
            if wrong:
                again = f"--fuzz_seed={seed} --mutation={number}"
                pytest.fail(f"{name} mutated, {again}: {wrong}", pytrace=False)

    return run
