"""How this room's loops are compiled: by Numba, once, and kept where there is a place to keep them.

Numba keeps what it has compiled beside the source file, or in the user's home. Where neither can be
written (a read-only checkout without a home), or the place turns out to be full, damaged or without
renaming, each process compiles anew, which takes some seconds. A folder that everybody may write,
such as /tmp, is no place for it: what is in the cache is run.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Any:
    """Compiles a function of arrays, without the interpreter's lock; a decorator."""
    try:
        dispatcher = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no place that can be written
        return numba.njit(nogil=True)(function)
    cache = getattr(dispatcher, "_cache", None)
    for name in ("load_overload", "save_overload"):
        if hasattr(cache, name):
            setattr(cache, name, _forgiving(getattr(cache, name)))
    return dispatcher


def _forgiving(method: Callable[..., Any]) -> Callable[..., Any]:
    """The same, but a cache that fails is an empty one."""

    def call(*arguments: Any) -> Any:
        with contextlib.suppress(Exception):  # a damaged file raises nearly anything
            return method(*arguments)
        return None

    return call
