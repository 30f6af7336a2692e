"""Python files from outside of the workspace: nets, map functions and schedules of one's own.

A plugin is a file, or a package's folder. It registers what it has by the same decorators as the
workspace's own files (`@MAP_FUNCTIONS.register`), and holds its nets in a tuple `NETS`.

A run keeps a copy, so that two versions of a plugin can meet in one process: a plugin is known by
its name, executed once for each content, and the version that was loaded last is the one that its
names stand for.
"""

import contextlib
import dataclasses
import hashlib
import importlib.util
import os
import pathlib
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType

from base.errors import UserError

# The name of the flag, and of the folder beside a flag file in which its plugins are looked for.
FLAG = "plugins"


@dataclasses.dataclass(frozen=True)
class Plugin:
    """One version of a plugin.

    Attributes:
        name: the name of its file or folder, by which it is known.
        path: where it lies.
        digest: the SHA-256 of its content.
        module: what it was executed as.
    """

    name: str
    path: pathlib.Path
    digest: str
    module: ModuleType
    _registered: list[tuple[Callable[[], None], Callable[[], None]]] = dataclasses.field(
        default_factory=list, repr=False, compare=False
    )

    @property
    def nets(self) -> tuple[object, ...]:
        """Its nets, as entries of the registry of nets. Raises UserError for no tuple of them."""
        found = getattr(self.module, "NETS", ())
        if not isinstance(found, tuple | list):
            raise UserError(f"--{FLAG}: {self.path}: NETS is no tuple: NETS = (Net(...),)")
        return tuple(found)

    def _restore(self) -> None:
        for put, _ in self._registered:
            put()

    def _withdraw(self) -> None:
        for _, take in self._registered:
            take()


_loaded: dict[tuple[str, str], Plugin] = {}
_active: dict[str, Plugin] = {}
_executing: list[Plugin] = []


def load(paths: Iterable[str]) -> list[Plugin]:
    """Loads plugins, each in place of another version of it.

    Args:
        paths: of Python files, or of packages' folders.

    Raises:
        UserError: there is no such file, two have one name, a name of theirs is taken, or they
            raise something: the message says which file, which line, and what.
    """
    found = [_checked(path) for path in map(path_of, paths)]
    names = [path.name for path in found]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"--{FLAG}: two plugins are named {name}: give one another name")
    return [_load(path) for path in found]


def owner() -> str:
    """The plugin that is being executed; empty where none is: the workspace's own files."""
    return _executing[-1].name if _executing else ""


def keep(put: Callable[[], None], take: Callable[[], None]) -> None:
    """Notes how to register again, and to take away, what the plugin being executed registers."""
    if _executing:
        _executing[-1]._registered.append((put, take))


def path_of(written: str) -> pathlib.Path:
    """The file or folder that is written in the flag. Its last part is the plugin's name."""
    return pathlib.Path(os.path.abspath(os.path.expanduser(written)))


def files(path: pathlib.Path) -> list[pathlib.Path]:
    """The files of a plugin, relative to the folder that holds it, sorted."""
    if not path.is_dir():
        return [pathlib.Path(path.name)]
    return sorted(
        file.relative_to(path.parent)
        for file in path.rglob("*")
        if file.is_file() and not any(part == "__pycache__" for part in file.parts)
    )


def digest(path: pathlib.Path) -> str:
    """The SHA-256 of what a plugin holds, with the names of its files."""
    total = hashlib.sha256()
    for file in files(path):
        content = (path.parent / file).read_bytes()
        total.update(f"{file.as_posix()}\0{len(content)}\0".encode() + content)
    return total.hexdigest()


def beside(flag_file: pathlib.Path, value: str) -> str:
    """A flag file's `--plugins=value`, by the copies that lie beside it where there are any.

    A run folder has them, which is how its flags mean the plugins that it was trained with.
    """

    def copy_of(path: str) -> str:
        copy = flag_file.parent / FLAG / path_of(path).name
        return str(copy) if path and copy.exists() else path

    return ",".join(copy_of(path.strip()) for path in value.split(","))


def _checked(path: pathlib.Path) -> pathlib.Path:
    if path.is_dir() and not (path / "__init__.py").is_file():
        raise UserError(f"--{FLAG}={path} is no package: it has no __init__.py")
    if not path.exists():
        raise UserError(f"--{FLAG}={path}: there is no such file")
    if path.is_file() and path.suffix != ".py":
        raise UserError(f"--{FLAG}={path} is no Python file: its name must end in .py")
    return path


def _load(path: pathlib.Path) -> Plugin:
    try:
        content = digest(path)
    except OSError as error:
        raise UserError(f"--{FLAG}={path} cannot be read: {error.strerror}") from None
    known = _loaded.get((path.name, content))
    before = _active.get(path.name)
    if known is not None and before is known:
        return known
    if before is not None:
        before._withdraw()
    try:
        if known is None:
            known = _loaded[path.name, content] = _execute(path, content)
        else:
            known._restore()
    except UserError:
        if before is not None:
            before._restore()
        raise
    _active[path.name] = known
    return known


def _execute(path: pathlib.Path, content: str) -> Plugin:
    name = f"plugin_{re.sub(r'[^0-9A-Za-z]', '_', path.stem)}_{content[:12]}"
    file = path / "__init__.py" if path.is_dir() else path
    folders = [str(path)] if path.is_dir() else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=folders)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    plugin = Plugin(path.name, path, content, module)
    sys.modules[name] = module
    _executing.append(plugin)
    try:
        with _no_bytecode():
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        plugin._withdraw()
        for loaded in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
            del sys.modules[loaded]
        raise UserError(f"--{FLAG}: {_place(error, path)}: {_words(error)}") from None
    finally:
        _executing.pop()
    return plugin


@contextlib.contextmanager
def _no_bytecode() -> Iterator[None]:
    """Nothing is written beside the plugin; what is there might be that of another version."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _place(error: BaseException, path: pathlib.Path) -> str:
    """The file and line of the plugin at which it went wrong."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if pathlib.Path(frame.filename).is_relative_to(path)]
    return f"{own[-1].filename}, line {own[-1].lineno}" if own else str(path)


def _words(error: BaseException) -> str:
    """An exception in one line."""
    if isinstance(error, UserError):
        return str(error)
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    return ": ".join(filter(None, [type(error).__name__, " ".join(said.split())]))
