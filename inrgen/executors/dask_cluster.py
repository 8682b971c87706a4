"""A Dask cluster as an executor."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

from distributed import Client, Future
from distributed.scheduler import KilledWorker

from inrgen.executors.config import ExecutorConfig, unsendable

# Dask retries a task that lost its worker anyway. These are for errors of a worker's disk or
# network that pass.
_RETRIES = 10
_WAIT_S = 1.0
_CONNECT_S = 10.0
# Duration that a batch of short tasks aims at, and its most tasks: a lost worker costs no more.
_BATCH_S, _MAX_BATCH = 0.5, 32


def _run_batch(
    function: Callable[..., Any], tasks: Sequence[Any], *others: Any
) -> tuple[list[Any], float]:
    """Run tasks one after the other on a worker; returns their results and the seconds taken."""
    began = time.perf_counter()
    return [function(task, *others) for task in tasks], time.perf_counter() - began


@dataclass(eq=False, kw_only=True, slots=True)
class _Call:
    """A task and, once it is done, its result or error."""

    function: Callable[..., Any]
    task: Any
    others: tuple[Any, ...]
    result: Any = None
    error: BaseException | None = None


class DaskExecutor:
    """The workers of a Dask cluster. max_tasks limits the submitted tasks; None is twice its size.

    A Dask cluster cannot reserve cores for one client, so a limit leaves no room for a queue.
    Dask takes 4 to 8 ms of the scheduler's and driver's time for anything that it runs. Short
    tasks therefore run in batches, one after the other, of about half a second each.
    """

    def __init__(self, client: Client, max_tasks: int | None) -> None:
        self._client, self._max_tasks = client, max_tasks
        # tasks of a batch; the first batches tell how long a task takes
        self._size = 1
        self._waiting: deque[_Call] = deque()
        self._running: dict[Future, list[_Call]] = {}
        self._finished: SimpleQueue[Future] = SimpleQueue()

    def _slots(self) -> int:
        # Dask declares answers of a synchronous client as coroutines.
        threads: Any = self._client.nthreads()
        return self._max_tasks or 2 * max(1, sum(threads.values()))

    def capacity(self) -> int:
        return self._slots() * self._size

    def num_nodes(self) -> int:
        # Dask declares answers of a synchronous client as coroutines.
        workers: Any = self._client.nthreads()
        return len({urlsplit(address).hostname for address in workers})

    def share(self, value: Any) -> Any:
        try:
            return self._client.scatter(value, broadcast=True)
        except Exception as error:  # pickle raises several kinds, and Dask wraps them
            raise unsendable(value, error) from error

    def submit(self, function: Callable[..., Any], *arguments: Any) -> _Call:
        # sent by wait, when the whole batch is known
        task, *others = arguments
        self._waiting.append(_Call(function=function, task=task, others=tuple(others)))
        return self._waiting[-1]

    def wait(self, handles: Sequence[_Call]) -> list[_Call]:
        slots = self._slots()
        while self._waiting and len(self._running) < slots:
            size = min(self._size, len(self._waiting))
            self._send([self._waiting.popleft() for _ in range(size)])
        try:
            finished = [self._finished.get(timeout=_WAIT_S)]
        except Empty:
            return []
        while not self._finished.empty():
            finished.append(self._finished.get())
        return [call for future in finished for call in self._receive(future)]

    def _send(self, batch: list[_Call]) -> None:
        tasks, first = [call.task for call in batch], batch[0]
        # all calls of a run have one function; pure=True would take two equal batches for one
        future = self._client.submit(
            _run_batch, first.function, tasks, *first.others, pure=False, retries=_RETRIES
        )
        self._running[future] = batch
        future.add_done_callback(self._finished.put)

    def _receive(self, future: Future) -> list[_Call]:
        batch = self._running.pop(future)
        try:
            results, seconds = future.result()
        except Exception as error:  # raised again for the task's caller
            for call in batch:
                call.error = error
            return batch
        for call, result in zip(batch, results, strict=True):
            call.result = result
        each = max(seconds / len(batch), 1e-6)
        self._size = min(_MAX_BATCH, max(1, round(_BATCH_S / each)))
        return batch

    def result(self, handle: _Call) -> Any:
        if isinstance(handle.error, KilledWorker):
            raise ChildProcessError(
                f"a task lost its worker too often: {handle.error}"
            ) from handle.error
        if handle.error is not None:
            raise handle.error
        return handle.result


@contextmanager
def open_dask(config: ExecutorConfig) -> Iterator[DaskExecutor]:
    """Connect to the Dask scheduler at config.address.

    Raises ValueError when no scheduler answers there.
    """
    try:
        client = Client(config.address, timeout=_CONNECT_S)
    except (OSError, ValueError) as error:
        raise ValueError(
            "address must be of a running Dask scheduler, tcp://HOST:PORT; got "
            f"{config.address!r}, where none answers ({error})"
        ) from error
    with client:
        yield DaskExecutor(client, config.max_tasks)
