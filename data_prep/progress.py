"""How far a long job is: a bar on a terminal, plain lines in a log."""

import sys
import time

from tqdm import tqdm

_LINE_SECONDS = 20.0


class Progress:
    """Counts images and says how many a second there are, and how long it will take.

    Args:
        total: images of the whole job; 0: that is not known.
        done: images that were finished before.
        label: what is done to them, e.g. `building`.
    """

    def __init__(self, total: int, done: int = 0, label: str = "building") -> None:
        self._total, self._done, self._label = total, done, label
        self._start = self._said = time.monotonic()
        self._first = done
        self._bar = tqdm(
            total=total or None,
            initial=done,
            desc=label,
            unit="image",
            disable=not sys.stderr.isatty(),
            smoothing=0.05,
        )

    def add(self, images: int) -> None:
        """Says that so many more are finished."""
        self._done += images
        self._bar.update(images)
        now = time.monotonic()
        if self._bar.disable and now - self._said >= _LINE_SECONDS:
            self._said = now
            rate = (self._done - self._first) / (now - self._start)
            of = left = ""
            if self._total:
                of = f" of {self._total:,}"
                left = f", {duration((self._total - self._done) / max(rate, 1e-9))} left"
            print(
                f"{self._label} {self._done:,}{of} images, {rate:,.0f} images/s{left}", flush=True
            )

    def close(self) -> float:
        """Ends the bar and gives the images per second of this run."""
        self._bar.close()
        return (self._done - self._first) / max(time.monotonic() - self._start, 1e-9)


def duration(seconds: float) -> str:
    """Seconds in words: `40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
