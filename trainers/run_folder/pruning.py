"""Frees the disk of checkpoints that no command needs: all but the last and the best of a run."""

from __future__ import annotations

import dataclasses
import pathlib

from trainers.run_folder import checkpoints
from trainers.run_folder.records import BROKEN, RUNNING, RunRecord


@dataclasses.dataclass(frozen=True)
class Pruned:
    """What was, or would be, done to one run.

    Attributes:
        removed: the files, in the order of their steps.
        freed: bytes of the disk that they held.
        left_alone: why the run was not touched; empty where it was.
    """

    removed: tuple[pathlib.Path, ...] = ()
    freed: int = 0
    left_alone: str = ""


def prune(record: RunRecord, *, dry_run: bool) -> Pruned:
    """Removes a run's checkpoints but the last and the best, and what a kill left half-written.

    A running or broken run is left alone, and so is one whose last or best checkpoint is damaged:
    an older one may be what is left of it. The last and the best are read whole before that.
    """
    if record.state in (RUNNING, BROKEN):
        return Pruned(left_alone=": ".join([record.state, *record.faults]))
    if dry_run:
        return _prune(record, remove=False)
    lock = record.run.lock()
    if lock is None:
        return Pruned(left_alone=RUNNING)
    with lock:
        return _prune(record, remove=True)


def _prune(record: RunRecord, *, remove: bool) -> Pruned:
    directory = record.run.checkpoints
    steps, best = checkpoints.by_step(directory), directory / checkpoints.BEST
    superfluous = [*steps[:-1], *sorted(directory.glob("*.tmp"))]
    if not superfluous:
        return Pruned()
    kept = [*steps[-1:], *([best] if best.exists() else [])]
    faults = [fault for path in kept if (fault := checkpoints.fault(path, whole=True))]
    if faults:
        return Pruned(left_alone=f"{'; '.join(faults)}: the ones before are kept")
    freed = _only_in(superfluous)
    if remove:
        for path in superfluous:
            path.unlink()
    return Pruned(tuple(superfluous), freed)


def _only_in(paths: list[pathlib.Path]) -> int:
    """The bytes of the files that have no other name than these (best.npz is a second one)."""
    files: dict[int, list[int]] = {}
    for path in paths:
        found = path.stat()
        files.setdefault(found.st_ino, [found.st_size, found.st_nlink])[1] -= 1
    return sum(size for size, other_names in files.values() if not other_names)
