"""Damage to files: seeded, so that each mutation can be made again from its number."""

import random
import re
import struct
from collections.abc import Callable

# What a size, a count or an offset may be replaced by: none, one, signs turned, the largest.
_FIELDS = tuple(
    struct.pack(form, number)
    for form in ("<H", ">H", "<I", ">I", "<Q", ">Q")
    for number in (0, 1, (1 << 8 * struct.calcsize(form)) - 1, 1 << 8 * struct.calcsize(form) - 1)
)
# What a value in a text may be replaced by.
_TOKEN = re.compile(rb'"[^"\n]*"|[\w.+-]+')
_TOKENS = (
    *(b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"-1", b"0", b"0.5", b"9" * 30),
    *(b"[]", b"{}", b"[[1]]", b'{"a": []}', b'""', b'"text"', b"text", b"()", b"[" * 3000),
    *(b"\0", b"\xff", "é\u2028\ud7ff".encode(), b"%s", b"..", b"/", b"\n", b"--", b"="),
)


def _place(data: bytearray, rng: random.Random) -> int:
    """A position; half of them near an end, where files keep what they say about themselves."""
    near = min(len(data), 64)
    kind = rng.random()
    if kind < 0.25:
        return rng.randrange(near)
    if kind < 0.5:
        return len(data) - 1 - rng.randrange(near)
    return rng.randrange(len(data))


def _block(data: bytearray, rng: random.Random) -> slice:
    start = _place(data, rng)
    return slice(start, start + rng.choice((1, 2, 4, 16, 64, 512)))


def _flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 2, 8))):
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _extreme(data: bytearray, rng: random.Random) -> None:
    data[_place(data, rng)] = rng.choice((0, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _field(data: bytearray, rng: random.Random) -> None:
    field, start = rng.choice(_FIELDS), _place(data, rng)
    data[start : start + len(field)] = field


def _insert(data: bytearray, rng: random.Random) -> None:
    start = _place(data, rng)
    data[start:start] = rng.randbytes(rng.choice((1, 2, 7, 64)))


def _delete(data: bytearray, rng: random.Random) -> None:
    del data[_block(data, rng)]


def _truncate(data: bytearray, rng: random.Random) -> None:
    del data[_place(data, rng) :]


def _duplicate(data: bytearray, rng: random.Random) -> None:
    start = _place(data, rng)
    data[start:start] = data[_block(data, rng)]


def _swap(data: bytearray, rng: random.Random) -> None:
    first, second = _block(data, rng), _block(data, rng)
    data[first], data[second] = data[second], data[first]


def _token(data: bytearray, rng: random.Random) -> None:
    found = list(_TOKEN.finditer(data))
    if found:
        match = rng.choice(found)
        data[match.start() : match.end()] = rng.choice((*_TOKENS, rng.choice(found)[0]))


_WAYS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    *(_flip, _extreme, _field, _insert, _delete, _truncate, _duplicate, _swap),
)


def mutate(data: bytes, rng: random.Random, *, text: bool = False) -> bytes:
    """The bytes with one to three kinds of damage; in a `text` most of it is to whole values."""
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if not damaged:
            break
        way = _token if text and rng.random() < 0.7 else rng.choice(_WAYS)
        way(damaged, rng)
    return bytes(damaged)
