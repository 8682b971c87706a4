"""A progress bar for long work; plain lines when stderr is not a terminal.

Progress is reported at moments when work may stop, so it also raises a Ctrl-C that was lost.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from tqdm import tqdm

from inrgen.core.interrupts import check_interrupt

_SECONDS_BETWEEN_LINES = 10.0


class Progress(Protocol):
    """A receiver of progress; tick keeps the clock on a screen moving.

    Both raise KeyboardInterrupt where the command was asked to stop.
    """

    def advance(self, count: int) -> None:
        """Report that count more units are done."""
        ...

    def tick(self) -> None:
        """Report that time has passed and nothing new is done."""
        ...


class _Bar:
    def __init__(self, bar: tqdm) -> None:
        self._bar = bar

    def advance(self, count: int) -> None:
        self._bar.update(count)
        check_interrupt()

    def tick(self) -> None:
        self._bar.refresh()
        check_interrupt()


class _Lines:
    """Text lines: at most one every ten seconds, and one when the work is done."""

    def __init__(self, title: str, total: int, done: int, unit: str) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._done_before, self._done = done, done
        self._started_at = self._written_at = time.monotonic()

    def advance(self, count: int) -> None:
        self._done += count
        self.tick(finished=count > 0 and self._done >= self._total)

    def tick(self, finished: bool = False) -> None:
        check_interrupt()
        now = time.monotonic()
        # Logs of batch jobs would otherwise fill with a line for each block.
        if not finished and now - self._written_at < _SECONDS_BETWEEN_LINES:
            return
        self._written_at = now
        # max: the first line may come within the clock's resolution
        rate = (self._done - self._done_before) / max(now - self._started_at, 1e-9)
        left = f", {(self._total - self._done) / rate:.0f} s left" if rate > 0 else ""
        sys.stderr.write(
            f"{self._title}: {self._done:,} of {self._total:,} {self._unit}, "
            f"{_rate_text(rate)} {self._unit}/s{left}\n"
        )
        sys.stderr.flush()


def _rate_text(rate: float) -> str:
    return f"{rate:,.1f}" if rate >= 1 else f"{rate:.2g}"


@contextmanager
def show_progress(title: str, total: int, done: int, unit: str) -> Iterator[Progress]:
    """Show on stderr how much work is done, its rate, and the time left.

    Args:
        title: the name of the work.
        total: number of units.
        done: units that were done before this run; the rate leaves them out.
        unit: name of a unit, in the plural.
    """
    if not sys.stderr.isatty():
        yield _Lines(title, total, done, unit)
        return
    with tqdm(total=total, initial=done, desc=title, unit=f" {unit}", smoothing=0.1) as bar:
        yield _Bar(bar)
