"""What can stand in a flag, listed from the registries and the docstrings themselves.

A docstring begins with a line that says what the thing does. Somewhere in it stands where that
comes from: a citation with its year, such as `He et al. 2016`, or a line `Source: ...`, which is
`Source: plain.` for what needs none.
"""

import dataclasses
import difflib
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence

from base.commandline import flag
from base.errors import UserError
from base.spec import Registry

WIDTH = 100
_SOURCE = re.compile(r"Source: (.+?)\.?(?=\n\n|$)", re.DOTALL)
_CITATION = re.compile(r"[^\W\d_a-z][\w-]+(?: et al\.| & [^\W\d_a-z][\w-]+)? (?:19|20)\d\d\b")


@dataclasses.dataclass(frozen=True)
class CatalogueConfig:
    """What is listed beside the workspace's own."""

    plugins: tuple[str, ...] = flag(
        (), "Python files or packages of one's own that are listed too, separated by commas."
    )


@dataclasses.dataclass(frozen=True)
class Entry:
    """One thing that a flag can name.

    Attributes:
        name: its name.
        signature: with its arguments and their defaults, as one writes it.
        text: its whole docstring.
        where: where it can stand, where that is not everywhere.
    """

    name: str
    signature: str
    text: str
    where: str = ""

    @property
    def summary(self) -> str:
        """The docstring's first paragraph, in one line."""
        return " ".join(self.text.partition("\n\n")[0].split())

    @property
    def source(self) -> str:
        """Where it comes from; empty where the docstring does not say."""
        said = _SOURCE.search(self.text)
        cited = _CITATION.search(" ".join(self.text.split()))
        return " ".join(said[1].split()) if said else cited[0] if cited else ""


def entries(registry: Registry, where: Callable[[str], str] = lambda name: "") -> list[Entry]:
    """Everything in a registry, sorted by name; `where` says where a name can stand."""
    found = []
    for name in registry.names():
        signature = f"{name}{_plain(registry.signature(name))}"
        text = inspect.getdoc(registry.factory(name)) or ""
        found.append(Entry(name, signature, text, where(name)))
    return found


def listed(sections: Mapping[str, Sequence[Entry]]) -> str:
    """All entries under the titles of their sections."""
    lines: list[str] = []
    for title, found in sections.items():
        lines += ["", title] if lines else [title]
        for entry in found:
            where = f"   [{entry.where}]" if entry.where else ""
            lines.append(f"  {entry.signature}{where}")
            said = entry.summary
            if entry.source and entry.source not in said:
                said += f" Source: {entry.source}."
            lines += textwrap.wrap(said, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


def shown(sections: Mapping[str, Sequence[Entry]], name: str) -> str:
    """The whole docstring and signature of what has this name.

    Raises:
        UserError: there is nothing of this name; the message says the nearest.
    """
    parts = [
        f"{entry.signature}\n{title}{f', {entry.where}' if entry.where else ''}\n\n{entry.text}"
        for title, found in sections.items()
        for entry in found
        if entry.name == name
    ]
    if not parts:
        known = [entry.name for found in sections.values() for entry in found]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise UserError(f"nothing is named {name!r}{hint}: there are {', '.join(known)}")
    return "\n\n".join(parts)


def print_catalogue(sections: Mapping[str, Sequence[Entry]], names: Sequence[str]) -> None:
    """Prints what is named, or everything where nothing is. Raises UserError as `shown`."""
    print("\n\n".join(shown(sections, name) for name in names) if names else listed(sections))


def _plain(signature: inspect.Signature) -> inspect.Signature:
    """A signature without types, which one does not write in a flag."""
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return inspect.Signature(bare)
