"""Writes the report again and again, as its runs go on."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable

from trainers.report import page
from trainers.run_folder.folder import Run
from trainers.run_folder.records import RunRecord, read_record

# How often folders are looked at, and pages load themselves anew.
SECONDS = 5

# Whether a run is at work, and of each of its files the name, when it was written, and its size.
_Sign = tuple[bool, tuple[tuple[str, int, int], ...]]


def watch(
    folders: Callable[[], list[pathlib.Path]],
    runs_dir: pathlib.Path,
    path: pathlib.Path,
    say: Callable[[int], None],
) -> None:
    """Writes the report whenever a run has changed, until Ctrl-C.

    The page loads itself anew meanwhile; what is left in the end does so no more.

    Args:
        folders: gives the run folders, which may be more each time.
        runs_dir: in which they have their names.
        path: the HTML file.
        say: is told how many runs there are, each time that the report was written.

    Raises:
        UserError: the file cannot be written.
    """
    signs: dict[pathlib.Path, _Sign] | None = None
    records: dict[pathlib.Path, RunRecord] = {}
    try:
        while True:
            now = {directory: _sign(directory) for directory in folders()}
            if now != signs:
                before, signs = signs or {}, now
                records = {
                    directory: records[directory]
                    if before.get(directory) == sign
                    else read_record(directory, runs_dir)
                    for directory, sign in now.items()
                }
                page.write(path, [*records.values()], reload=SECONDS)
                say(len(records))
            time.sleep(SECONDS)
    except KeyboardInterrupt:
        page.write(path, [*records.values()])


def _sign(directory: pathlib.Path) -> _Sign:
    """What is another one once something was written into a run's folder."""
    run = Run(directory)
    files = []
    for folder in (directory, run.checkpoints):
        try:
            for file in folder.iterdir():
                stat = file.stat()
                files.append((str(file), stat.st_mtime_ns, stat.st_size))
        except OSError:  # gone meanwhile, or never there
            continue
    return run.running(), tuple(sorted(files))
