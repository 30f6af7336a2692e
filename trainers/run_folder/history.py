"""history.json: each stretch of a run's training, in one process, and how it ended."""

from __future__ import annotations

import contextlib
import datetime
import platform
import time
from collections.abc import Callable, Iterator, Mapping

import msgspec

from base import typed_json
from base.errors import UserError
from trainers.run_folder import files
from trainers.run_folder.files import History, Stretch
from trainers.run_folder.folder import HISTORY_FILE, Run

# How a stretch ends. A process that is killed says nothing.
FINISHED = "finished"
STOPPED = "stopped"
FAILED = "failed"


@contextlib.contextmanager
def recorded(run: Run, step: Callable[[], int], changed: Mapping[str, str]) -> Iterator[None]:
    """Records what the block trains, when it begins and when it ends, however it does.

    Args:
        run: whose lock is held.
        step: gives how many steps the run has taken.
        changed: the flags that are other than before.

    Raises:
        OSError: nothing can be written at the beginning.
    """
    before = read(run)
    began = time.monotonic()
    stretch = Stretch(host=platform.node(), began=_now(), first_step=step(), changed=dict(changed))

    def write(**known: object) -> None:
        whole = History(stretches=(*before, msgspec.structs.replace(stretch, **known)))
        try:
            run.write_json(HISTORY_FILE, whole)
        except OSError:
            if not known:
                raise
            _write_in_place(run, whole)

    write()
    outcome, reason = FINISHED, None
    try:
        yield
    except Exception as error:
        outcome, reason = FAILED, _reason(error)
        raise
    except BaseException:
        outcome = STOPPED
        raise
    finally:
        seconds = round(time.monotonic() - began, 1)
        last: dict[str, object] = {"ended": _now(), "seconds": seconds, "last_step": step()}
        write(**last, outcome=outcome, reason=reason)


def read(run: Run) -> tuple[Stretch, ...]:
    """What there is of a run's history; nothing where that cannot be read."""
    try:
        text = (run.directory / HISTORY_FILE).read_bytes()
        return typed_json.read(text, History, files.FORMAT).stretches
    except (OSError, typed_json.FileError):
        return ()


def in_words(stretch: Stretch) -> str:
    """A stretch as people read it: where, when, how long, what of the run, and its end."""
    if stretch.ended is None:
        return f"from {stretch.began} on {stretch.host}: from step {stretch.first_step}, no end yet"
    lasted = datetime.timedelta(seconds=round(stretch.seconds or 0))
    changed = "".join(f", --{name} {values}" for name, values in stretch.changed.items())
    return (
        f"from {stretch.began} on {stretch.host} for {lasted}: steps {stretch.first_step} to "
        f"{stretch.last_step}, {stretch.outcome}{changed}"
    )


def _write_in_place(run: Run, history: History) -> None:
    """Writes over the file, as on a full disk there is no place for another."""
    text = typed_json.write(history, files.FORMAT).encode()
    with contextlib.suppress(OSError), (run.directory / HISTORY_FILE).open("r+b") as file:
        file.write(text)
        file.truncate()


def _reason(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, UserError):
        text = str(error)
    elif isinstance(error, OSError) and error.strerror:
        text = ": ".join(filter(None, [str(error.filename or ""), error.strerror]))
    else:
        text = f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:500]


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
