"""Spread tasks over Ray's workers: bounded submission, retries, results as they come."""

import logging
import signal
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import ray
import ray.exceptions

Task = TypeVar("Task")
Result = TypeVar("Result")

# Ray holds OpenMP to a task's cores; libigl has a variable of its own, and else takes every core.
_ONE_THREAD = {"env_vars": {"IGL_NUM_THREADS": "1"}}


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolConfig:
    """Where tasks run.

    workers: tasks at a time, one core each; None takes every core that Ray has.
    address: a running Ray cluster ("auto", "HOST:PORT"); None starts one on this machine, for
        as long as the pool lasts.
    gpus_per_task: the share of a GPU that each task holds.
    retries: how often a task is run again after its worker or node was lost.
    """

    workers: int | None = None
    address: str | None = None
    gpus_per_task: float = 0.0
    retries: int = 10


def _check_answers(address: str) -> None:
    """Raise ValueError unless something listens at HOST:PORT; Ray itself waits for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10.0).close()
    except (OSError, ValueError) as error:
        raise ValueError(
            f"address must be a running Ray cluster, auto or HOST:PORT; got {address!r}, "
            f"where nothing answers ({error})"
        ) from error


def _start(config: PoolConfig) -> bool:
    """Connect to Ray; whether it was started here and is ours to stop."""
    if ray.is_initialized():
        return False
    # Ray puts a SIGTERM handler of its own in place, which would end the driver mid-sentence.
    handler = signal.getsignal(signal.SIGTERM)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if config.address is None:
        # Without "local", Ray joins whatever cluster it finds on the machine and refuses num_cpus.
        ray.init("local", num_cpus=config.workers, include_dashboard=False, **quiet)
    else:
        if config.address not in ("auto", "local"):
            _check_answers(config.address)
        try:
            ray.init(address=config.address, **quiet)
        except ConnectionError as error:
            raise ValueError(
                f"address must be a running Ray cluster; found none at {config.address!r}"
            ) from error
    signal.signal(signal.SIGTERM, handler)
    return True


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    config: PoolConfig,
    on_wait: Callable[[], None] = lambda: None,
) -> Iterator[Result]:
    """Results of function(task) in the order in which they finish.

    Only as many tasks are handed over as can run at once and wait in line beside them, so a long
    plan needs no memory, and a cluster that grows or shrinks is used as it does.
    An exception that function raises is raised here; a worker or node that is lost costs a retry.

    Args:
        function: importable by name on every worker; gets one task.
        on_wait: called about once a second while nothing finishes.

    Raises:
        ValueError: nothing answers at config.address, or no node has the share of a GPU asked for.
        ChildProcessError: a task's workers were lost more than config.retries times.
    """
    ours = _start(config)
    try:
        if config.gpus_per_task and not ray.cluster_resources().get("GPU"):
            raise ValueError("engine gpu needs a GPU; the Ray cluster has none")
        remote = ray.remote(
            num_cpus=1,
            num_gpus=config.gpus_per_task,
            max_retries=config.retries,
            runtime_env=_ONE_THREAD,
        )(function)
        pending: list[ray.ObjectRef] = []
        queue = iter(tasks)
        while True:
            # a cluster that has lost a node may have less room than what is handed over takes
            free = max(0, _room(config) - len(pending))
            pending += map(remote.remote, islice(queue, free))
            if not pending:
                return
            done, pending = ray.wait(pending, num_returns=1, timeout=1.0)
            if not done:
                on_wait()
            for reference in done:
                yield _result(reference, config)
    finally:
        if ours:
            ray.shutdown()


def _room(config: PoolConfig) -> int:
    """How many tasks to have handed over: on a shared cluster never more than workers."""
    if config.address is not None and config.workers is not None:
        return config.workers
    return 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))


def _result(reference: ray.ObjectRef, config: PoolConfig) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        # Ray mixes the cause's class into its own error; what the worker raised is what users read,
        # and Ray's error beneath it says where in the worker that was.
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise ChildProcessError(
            f"a block lost its worker more than {config.retries} times (out of memory?): "
            f"{type(error).__name__}"
        ) from error
