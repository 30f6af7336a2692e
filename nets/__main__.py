"""The table of all nets; with NAME, one net's own table; with --figure, a picture of all nets."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Iterator

from base import files, plugins
from base.errors import UserError

from . import _figure, _summary, build, entry, names, register


def main() -> int:
    """Prints a table; returns the exit code, 1 for a net that can't be built."""
    parser = argparse.ArgumentParser(prog="python -m nets", description=__doc__)
    parser.add_argument("name", nargs="?", help="a net: print its layers, paper and departures")
    parser.add_argument(
        "--image_size", type=int, help="side of the input in pixels, where not the paper's"
    )
    parser.add_argument(
        "--plugins", default="", help="Python files or packages with nets of one's own, by commas"
    )
    parser.add_argument(
        "--figure", help="a PNG file: draw all nets, error over parameters and multiply-adds"
    )
    arguments = parser.parse_args()
    try:
        with _without_stderr():
            loaded = plugins.load(filter(None, arguments.plugins.split(",")))
        for plugin in loaded:
            register(plugin.nets, plugin.name)
        if arguments.figure:
            files.save_png(_figure.drawn(map(entry, names())), arguments.figure)
            print(f"picture: {arguments.figure}")
            return 0
        if arguments.name is None:
            print(_summary.nets_table(entry(name) for name in names()))
            return 0
        with _without_stderr():
            model = build(arguments.name, image_size=arguments.image_size)
    except (ValueError, UserError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(_summary.net_table(entry(arguments.name), model))
    return 0


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Hides what is written to stderr: a backend's lines about the devices that it finds."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


if __name__ == "__main__":
    # Who reads the output, such as `head`, may have read enough: end without a word, as `ls` does.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
