"""Bounds on reading one item: memory, time, and that no error of a reader ends a command."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from inrgen.core.memory import allow_memory, bounded_memory, too_large
from inrgen.sources.base import BadSignal, Signal, Source
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

    before = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds, _ALARM_AGAIN_S)
    try:
        yield
    finally:
        over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


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
                    return source.load(index)
            except MemoryError:
                return BadSignal(f"takes {too_large()}")
    except BadSignal as reason:
        return reason
    except _TooLong:
        return BadSignal(f"takes more than the {config.read_seconds:g} s of --read-seconds")
    except Exception as error:
        # An error of the system names its file, whose folder records must not depend on.
        said = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        return BadSignal(f"cannot be read: {type(error).__name__}: {str(said)[:120]}")
