"""One thread that prepares what will be asked for next."""

import queue
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


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

    thread = threading.Thread(target=work, name="inrgen read-ahead", daemon=True)
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
        stopped.set()
        room.release()
        thread.join()
