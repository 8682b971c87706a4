"""One thread that prepares what will be asked for next."""

import atexit
import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

# How to end each thread at work. Python stops daemon threads at its own end wherever they are, and
# one that is within torch's code takes the whole process down with it.
_ends: dict[threading.Thread, Callable[[], None]] = {}
os.register_at_fork(after_in_child=_ends.clear)


@atexit.register
def _end_all() -> None:
    """End the threads of passes that nobody brought to their end."""
    for end in list(_ends.values()):
        end()


class _End(Generic[T]):
    """The last thing in the queue: why nothing more comes."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def read_ahead(source: Iterator[T], depth: int) -> Iterator[T]:
    """The same things in the same order, up to depth of them made ahead in a thread.

    An error of the source is raised where its item would have come. When the caller stops early
    the thread ends before this does, so that no two ever read the source's files.
    """
    ready: queue.SimpleQueue[T | _End[T]] = queue.SimpleQueue()
    room = threading.Semaphore(depth)
    stopped = threading.Event()

    def work() -> None:
        try:
            for item in source:
                room.acquire()
                if stopped.is_set():
                    return
                ready.put(item)
        except BaseException as error:  # handed over, not swallowed
            ready.put(_End(error))
        else:
            ready.put(_End(None))

    def end() -> None:
        stopped.set()
        room.release()
        thread.join()
        _ends.pop(thread, None)

    thread = threading.Thread(target=work, name="inrgen read-ahead", daemon=True)
    _ends[thread] = end
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            room.release()
            yield item
    finally:
        end()
