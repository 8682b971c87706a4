"""Run the blocks of a job through Dask: on threads, on a cluster, or on Ray.

Each block is a Dask graph of one task, handed over when there is room for it, so that a limit on
blocks at a time holds everywhere, a long plan needs no memory, and each result is had as soon as
it is there. The graph is the same everywhere; only who carries it out differs.
"""

import logging
import signal
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor
from concurrent.futures import wait as wait_for_futures
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, Protocol, TypeVar

import torch
from dask.local import get_sync

from inrgen.executors.config import RunConfig

Task = TypeVar("Task")
Result = TypeVar("Result")

_KEY = "block"
_RETRIES = 10
_SECONDS_A_WAIT = 1.0
_SECONDS_TO_CONNECT = 10.0


class _Crew(Protocol):
    """Who carries graphs out."""

    def room(self, at_once: int | None) -> int:
        """Graphs to hand over before some are done, if at_once may be worked on at a time.

        One is in line for each that is worked on, where that keeps to at_once: so nobody waits
        while the driver commits a block.
        """
        ...

    def submit(self, graph: dict[str, Any]) -> Any:
        """Hand a graph over."""
        ...

    def wait(self, handles: Sequence[Any]) -> list[Any]:
        """Those that are done, or none after a second."""
        ...

    def result(self, handle: Any) -> Any:
        """What a graph that is done gave, or the exception that it raised."""
        ...


class _Threads:
    def __init__(self, pool: ThreadPoolExecutor, size: int) -> None:
        self._pool, self._size = pool, size

    def room(self, at_once: int | None) -> int:
        # the pool itself works on no more than its size
        return 2 * self._size

    def submit(self, graph: dict[str, Any]) -> Any:
        return self._pool.submit(get_sync, graph, _KEY)

    def wait(self, handles: Sequence[Any]) -> list[Any]:
        done = wait_for_futures(handles, _SECONDS_A_WAIT, FIRST_COMPLETED).done
        return [handle for handle in handles if handle in done]

    def result(self, handle: Any) -> Any:
        return handle.result()


class _Cluster:
    """A Dask cluster, which is asked for its size each time, since it may grow."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def room(self, at_once: int | None) -> int:
        return at_once or 2 * max(1, sum(self._client.nthreads().values()))

    def submit(self, graph: dict[str, Any]) -> Any:
        # a name of its own: a cluster takes tasks of one name for one task
        name = f"{_KEY}-{uuid.uuid4().hex}"
        return self._client.get({name: graph[_KEY]}, name, sync=False, retries=_RETRIES)

    def wait(self, handles: Sequence[Any]) -> list[Any]:
        from distributed import wait

        try:
            found: Any = wait(list(handles), _SECONDS_A_WAIT, FIRST_COMPLETED)
        except TimeoutError:
            return []
        done = found.done
        return [handle for handle in handles if handle in done]

    def result(self, handle: Any) -> Any:
        from distributed.scheduler import KilledWorker

        try:
            return handle.result()
        except KilledWorker as error:
            raise ChildProcessError(f"a block lost its worker too often: {error}") from error


class _Ray:
    """Dask's graphs as Ray tasks, by Ray's own scheduler for Dask."""

    def room(self, at_once: int | None) -> int:
        import ray

        return at_once or 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))

    def submit(self, graph: dict[str, Any]) -> Any:
        from ray.util.dask import ray_dask_get

        return ray_dask_get(graph, [_KEY], ray_persist=True)[0]

    def wait(self, handles: Sequence[Any]) -> list[Any]:
        import ray

        return ray.wait(list(handles), num_returns=1, timeout=_SECONDS_A_WAIT)[0]

    def result(self, handle: Any) -> Any:
        import ray
        import ray.exceptions

        try:
            return ray.get(handle)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except ray.exceptions.RayError as error:
            raise ChildProcessError(f"a block lost its worker: {type(error).__name__}") from error


@contextmanager
def _threads(size: int) -> Iterator[_Crew]:
    # blocks share the processors: torch's own threads, too, would wait for each other in circles
    before = torch.get_num_threads()
    each = max(1, before // size)
    pool = ThreadPoolExecutor(
        size, "inrgen-job", initializer=torch.set_num_threads, initargs=(each,)
    )
    try:
        yield _Threads(pool, size)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(before)


@contextmanager
def _cluster(address: str) -> Iterator[_Crew]:
    from distributed import Client

    try:
        client = Client(address, timeout=_SECONDS_TO_CONNECT)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"address must be of a running Dask scheduler, tcp://HOST:PORT; got {address!r}, where "
            f"none answers ({error})"
        ) from error
    with client:
        yield _Cluster(client)


@contextmanager
def _ray(address: str | None, workers: int | None) -> Iterator[_Crew]:
    import ray

    if ray.is_initialized():
        yield _Ray()
        return
    handler = signal.getsignal(signal.SIGTERM)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is None:
            ray.init("local", num_cpus=workers, include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet)
    except ConnectionError as error:
        raise ValueError(
            f"address must be a running Ray cluster; none is at {address!r}"
        ) from error
    finally:
        # Ray puts a SIGTERM handler of its own in place, which would end the driver mid-sentence.
        signal.signal(signal.SIGTERM, handler)
    try:
        yield _Ray()
    finally:
        ray.shutdown()


@contextmanager
def _crew(config: RunConfig, at_once: int) -> Iterator[_Crew]:
    match config.where:
        case "distributed":
            assert config.address is not None, "checked when the config was made"
            with _cluster(config.address) as crew:
                yield crew
        case "ray":
            with _ray(config.address, config.workers) as crew:
                yield crew
        case _:
            with _threads(at_once) as crew:
                yield crew


def run_graphs(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    config: RunConfig,
    at_once: int | None,
    on_wait: Callable[[], None] = lambda: None,
) -> Iterator[Result]:
    """Results of function(task) in the order in which they finish.

    An exception that function raises is raised here; a worker that is lost costs a retry.

    Args:
        function: importable by name wherever it runs.
        at_once: tasks worked on at most; None leaves it to how many the workers can take.
        on_wait: called about once a second while nothing finishes.

    Raises:
        ValueError: nothing answers at config.address.
        ChildProcessError: a task's workers were lost too often.
    """
    if not tasks:
        return
    with _crew(config, at_once or 1) as crew:
        queue, pending = iter(tasks), []
        while True:
            for task in islice(queue, max(0, crew.room(at_once) - len(pending))):
                pending.append(crew.submit({_KEY: (partial(function, task),)}))
            if not pending:
                return
            done = crew.wait(pending)
            if not done:
                on_wait()
            for handle in done:
                pending.remove(handle)
                yield crew.result(handle)
