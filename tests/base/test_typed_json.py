"""JSON files with a type: what is wrong with one is said in words, on one line."""

import dataclasses
import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base import typed_json
from base.typed_json import FileError, NewerFormatError, NotJsonError


class Inner(msgspec.Struct, kw_only=True, frozen=True):
    size: int


class Content(msgspec.Struct, kw_only=True, frozen=True):
    name: str
    loss: float | None = None
    inner: Inner | None = None
    shares: dict[str, float] = {}


@dataclasses.dataclass(frozen=True)
class Plain:
    names: tuple[str, ...]


def read(text):
    return typed_json.read(text, Content, 2)


@given(st.builds(Content, loss=st.none() | st.floats(allow_nan=False, allow_infinity=False)))
def test_what_is_written_is_read(content):
    assert read(typed_json.write(content, 2)) == content


def test_text_is_for_people_and_has_the_format(tmp_path):
    text = typed_json.write(Content(name="x", loss=math.nan), 2)
    assert text == '{\n "format": 2,\n "loss": null,\n "name": "x",\n "shares": {}\n}\n'
    assert typed_json.read(typed_json.write(Plain(("a",)), 1), Plain, 1) == Plain(("a",))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_not_finite_is_read_as_none_and_never_written(number):
    assert read(f'{{"name": "x", "loss": {number}}}') == Content(name="x", loss=None)
    nested = {"a": [float(number), {"b": (float(number),)}], "c": 1.5}
    written = json.loads(typed_json.write(nested, 0), parse_constant=pytest.fail)
    assert written == {"a": [None, {"b": [None]}], "c": 1.5, "format": 0}


@pytest.mark.parametrize("text", ['{"name": "x"}', '{"name": "x", "format": 2, "mine": [NaN]}'])
def test_older_formats_and_unknown_keys_are_read(text):
    assert read(text) == Content(name="x")
    assert read(text.encode()) == Content(name="x")


@pytest.mark.parametrize(
    ("text", "says", "kind"),
    [
        ('{"name": "x", "format": 3}', "is of format 3, this version reads", NewerFormatError),
        ('{"format": 3, "loss": NaN}', "is of format 3, this version reads", NewerFormatError),
        ('{"renamed": "x", "format": 3}', "update the workspace", NewerFormatError),
        ('{"name": "x", "format": "new"}', "has a format that cannot be used", FileError),
        ('{"name": "x", "loss": NaN, "format": []}', "has a format that cannot", FileError),
        ("{}", "has no name", FileError),
        ('{"name": 3}', "has a name that cannot be used (expected `str`, got `int`)", FileError),
        ('{"name": "x", "inner": {}}', "has no size in its inner", FileError),
        ('{"name": "x", "inner": {"size": 1.5}}', "has a inner.size that cannot", FileError),
        ('{"name": "x", "shares": {"a": "b"}}', "has a shares", FileError),
        ('{"name": "x", "loss": NaN, "inner": 3}', "has a inner that cannot", FileError),
        ("[]", "is not a JSON object", FileError),
        ("3", "is not a JSON object", FileError),
        ("", "is not JSON", NotJsonError),
        ('{"name": "x"', "is not JSON", NotJsonError),
        ('{"name": "x"} {', "is not JSON", NotJsonError),
        (b"\xff\xfe", "is not JSON", NotJsonError),
        ('{"mine": ' + "[" * 10**5, "is nested too deeply", NotJsonError),
    ],
)
def test_what_is_wrong_is_named_on_one_line(text, says, kind):
    with pytest.raises(FileError) as raised:
        read(text)
    assert type(raised.value) is kind
    assert says in str(raised.value) and "\n" not in str(raised.value)


@given(st.text() | st.binary())
def test_no_text_raises_anything_else(text):
    try:
        read(text)
    except FileError as error:
        assert "\n" not in str(error)
