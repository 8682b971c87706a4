"""A progress bar for long work; plain lines when stderr is not a terminal.

Progress is reported at moments when work may stop, so it also raises a Ctrl-C that was lost.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from tqdm import tqdm

from inrgen.core.interrupts import check_interrupt

_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_TO_FIRST_COUNT = 1.0


class Progress(Protocol):
    """A receiver of progress; tick keeps the clock on a screen moving.

    Both raise KeyboardInterrupt where the command was asked to stop.
    """

    def advance(self, count: int) -> None:
        """Report that count more units are done."""
        ...

    def tick(self, num_tasks: int = 0, num_nodes: int = 1) -> None:
        """Report that time has passed, and how many tasks are in flight on how many nodes."""
        ...


class _Bar:
    def __init__(self, bar: tqdm) -> None:
        self._bar = bar

    def advance(self, count: int) -> None:
        self._bar.update(count)
        check_interrupt()

    def tick(self, num_tasks: int = 0, num_nodes: int = 1) -> None:
        self._bar.set_postfix_str(_flight_text(num_tasks, num_nodes), refresh=False)
        self._bar.refresh()
        check_interrupt()


class _Lines:
    """Text lines: at most one every ten seconds, and one when the work is done."""

    def __init__(self, title: str, total: int, done: int, unit: str) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._done_before, self._done = done, done
        self._started_at = self._written_at = time.monotonic()
        self._ends_at, self._flight = math.inf, ""

    def advance(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if self._done > self._done_before:
            pace_s = (now - self._started_at) / (self._done - self._done_before)
            self._ends_at = now + (self._total - self._done) * pace_s
        self._write(finished=count > 0 and self._done >= self._total)

    def tick(self, num_tasks: int = 0, num_nodes: int = 1) -> None:
        self._flight = _flight_text(num_tasks, num_nodes)
        self._write()

    def _write(self, finished: bool = False) -> None:
        check_interrupt()
        now = time.monotonic()
        # Logs of batch jobs would otherwise fill with a line for each block.
        if not finished and now - self._written_at < _SECONDS_BETWEEN_LINES:
            return
        self._written_at = now
        # max: the first line may come within the clock's resolution
        rate = (self._done - self._done_before) / max(now - self._started_at, 1e-9)
        facts = [
            f"{self._done:,} of {self._total:,} {self._unit}",
            f"{_rate_text(rate)} {self._unit}/s",
        ]
        # The end is forecast when something is done. A rate that falls while nothing is would let
        # the time left grow for ever.
        if now <= self._ends_at < math.inf:
            facts.append(f"{self._ends_at - now:.0f} s left")
        if self._flight and not finished:
            facts.append(self._flight)
        sys.stderr.write(f"{self._title}: {', '.join(facts)}\n")
        sys.stderr.flush()


def _flight_text(num_tasks: int, num_nodes: int) -> str:
    tasks = f"{num_tasks:,} task{'' if num_tasks == 1 else 's'} in flight" if num_tasks else ""
    return f"{tasks} on {num_nodes:,} nodes" if tasks and num_nodes > 1 else tasks


def _rate_text(rate: float) -> str:
    return f"{rate:,.1f}" if rate >= 1 else f"{rate:.2g}"


@contextmanager
def show_counts(title: str) -> Iterator[Callable[[str, int], None]]:
    """Show on stderr a count whose end is not known, from the second second of each text on.

    The block gets a function of a text, such as "files listed", and the number so far.
    """
    next_at, last, shown = 0.0, "", False
    terminal = sys.stderr.isatty()

    def report(text: str, count: int) -> None:
        nonlocal next_at, last, shown
        now = time.monotonic()
        if text != last:
            # imports may lie before it, so a count's time runs from its own first report
            last, next_at = text, max(next_at, now + _SECONDS_TO_FIRST_COUNT)
        if now < next_at:
            return
        check_interrupt()
        shown = True
        next_at = now + (0.2 if terminal else _SECONDS_BETWEEN_LINES)
        line = f"{title}: {count:,} {text}"
        # a terminal's line is written over by the next one
        sys.stderr.write(f"\r{line:<60}" if terminal else f"{line}\n")
        sys.stderr.flush()

    yield report
    if terminal and shown:
        sys.stderr.write("\n")


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
