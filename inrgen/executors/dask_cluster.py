"""A Dask cluster as an executor."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from distributed import Client, Future, wait
from distributed.scheduler import KilledWorker

from inrgen.executors.config import ExecutorConfig, unsendable

# Dask retries a task that lost its worker anyway. These are for errors of a worker's disk or
# network that pass.
_RETRIES = 10
_WAIT_S = 1.0
_CONNECT_S = 10.0


class DaskExecutor:
    """The workers of a Dask cluster. max_tasks limits the submitted tasks; None is twice its size.

    A Dask cluster cannot reserve cores for one client, so a limit leaves no room for a queue.
    """

    def __init__(self, client: Client, max_tasks: int | None) -> None:
        self._client, self._max_tasks = client, max_tasks

    def capacity(self) -> int:
        # Dask declares answers of a synchronous client as coroutines.
        threads: Any = self._client.nthreads()
        return self._max_tasks or 2 * max(1, sum(threads.values()))

    def share(self, value: Any) -> Any:
        try:
            return self._client.scatter(value, broadcast=True)
        except Exception as error:  # pickle raises several kinds, and Dask wraps them
            raise unsendable(value, error) from error

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        # pure=True would take two equal tasks for one
        return self._client.submit(function, *arguments, pure=False, retries=_RETRIES)

    def wait(self, handles: Sequence[Future]) -> list[Future]:
        try:
            found: Any = wait(list(handles), _WAIT_S, "FIRST_COMPLETED")
        except TimeoutError:
            return []
        return [handle for handle in handles if handle in found.done]

    def result(self, handle: Future) -> Any:
        try:
            return handle.result()
        except KilledWorker as error:
            raise ChildProcessError(f"a task lost its worker too often: {error}") from error


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
