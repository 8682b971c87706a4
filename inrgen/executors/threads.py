"""Threads of this process as an executor."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import torch

_WAIT_S = 1.0


class ThreadsExecutor:
    """A pool of threads. It queues one task for each thread, so that none waits for the driver."""

    def __init__(self, pool: ThreadPoolExecutor, size: int) -> None:
        self._pool, self._size = pool, size

    def capacity(self) -> int:
        return 2 * self._size

    def num_nodes(self) -> int:
        return 1

    def share(self, value: Any) -> Any:
        return value

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        return self._pool.submit(function, *arguments)

    def wait(self, handles: Sequence[Future[Any]]) -> list[Future[Any]]:
        # The set that wait returns has no order; the list keeps the order of submission.
        done = wait(handles, _WAIT_S, FIRST_COMPLETED).done
        return [handle for handle in handles if handle in done]

    def result(self, handle: Future[Any]) -> Any:
        return handle.result()


@contextmanager
def open_threads(size: int) -> Iterator[ThreadsExecutor]:
    """A pool of size threads, which share torch's threads among them.

    On leaving, tasks that have not begun are dropped, and tasks that run are waited for.
    """
    # Each thread gets its share of the cores: torch's full pool in each would oversubscribe them.
    before = torch.get_num_threads()
    each = max(1, before // size)
    pool = ThreadPoolExecutor(
        size, "inrgen-task", initializer=torch.set_num_threads, initargs=(each,)
    )
    try:
        yield ThreadsExecutor(pool, size)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(before)
