"""The run loop: bounded submission to an executor, and results as they finish."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain, islice
from typing import Any, Protocol, TypeVar

from inrgen.executors.config import ExecutorConfig

_TELL_S = 1.0

Task = TypeVar("Task")
Result = TypeVar("Result")


class Executor(Protocol):
    """A place that runs function(task). A handle is the executor's token for a submitted task."""

    def capacity(self) -> int:
        """Tasks to keep submitted: those that run, and a queue so that no worker waits.

        The run loop asks again each time, because a cluster may grow or shrink.
        """
        ...

    def num_nodes(self) -> int:
        """Number of machines that have room for tasks."""
        ...

    def share(self, value: Any) -> Any:
        """Store a value once for all tasks; submit turns the reference into the value again.

        Raises ValueError for a value that cannot be sent to other processes.
        """
        ...

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Start function(*arguments), or queue it; returns a handle."""
        ...

    def wait(self, handles: Sequence[Any]) -> list[Any]:
        """The handles that are done; an empty list if none is after about a second."""
        ...

    def result(self, handle: Any) -> Any:
        """The result of a handle that is done; raises the exception of its function."""
        ...


class _Serial:
    """This thread: a handle is the call itself, made when its result is taken."""

    def capacity(self) -> int:
        return 1  # a queue would only delay the next result

    def num_nodes(self) -> int:
        return 1

    def share(self, value: Any) -> Any:
        return value

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function, arguments

    def wait(self, handles: Sequence[Any]) -> list[Any]:
        return list(handles)

    def result(self, handle: Any) -> Any:
        function, arguments = handle
        return function(*arguments)


def _open_executor(
    config: ExecutorConfig, gpus_per_task: float
) -> AbstractContextManager[Executor]:
    # Each library takes up to a second to import, so only the one in use is imported.
    if config.backend == "ray":
        from inrgen.executors.ray_cluster import open_ray

        return open_ray(config, gpus_per_task)
    if config.backend == "distributed":
        from inrgen.executors.dask_cluster import open_dask

        return open_dask(config)
    if config.backend == "threads":
        from inrgen.executors.threads import open_threads

        return open_threads(config.max_tasks or 1)
    return nullcontext(_Serial())


def run_tasks(
    function: Callable[..., Result],
    tasks: Iterable[Task],
    config: ExecutorConfig,
    on_wait: Callable[[int, int], None] = lambda num_tasks, num_nodes: None,
    *,
    gpus_per_task: float = 0.0,
    shared: Any = None,
) -> Iterator[Result]:
    """Run function on every task and yield the results in the order in which they finish.

    Only as many tasks are submitted as can run or queue at once, so a long plan needs no memory.
    A lost worker or node costs a retry of its tasks.

    Args:
        function: must be importable by name on a cluster's workers.
        tasks: read lazily.
        on_wait: called about once a second with the number of tasks in flight, and of the machines
            that have room for tasks.
        gpus_per_task: share of a GPU that each task holds; only Ray keeps count of GPUs.
        shared: an object that every task needs. The call is then function(task, shared), and a
            cluster stores the object once, not with every task.

    Raises:
        ValueError: nothing answers at config.address, the cluster has no GPU to share, or shared
            cannot be sent to other processes.
        ChildProcessError: a task lost its workers too often.
        Exception: any exception that function raises.
    """
    queue = iter(tasks)
    first = list(islice(queue, 1))
    if not first:
        return  # no cluster starts for nothing
    queue = chain(first, queue)
    with _open_executor(config, gpus_per_task) as executor:
        pending, told = list[Any](), time.monotonic()
        others = () if shared is None else (executor.share(shared),)
        while True:
            # A cluster that has lost a node may have less room than the pending tasks take.
            for task in islice(queue, max(0, executor.capacity() - len(pending))):
                pending.append(executor.submit(function, task, *others))
            if not pending:
                return
            done = executor.wait(pending)
            if time.monotonic() - told > _TELL_S or not done:
                on_wait(len(pending), executor.num_nodes())
                told = time.monotonic()
            # The caller handles a result while workers go on with the queue.
            for handle in done:
                pending.remove(handle)
                yield executor.result(handle)
