"""Calls written in flags: `name`, `name(1, x=2)`, and chains of them, `first(224)|second`.

The language is the part of Python's expressions that holds names, calls and literals, so
`ast.parse` reads it; nothing is evaluated. A `Registry` holds what may be called.
"""

import ast
import dataclasses
import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from base import plugins
from base.errors import UserError

Factory = TypeVar("Factory", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True)
class Call:
    """One call as written: a name and literal arguments."""

    name: str
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        """The call, in a form that reads back to an equal one."""
        written = [repr(value) for value in self.arguments]
        written += [f"{name}={value!r}" for name, value in self.keywords.items()]
        return self.name + (f"({', '.join(written)})" if written else "")


def parse_call(text: str) -> Call:
    """Reads `name` or `name(literals)`. Raises UserError for anything else."""
    calls = parse_chain(text)
    if len(calls) != 1:
        raise UserError(f"{text!r}: one name with literal arguments is expected")
    return calls[0]


def parse_chain(text: str) -> list[Call]:
    """Reads calls joined by `|`; an empty text is an empty chain.

    Raises:
        UserError: it is no such chain; the message says at which character.
    """
    stripped = text.strip()
    if not stripped:
        return []
    node: ast.expr | None = None
    try:
        node = ast.parse(stripped, mode="eval").body
    except SyntaxError as error:
        offset = error.offset or 1
        raise UserError(f"{text!r}: cannot be read at character {offset} ({error.msg})") from None
    except (ValueError, MemoryError, RecursionError):
        pass  # bytes that are no text, or brackets in brackets beyond what the parser has room for
    if node is None:
        raise UserError(f"{text!r}: cannot be read")
    parts: list[ast.expr] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        parts.append(node.right)
        node = node.left
    parts.append(node)
    return [_read_call(part, text) for part in reversed(parts)]


def _read_call(node: ast.expr, text: str) -> Call:
    def refuse(where: ast.expr, what: str) -> UserError:
        return UserError(f"{text!r}: {what} at character {where.col_offset + 1}")

    if isinstance(node, ast.Name):
        return Call(node.id)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise refuse(node, "a name, or a name with arguments, is expected")

    def literal(value: ast.expr) -> Any:
        try:
            return ast.literal_eval(value)
        except (ValueError, TypeError):  # a list as a dictionary's key is the latter
            raise refuse(value, "an argument is a number, a string or a tuple of them") from None

    keywords: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise refuse(keyword.value, "** is not understood")
        keywords[keyword.arg] = literal(keyword.value)
    return Call(node.func.id, tuple(literal(value) for value in node.args), keywords)


class Registry:
    """Named factories that a flag may call with literal arguments.

    Keyword-only parameters of a factory without a default are not the flag's to give: they are
    what the program itself provides (`given`), such as a data set's statistics.
    """

    def __init__(self, noun: str):
        """`noun` is what error messages call an entry: `map function`, `schedule`."""
        self._noun = noun
        self._factories: dict[str, Callable[..., Any]] = {}

    def register(self, factory: Factory) -> Factory:
        """Adds a factory under its own name.

        What a plugin registers stands for as long as this version of the plugin does.

        Raises:
            UserError: a plugin takes a name that is taken.
            ValueError: a file of the workspace does.
        """
        name = factory.__name__

        def put() -> None:
            if name not in self._factories:
                self._factories[name] = factory
            elif plugins.owner():
                raise UserError(f"there is a {self._noun} {name} already: take another name")
            else:
                raise ValueError(f"the {self._noun} {name} is registered twice")

        def take() -> None:
            if self._factories.get(name) is factory:
                del self._factories[name]

        put()
        plugins.keep(put, take)
        return factory

    def names(self) -> list[str]:
        """The known names, sorted."""
        return sorted(self._factories)

    def factory(self, name: str) -> Callable[..., Any]:
        """The factory of that name. Raises UserError, with the known names, if there is none."""
        if name not in self._factories:
            close = difflib.get_close_matches(name, self._factories, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise UserError(f"no {self._noun} {name!r}{hint}: there are {', '.join(self.names())}")
        return self._factories[name]

    def signature(self, name: str) -> inspect.Signature:
        """The arguments that a flag may give. Raises UserError as `factory`."""
        parameters = inspect.signature(self.factory(name)).parameters.values()
        return inspect.Signature(
            [p for p in parameters if p.kind is not p.KEYWORD_ONLY or p.default is not p.empty]
        )

    def make(self, call: str | Call, **given: Any) -> Any:
        """Calls a factory.

        Args:
            call: the call, or its text.
            **given: what the program provides to the factories that ask for it.

        Raises:
            UserError: unknown name, arguments that don't fit, or a value that it refuses.
        """
        if isinstance(call, str):
            call = parse_call(call)
        factory = self.factory(call.name)
        public = self.signature(call.name)
        asked = inspect.signature(factory).parameters.keys() - public.parameters.keys()
        try:
            public.bind(*call.arguments, **call.keywords)
        except TypeError as error:
            raise UserError(f"{call}: {error} (it is {call.name}{public})") from None
        try:
            return factory(
                *call.arguments, **call.keywords, **{name: given[name] for name in asked}
            )
        except (ValueError, TypeError) as error:
            raise UserError(f"{call}: {error}") from None
