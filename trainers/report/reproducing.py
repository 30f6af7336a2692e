"""How a run is run again, and which files it has left: the part of its details that leads back."""

from __future__ import annotations

import os
import pathlib
import shlex
import urllib.parse
from html import escape

from trainers.config import FLAGS_FILE
from trainers.run_folder.records import FINISHED, RUNNING, RunRecord

# What is listed of a run's folder at most: the newest checkpoints may be many.
_MOST_FILES = 40


def commands_html(record: RunRecord) -> str:
    """The commands that make the run again and go on with it, each copied by a click."""
    lines = [
        f'<div class="command"><code>{_in_pieces(command)}</code>'
        f'<button type="button" class="copy" aria-label="Copy: {escape(said)}">Copy</button></div>'
        f'<p class="hint">{escape(said)}</p>'
        for said, command in commands(record).items()
    ]
    return "".join(lines)


def commands(record: RunRecord) -> dict[str, str]:
    """What each command does, and the command; none for a run whose flags cannot be read."""
    if record.config is None:
        return {}
    folder = str(record.directory)
    if record.result and record.result.imported:
        parts = [
            f"--net={record.net}",
            f"--from={record.imported}",
            f"--run={folder}-again",
            f"--data_dir={record.config.pipeline.data_dir}",
        ]
        return {"imports the weights again": _call("trainers/import_weights.py", *parts)}
    found = {
        _said(record): _call("trainers/train.py", f"--flagfile={folder}/{FLAGS_FILE}", "--noresume")
    }
    if record.state not in (FINISHED, RUNNING) and record.run.begun:
        found["goes on with it"] = _call("trainers/runs.py", "resume", folder)
    return found


def _in_pieces(command: str) -> str:
    """A command whose lines break between its arguments."""
    return " ".join(f"<span>{escape(shlex.quote(each))}</span>" for each in shlex.split(command))


def files_html(record: RunRecord, place: pathlib.Path) -> str:
    """Links to the files in the run's folder, as seen from `place`, where the page lies."""
    directory = record.directory
    try:
        paths = sorted(
            path
            for folder in (directory, record.run.checkpoints)
            if folder.is_dir()
            for path in folder.iterdir()
            if path.is_file() and not path.name.startswith(".")
        )
    except OSError:
        return ""
    links = [_link(path, directory, place) for path in paths[:_MOST_FILES]]
    if len(paths) > _MOST_FILES:
        links.append(f"<li>and {len(paths) - _MOST_FILES} more</li>")
    here = _link_to(directory, escape(str(directory)), place)
    return f'<p>{here}</p><ul class="files">{"".join(links)}</ul>'


def _said(record: RunRecord) -> str:
    """That the command trains the run anew, and what it needs to come to the same."""
    environment = record.environment
    text = "trains it again, as a new run of its experiment"
    if environment and environment.git_commit:
        text += f"; it was trained by commit {environment.git_commit[:12]}"
        if environment.git_uncommitted:
            text += " and changes that were not committed (environment.json has them)"
    return text


def _call(script: str, *arguments: str) -> str:
    return shlex.join(["python", script, *arguments])


def _link(path: pathlib.Path, directory: pathlib.Path, place: pathlib.Path) -> str:
    name = path.relative_to(directory).as_posix()
    try:
        size = _size(path.stat().st_size)
    except OSError:
        size = "gone"
    return f"<li>{_link_to(path, escape(name), place)} <small>{size}</small></li>"


def _link_to(path: pathlib.Path, html: str, place: pathlib.Path) -> str:
    relative = pathlib.PurePath(os.path.relpath(path, place)).as_posix()
    return f'<a href="./{urllib.parse.quote(relative)}">{html}</a>'


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
