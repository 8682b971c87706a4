"""Reports while a source is listed, which takes minutes where it has millions of files."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Report = Callable[[str, int], None]
Thing = TypeVar("Thing")
_EVERY = 256
_report: ContextVar[Report | None] = ContextVar("listing_report", default=None)


def report_nothing(text: str, count: int) -> None:
    """No-op report."""


@contextmanager
def watch_listing(report: Report) -> Iterator[None]:
    """Let every source that is opened within report its counts, such as ("files listed", 512)."""
    token = _report.set(report)
    try:
        yield
    finally:
        _report.reset(token)


def counted(things: Iterable[Thing], text: str) -> Iterator[Thing]:
    """The same things; their number so far is reported every few hundred."""
    report = _report.get() or report_nothing
    for count, thing in enumerate(things):
        if count and count % _EVERY == 0:
            report(text, count)
        yield thing
