"""A bound on the memory that reading one file or item may take.

Sizes that a file's header states are checked against it before anything is decoded. On Linux the
process's memory is limited, too, while a reader runs, since headers lie.
"""

import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

DEFAULT_MEMORY_GB = 2.0
_allowed_bytes: ContextVar[int] = ContextVar("allowed_bytes", default=int(DEFAULT_MEMORY_GB * 1e9))


class _Limit:
    """The process's own limit, restored when the last of the threads that lowered it is done."""

    lock = threading.Lock()
    users = 0
    before = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


@contextmanager
def allow_memory(gigabytes: float) -> Iterator[None]:
    """Let every file that is read within take so much memory, instead of 2 GB."""
    token = _allowed_bytes.set(int(gigabytes * 1e9))
    try:
        yield
    finally:
        _allowed_bytes.reset(token)


def check_memory(num_bytes: int, subject: str) -> None:
    """Raise MemoryError, naming the subject, if so many bytes are more than is allowed."""
    if num_bytes > _allowed_bytes.get():
        raise MemoryError(f"{subject} takes {num_bytes / 1e9:.1f} GB: {too_large()}")


def too_large() -> str:
    """Half a sentence that names the limit and its option."""
    return f"more than the {_allowed_bytes.get() / 1e9:g} GB of --memory-limit"


def _used_bytes() -> int:
    """Private writable memory of this process, which RLIMIT_DATA limits, with its stack.

    statm is one short line, read for every item; status would take ten times as long.
    """
    return int(Path("/proc/self/statm").read_bytes().split()[5]) * resource.getpagesize()


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Let allocations beyond what is allowed fail as MemoryError, on Linux alone."""
    used = _used_bytes() if sys.platform == "linux" else 0
    if not used:
        yield
        return
    with _Limit.lock:
        if not _Limit.users:
            _Limit.before = resource.getrlimit(resource.RLIMIT_DATA)
        _Limit.users += 1
        soft, hard = _Limit.before
        ceilings = [v for v in (soft, hard) if v != resource.RLIM_INFINITY]
        wanted = min([used + _allowed_bytes.get(), *ceilings])
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    try:
        yield
    finally:
        with _Limit.lock:
            _Limit.users -= 1
            if not _Limit.users:
                resource.setrlimit(resource.RLIMIT_DATA, _Limit.before)
