"""Builds shards on a cluster of Dask: any number of processes on any number of machines.

What a worker gets is the name of a file beside the shards that holds its task, and what it leaves
is the shard and its part file. So a worker that is lost takes nothing with it, its task goes to
another, and of two workers on one task each leaves the same bytes. The scheduler, which reads what
is sent, needs this module alone, and no TensorFlow.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import logging
import os
import pickle
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from base.errors import UserError
from base.parallel import in_order

if TYPE_CHECKING:
    from data_prep.job.engines import Watch
    from data_prep.job.plan import ShardTask
    from data_prep.job.shards import Part, ShardJob

_ANSWER_SECONDS = 15
# So long may a cluster be without any worker, as one that is started again is for a while.
_PATIENCE_SECONDS = 120.0
_LOOK_SECONDS = 5.0
_RETRIES = 3  # of a task that failed, on another worker
_AHEAD = 4  # files in flight for each worker


def run_dask(
    job: ShardJob,
    tasks: Sequence[ShardTask],
    address: str,
    watch: Watch,
    say: Callable[[str], None],
) -> Iterator[Part]:
    """Builds shards on the workers of a scheduler, and gives their parts in order.

    Args:
        job: what the shards have in common.
        tasks: what to build.
        address: of the scheduler, e.g. `tcp://10.0.0.1:8786`.
        watch: called for each shard as it is finished.
        say: prints a line.

    Raises:
        UserError: Dask is not installed, nobody answers at the address, there are no workers, or
            they do not see the same files.
    """
    client = _connect(address)
    try:
        _workers(client, address)
        payload = pickle.dumps(job)
        files = [job.save_task(task) for task in tasks]
        futures = client.map(
            build_saved, files, job=payload, pure=False, retries=_RETRIES, batch_size=None
        )
        built = _wait(client, dict(zip(futures, tasks, strict=True)), job, watch)
        count = ", ".join(f"{who}: {shards}" for who, shards in sorted(built.items()))
        say(f"shards by worker: {count}")
    finally:
        client.close()
    for task in tasks:
        yield _part(job, task)


def each_file(address: str) -> Callable[[Callable[[str], Any], Sequence[str]], Iterator[Any]]:
    """What lists the files of a source on a scheduler's workers (`layouts.listed.Each`).

    The file of a worker that is lost is listed by another.
    """

    def each(function: Callable[[str], Any], paths: Sequence[str]) -> Iterator[Any]:
        client = _connect(address)
        try:
            with _named("list the source"):
                pool = client.get_executor(pure=False)
                yield from in_order(pool, function, paths, _AHEAD * _workers(client, address))
        finally:
            client.close()

    return each


def build_saved(file: str, job: bytes) -> str:
    """On a worker: builds the shard of a saved task, and says who did it."""
    from data_prep.job.shards import chunks_of

    sent: ShardJob = pickle.loads(job)
    task = sent.load_task(file)
    if sent.finished(task) is None:  # another worker may have been taken for lost
        sent.write(task, map(sent.convert, chunks_of(task)))
    return f"{socket.gethostname()}/{os.getpid()}"


def _connect(address: str) -> Any:
    if not address:
        raise UserError("--engine=dask needs --dask_scheduler=ADDRESS, as 'dask scheduler' prints")
    try:
        from distributed import Client
    except ImportError:
        raise UserError("--engine=dask needs Dask: pip install -e '.[dask]'") from None
    # What it logs of lost workers and closed connections is said in one line, or mended.
    # The client's own log has a level of its own.
    for name in ("distributed", "distributed.client", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        return Client(address, timeout=_ANSWER_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:  # what times out is an OSError too
        reason = " ".join(str(error).split())[:100]
        raise UserError(
            f"no Dask scheduler answers at --dask_scheduler={address} ({reason}): start one "
            "('dask scheduler'), or mend the address"
        ) from None


def _workers(client: Any, address: str) -> int:
    """How many there are. Raises UserError where there are none."""
    count = _alive(client)
    if not count:
        raise UserError(
            f"--dask_scheduler={address} has no workers: start some ('dask worker {address}' "
            "where this project is installed)"
        )
    return count


def _alive(client: Any) -> int:
    return len(client.scheduler_info(n_workers=-1)["workers"])


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    """Turns what Dask raises into an error that says it in one line."""
    from distributed.client import FutureCancelledError
    from distributed.comm import CommClosedError
    from distributed.scheduler import KilledWorker

    try:
        yield
    except (FutureCancelledError, concurrent.futures.CancelledError, CommClosedError):
        raise UserError(
            "the Dask scheduler is gone: start it again, and the same command continues"
        ) from None
    except (KilledWorker, ImportError, FileNotFoundError, RuntimeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(
            f"Dask's workers cannot {what} ({reason}): have all the same version of this "
            "project, memory enough, and the same files under the same paths?"
        ) from None


def _wait(
    client: Any, tasks: dict[Any, ShardTask], job: ShardJob, watch: Watch
) -> collections.Counter[str]:
    """Waits for all futures; how many shards each worker has built."""
    from distributed import wait

    built: collections.Counter[str] = collections.Counter()
    pending = set(tasks)
    seen = time.monotonic()
    while pending:
        try:
            with _named("build shards"), client.as_current():
                done, pending = wait(pending, _LOOK_SECONDS, return_when="FIRST_COMPLETED")
            for future in done:
                with _named("build shards"):
                    built[future.result()] += 1
                watch(len(tasks[future].refs), _part(job, tasks[future]).rejected)
            if done or _alive(client):
                seen = time.monotonic()
        except TimeoutError:
            if _alive(client):
                seen = time.monotonic()
        if pending and time.monotonic() - seen > _PATIENCE_SECONDS:
            raise UserError("all Dask workers are gone: start some, and the same command continues")
    return built


def _part(job: ShardJob, task: ShardTask) -> Part:
    part = job.finished(task)
    if part is None:
        raise UserError(
            f"Dask's workers left no {job.file_name(task)} in {job.directory}: do they see the "
            "same file system?"
        )
    return part
