"""Requests to stop a command (Ctrl-C, SIGTERM): raised at once, and remembered.

Python raises KeyboardInterrupt wherever the main thread is. Inside a destructor or a callback of
compiled code the exception is printed and lost, and some libraries turn it into an error of their
own. So the request is also remembered: work that reports progress raises it again, and the command
line knows that a later error followed from it.
"""

import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

_requested = Event()


def stop_requested() -> bool:
    """Tell whether the running command was asked to stop."""
    return _requested.is_set()


def check_interrupt() -> None:
    """Raise KeyboardInterrupt if the running command was asked to stop."""
    if _requested.is_set():
        raise KeyboardInterrupt


def _request(signum: int, frame: object) -> None:
    _requested.set()
    # Objects that are left half made warn while they are destroyed, which tells a user nothing.
    warnings.simplefilter("ignore")
    raise KeyboardInterrupt


def _report_unraisable(found: "sys.UnraisableHookArgs") -> None:
    if not _requested.is_set():
        sys.__unraisablehook__(found)


@contextmanager
def remember_interrupts() -> Iterator[None]:
    """Remember Ctrl-C, and treat SIGTERM, which batch systems send, like it."""
    _requested.clear()
    before = {which: signal.signal(which, _request) for which in (signal.SIGINT, signal.SIGTERM)}
    hook, sys.unraisablehook = sys.unraisablehook, _report_unraisable
    try:
        with warnings.catch_warnings():
            yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
        sys.unraisablehook = hook
        _requested.clear()
