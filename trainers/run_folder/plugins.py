"""A run's plugins: loaded before anything looks into a registry, and kept in the run folder.

A run folder has copies of its plugins in `plugins/`. Its flags.cfg names the originals, and reads
as the copies (`base.plugins.beside`), so that every later command uses these.
"""

import pathlib
import shutil
import sys
from collections.abc import Sequence
from types import ModuleType

import nets
from base import plugins
from base.errors import UserError


def load(paths: Sequence[str], package: ModuleType = nets) -> None:
    """Loads plugins, and registers their nets in a package of nets.

    Args:
        paths: as --plugins has them.
        package: `nets`, or a run's copy of it.

    Raises:
        UserError: as `base.plugins.load`.
    """
    for plugin in plugins.load(paths):
        try:
            package.register(plugin.nets, plugin.name)
        except ValueError as error:
            raise UserError(f"--{plugins.FLAG}: {plugin.path}: {error}") from None


def copy(paths: Sequence[str], directory: pathlib.Path) -> None:
    """Copies plugins into a run folder."""
    for path in map(plugins.path_of, paths):
        for file in plugins.files(path):
            target = directory / plugins.FLAG / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path.parent / file, target)


def names(paths: Sequence[str]) -> list[str]:
    """By what plugins are known, wherever they lie."""
    return [plugins.path_of(path).name for path in paths]


def say_changed(paths: Sequence[str], copies: Sequence[str]) -> None:
    """Warns of each plugin that is no longer what the run has a copy of."""
    for path, kept in zip(map(plugins.path_of, paths), map(plugins.path_of, copies), strict=True):
        if path != kept and path.exists() and plugins.digest(path) != plugins.digest(kept):
            print(
                f"warning: plugin {path.name} has changed since this run began: its copy is used",
                file=sys.stderr,
            )
