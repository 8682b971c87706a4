"""A thread that prepares the next items of an iterator."""

import atexit
import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

# Stops each running thread. At interpreter exit Python freezes daemon threads at any point, and a
# thread frozen inside torch crashes the process.
_ends: dict[threading.Thread, Callable[[], None]] = {}
# Threads do not survive a fork, so a child has none to stop.
os.register_at_fork(after_in_child=_ends.clear)


@atexit.register
def _end_all() -> None:
    """Stop the threads of passes that were never finished or closed."""
    for end in list(_ends.values()):
        end()


class _End(Generic[T]):
    """The last thing in the queue. error: the error that ended the source, or None."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def read_ahead(source: Iterator[T], depth: int) -> Iterator[T]:
    """Yield the source's items in order, with up to depth of them made ahead in a thread.

    An error of the source is raised in the place of its item. When the caller stops early, the
    thread ends before this generator does, so the source's files never have two readers.
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
        except BaseException as error:  # passed on to the caller, not swallowed
            ready.put(_End(error))
        else:
            ready.put(_End(None))

    def end() -> None:
        stopped.set()
        room.release()
        # The thread may wait for room; the release above wakes it. An interrupt may have come
        # before it ran, and a thread that never ran cannot be joined.
        if thread.is_alive():
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
