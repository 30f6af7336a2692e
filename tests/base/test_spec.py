"""The language of chains, and registries."""

import keyword

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import UserError
from base.spec import Call, Registry, parse_call, parse_chain

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
literals = st.recursive(
    numbers | st.booleans() | st.none() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    ),
    max_leaves=5,
)
names = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True).filter(
    lambda name: not keyword.iskeyword(name)
)
calls = st.builds(
    Call, names, st.lists(literals, max_size=3).map(tuple), st.dictionaries(names, literals)
)


@settings(max_examples=50)
@given(calls)
def test_call_reads_back(call):
    assert parse_call(str(call)) == call


@settings(max_examples=50)
@given(st.lists(calls, max_size=3))
def test_chain_reads_back(chain):
    assert parse_chain("|".join(str(call) for call in chain)) == chain


def test_bars_and_commas_inside_arguments_do_not_split():
    assert parse_chain("a('x|y', (1, 2)) | b") == [Call("a", ("x|y", (1, 2))), Call("b")]


def test_empty_chain():
    assert parse_chain("  ") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a(1", "character 2"),
        ("crop(224)|", "cannot be read"),
        ("crop(size)", "character 6"),
        ("crop(1+1)|flip", "character 6"),
        ("os.system('x')", "character 1"),
        ("a|5", "character 3"),
        ("a(**{})", "\\*\\*"),
        ("a({[1]: 2})", "character 3"),
        ("a\0", "cannot be read"),
        ("a('\udcff')", "cannot be read"),
        ("a(" + "[" * 5000, "cannot be read"),
    ],
)
def test_refusals_say_where(text, message):
    with pytest.raises(UserError, match=message):
        parse_chain(text)


def test_one_call_is_one_call():
    assert parse_call("resnet10(width=16)") == Call("resnet10", (), {"width": 16})
    for text in ("", "a|b"):
        with pytest.raises(UserError, match="one name"):
            parse_call(text)


@pytest.fixture
def registry():
    things = Registry("thing")

    @things.register
    def double(number: int, *, unit: str) -> str:
        if number < 0:
            raise ValueError("below 0")
        return f"{2 * number} {unit}"

    return things


def test_registry_makes_with_what_the_program_gives(registry):
    assert registry.make("double(4)", unit="m", color="red") == "8 m"


def test_registry_refuses_an_unknown_name_and_lists_the_known(registry):
    with pytest.raises(UserError, match=r"no thing 'duble' \(did you mean double\?\).*double"):
        registry.make("duble(4)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("double", "missing a required argument: 'number'"),
        ("double(1, 2)", "too many positional"),
        ("double(1, unit='km')", "unexpected keyword"),
        ("double(-1)", "below 0"),
    ],
)
def test_registry_refuses_arguments_that_do_not_fit(registry, text, message):
    with pytest.raises(UserError, match=message):
        registry.make(text, unit="m")


def test_registry_refuses_the_same_name_twice(registry):
    def double():
        return None

    with pytest.raises(ValueError, match="registered twice"):
        registry.register(double)
