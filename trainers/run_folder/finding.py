"""Run folders by name: where they lie, what they are called, and which one a user means.

A folder of runs holds experiments, `<runs_dir>/<experiment>/<number>/`; experiments may stand in
folders, `vgg/wide`, and have numbers for names, `20240101`.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence

from base.errors import UserError
from trainers.config import FLAGS_FILE
from trainers.run_folder.folder import Run, holds_runs, is_marked

# Where runs are, for commands without --runs_dir.
RUNS_DIR = "runs"

# So many folders may be above one another: those of an experiment such as vgg/wide/deep, the run's.
_MAX_DEPTH = 6
# An error names at most so many runs.
_MOST_NAMED = 12


def find_run(name: str, runs_dir: str = RUNS_DIR, *, flag: str = "--run") -> Run:
    """The run that `name` means, which has been described; see `locate`.

    Raises UserError where there is none, or its folder does not say what it is.
    """
    directory = locate(name, pathlib.Path(runs_dir), f"{flag}={name}")
    if not (directory / FLAGS_FILE).exists():
        raise UserError(f"{flag}={name}: {directory} is not a run folder (no {FLAGS_FILE} in it)")
    return Run(directory)


def locate(name: str, runs_dir: pathlib.Path, said: str = "") -> pathlib.Path:
    """The folder of the run that `name` means.

    Args:
        name: a run folder's path, or an experiment's for its newest run; or EXPERIMENT/NUMBER or
            EXPERIMENT in `runs_dir`, which comes first where both are there.
        runs_dir: where runs are.
        said: the flag that the user has written, where the command has no --runs_dir.

    Raises:
        UserError: it is neither; the line names what there is.
    """
    for directory in (runs_dir / name, pathlib.Path(name)):
        if name and directory.is_dir():
            if looks_like_run(directory):
                return directory
            newest = [path for path in _directories(directory) if _is_numbered_run(path)]
            if newest:
                return newest[-1]
    known = [name_of(path, runs_dir) for path in run_folders(runs_dir)]
    more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
    there = f": there are {', '.join(known[-_MOST_NAMED:])}{more}" if known else ""
    where = f"{runs_dir}/" if said else f"--runs_dir={runs_dir}"
    holds = f" (no {FLAGS_FILE} in it)" if name and pathlib.Path(name).is_dir() else ""
    raise UserError(
        f"{said or repr(name)} is neither a run folder{holds} nor a run in {where}{there}"
    )


def place_of(experiment: str, runs_dir: str = RUNS_DIR) -> tuple[str, str]:
    """Where a new run of an experiment goes: the folder of runs, and the experiment's name in it.

    `experiment` is a name, or the path of the experiment's folder, as `locate` takes both.
    """
    path, root = pathlib.Path(experiment), pathlib.Path(runs_dir)
    if len(path.parts) == 1:
        return runs_dir, experiment
    if path.resolve().is_relative_to(root.resolve()):
        return runs_dir, path.resolve().relative_to(root.resolve()).as_posix()
    return str(path.parent), path.name


def run_folders(runs_dir: pathlib.Path) -> list[pathlib.Path]:
    """The run folders below `runs_dir`, and the folders that neither are runs nor hold any."""
    return list(_below(runs_dir, _MAX_DEPTH))


def name_of(directory: pathlib.Path, runs_dir: pathlib.Path | None) -> str:
    """What people call a run folder: its place in `runs_dir`, or else its last two folders."""
    whole = directory.resolve()
    if runs_dir is not None and whole.is_relative_to(runs_dir.resolve()):
        inside = whole.relative_to(runs_dir.resolve())
        if len(inside.parts) > 1 or not whole.name.isdecimal():
            return inside.as_posix()
    return f"{whole.parent.name}/{whole.name}"


def looks_like_run(directory: pathlib.Path) -> bool:
    """Whether it has what only runs have, or a run's name and no run in it."""
    return is_marked(directory) or (directory.name.isdecimal() and not holds_runs(directory))


def _is_numbered_run(directory: pathlib.Path) -> bool:
    return directory.name.isdecimal() and looks_like_run(directory)


def _below(parent: pathlib.Path, depth: int) -> Iterator[pathlib.Path]:
    for path in _directories(parent):
        below = [] if depth == 1 or looks_like_run(path) else list(_below(path, depth - 1))
        if any(map(looks_like_run, below)):
            yield from below
        else:
            yield path


def _directories(parent: pathlib.Path) -> Sequence[pathlib.Path]:
    """The visible directories in `parent`, numbers in their order and last."""
    try:
        found = [p for p in parent.iterdir() if p.is_dir() and not p.name.startswith(".")]
    except OSError:
        return []
    return sorted(
        found, key=lambda p: (p.name.isdecimal(), int(p.name) if p.name.isdecimal() else p)
    )
