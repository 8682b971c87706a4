"""Bounds on reading one item: memory, time, and that no error of a reader ends a command."""

import math
import signal as signals
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from inrgen.core.memory import allow_memory, bounded_memory, too_large
from inrgen.core.own_code import own_place
from inrgen.sources.base import BadSignal, Signal, Source, SourceFacts
from inrgen.sources.config import SourceConfig

# After a reader has swallowed the first alarm, it gets another every so many seconds.
_ALARM_AGAIN_S = 1.0
# Bounds of commands without options for them.
DEFAULT_BOUNDS = SourceConfig(name="")


class _TooLong(BaseException):
    """The alarm of bounded; no Exception, since readers catch those."""


@contextmanager
def _time_bound(seconds: float) -> Iterator[None]:
    """Raise _TooLong after some seconds. Only a main thread gets signals; others run unbounded."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    over = False

    def alarm(_signal: int, _frame: object) -> None:
        if not over:
            raise _TooLong

    before = signals.signal(signals.SIGALRM, alarm)
    signals.setitimer(signals.ITIMER_REAL, seconds, _ALARM_AGAIN_S)
    try:
        yield
    finally:
        over = True
        signals.setitimer(signals.ITIMER_REAL, 0)
        signals.signal(signals.SIGALRM, before)


def _fitting(signal: Any, facts: SourceFacts) -> Signal:
    """The loaded signal. Raises BadSignal unless it is a Signal of the source's dimensions."""
    if not isinstance(signal, Signal):
        raise BadSignal(f"is no Signal: the source's load returned {type(signal).__name__}")
    d_in = len(signal.grid) if signal.coords is None else signal.coords.shape[1]
    d_out, num = signal.values.shape[1], len(signal.values)
    if (d_in, d_out) != (facts.d_in, facts.d_out):
        raise BadSignal(
            f"has {d_in} coordinates and {d_out} outputs, where the source has {facts.d_in} and "
            f"{facts.d_out}"
        )
    wanted = math.prod(signal.grid) if signal.coords is None else len(signal.coords)
    if num != wanted:
        raise BadSignal(f"has {num:,} values for {wanted:,} points")
    return signal


def load_item(
    source: Source, index: int, config: SourceConfig = DEFAULT_BOUNDS
) -> Signal | BadSignal:
    """Load the signal of an item, or the reason why it has none.

    Damaged files make readers raise errors of every type, run for hours and fill the memory; none
    of that may end a command, so no code outside sources calls a source's own load. The bounds are
    config's memory_limit and read_seconds.
    """
    try:
        with allow_memory(config.memory_limit):
            try:
                with _time_bound(config.read_seconds), bounded_memory():
                    return _fitting(source.load(index), source.facts)
            except MemoryError:
                return BadSignal(f"takes {too_large()}")
    except BadSignal as reason:
        return reason
    except _TooLong:
        return BadSignal(f"takes more than the {config.read_seconds:g} s of --read-seconds")
    except Exception as error:
        # An error of the system names its file, whose folder records must not depend on.
        said = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        kind, place = type(error).__name__, own_place(error)
        return BadSignal(f"cannot be read: {kind}: {str(said)[:120]}{place}")
