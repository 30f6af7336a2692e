"""Work on several threads, given back in order."""

import collections
import concurrent.futures
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def usable_cores() -> int:
    """How many cores this process may run on, which a container can make fewer than there are."""
    return len(os.sched_getaffinity(0))


def in_order(
    pool: concurrent.futures.Executor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    ahead: int,
) -> Iterator[Result]:
    """`map` on a pool, in order, with at most `ahead` items begun and not yet taken."""
    pending: collections.deque[concurrent.futures.Future[Result]] = collections.deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
