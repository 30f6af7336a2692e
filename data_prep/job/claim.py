"""One job at a time in a data set directory."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

from etils import epath

from base import lock
from base.errors import UserError

LOCK_FILE = ".lock"


@contextlib.contextmanager
def claimed(directory: epath.Path) -> Iterator[None]:
    """Keeps other jobs out of a data set directory while the block runs.

    The directory is made where it is missing, and goes again where the job leaves nothing in it.
    A bucket has no locks: there two jobs may do the same work twice, and write the same bytes.

    Raises:
        UserError: another job is at work there, or the directory cannot be made.
    """
    text = os.fspath(directory)
    if "://" in text:
        directory.mkdir(parents=True, exist_ok=True)
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock.sole(pathlib.Path(text) / LOCK_FILE))
        except lock.HeldError as error:
            raise UserError(
                f"another build ({error}) is at work in {directory}: wait for it, or stop "
                f"it{error.remedy}"
            ) from None
        except OSError as error:
            raise UserError(cannot_make(directory, error)) from None
        yield


def cannot_make(directory: epath.Path, error: OSError) -> str:
    """What to say where nothing can be written, or the file system lacks what a job needs."""
    return f"cannot make {directory}: {error.strerror}: take another --data_dir"
