"""One progress bar for long work; plain lines where output is not a terminal."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 10.0


class Progress(Protocol):
    """Told how much more is done; tick keeps the clock on a screen moving."""

    def advance(self, count: int) -> None:
        """So many more are done."""
        ...

    def tick(self) -> None:
        """Nothing new, but time has passed."""
        ...


class _Bar:
    def __init__(self, bar: tqdm) -> None:
        self._bar = bar

    def advance(self, count: int) -> None:
        self._bar.update(count)

    def tick(self) -> None:
        self._bar.refresh()


class _Lines:
    """A line when work begins to show, then at most one every ten seconds."""

    def __init__(self, title: str, total: int, done: int, unit: str, out: TextIO) -> None:
        self._title, self._total, self._unit, self._out = title, total, unit, out
        self._before, self._done = done, done
        self._began = self._said = time.monotonic()

    def advance(self, count: int) -> None:
        self._done += count
        self.tick(finished=self._done >= self._total)

    def tick(self, finished: bool = False) -> None:
        now = time.monotonic()
        if not finished and now - self._said < _SECONDS_BETWEEN_LINES:
            return
        self._said = now
        rate = (self._done - self._before) / max(now - self._began, 1e-9)
        left = f", {(self._total - self._done) / rate:.0f} s left" if rate > 0 else ""
        self._out.write(
            f"{self._title}: {self._done:,} of {self._total:,} {self._unit}, "
            f"{_rate(rate)} {self._unit}/s{left}\n"
        )
        self._out.flush()


def _rate(rate: float) -> str:
    return f"{rate:,.1f}" if rate >= 1 else f"{rate:.2g}"


@contextmanager
def show_progress(title: str, total: int, done: int, unit: str) -> Iterator[Progress]:
    """Report on stderr how far work has come, at what rate, and how long it will still take.

    Args:
        title: what is being done.
        total: how many units there are.
        done: how many were there before this run; they do not count towards the rate.
        unit: what is counted, in the plural.
    """
    if not sys.stderr.isatty():
        yield _Lines(title, total, done, unit, sys.stderr)
        return
    with tqdm(total=total, initial=done, desc=title, unit=f" {unit}", smoothing=0.1) as bar:
        yield _Bar(bar)
