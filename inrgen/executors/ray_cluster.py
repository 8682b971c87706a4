"""A Ray cluster as an executor, either one that runs already or one started on this machine."""

import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray
import ray.exceptions

from inrgen.executors.config import ExecutorConfig, unsendable

_RETRIES = 10
_WAIT_S = 1.0
_CONNECT_S = 10.0
# Ray sets OMP_NUM_THREADS to a task's cores. libigl reads its own variable; without it, libigl
# takes every core.
_ONE_THREAD = {"env_vars": {"IGL_NUM_THREADS": "1"}}


class RayExecutor:
    """Ray tasks of one core each.

    max_tasks limits the submitted tasks; None queues one for each core of the cluster.
    """

    def __init__(self, max_tasks: int | None, gpus_per_task: float) -> None:
        self._max_tasks = max_tasks
        options: dict[str, Any] = {"num_cpus": 1, "num_gpus": gpus_per_task}
        options |= {"max_retries": _RETRIES, "runtime_env": _ONE_THREAD}
        # One remote function for all tasks: Ray exports each that it is given to every worker.
        self._call = ray.remote(**options)(_call)

    def capacity(self) -> int:
        return self._max_tasks or 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))

    def num_nodes(self) -> int:
        return sum(node["Alive"] and node["Resources"].get("CPU", 0) > 0 for node in ray.nodes())

    def share(self, value: Any) -> ray.ObjectRef:
        try:
            return ray.put(value)
        except TypeError as error:
            raise unsendable(value, error.__cause__ or error) from error

    def submit(self, function: Callable[..., Any], *arguments: Any) -> ray.ObjectRef:
        # Ray passes the value of a reference that is an argument.
        return self._call.options(name=_task_name(function)).remote(function, *arguments)

    def wait(self, handles: Sequence[ray.ObjectRef]) -> list[ray.ObjectRef]:
        # One result is enough: to wait for more would hold back the first.
        return ray.wait(list(handles), num_returns=1, timeout=_WAIT_S)[0]

    def result(self, handle: ray.ObjectRef) -> Any:
        try:
            return ray.get(handle)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, ray.exceptions.RaySystemError):
                # Ray's for a task that the worker could not unpickle
                reason = str(error.cause).splitlines()[0].removeprefix("System error: ")
                raise ValueError(
                    f"a node cannot load a task: {reason[:200]}; every node needs the same version "
                    "of inrgen, and your own modules, in the Python that runs Ray there"
                ) from error
            # Ray mixes the cause's class into its own error. Users read the worker's exception;
            # Ray's error beneath it has the worker's traceback.
            raise error.cause from error
        except ray.exceptions.RayError as error:
            # Ray knows which; a lost node or agent must not pass for a lack of memory.
            reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
            raise ChildProcessError(
                f"a task lost its worker more than {_RETRIES} times; the last time {reason}"
            ) from error


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def _task_name(function: Callable[[Any], Any]) -> str:
    """The name of a task in Ray's dashboard and in the titles of its processes."""
    return getattr(function, "__name__", type(function).__name__)


def _check_answers(address: str) -> None:
    """Raise ValueError unless something listens at HOST:PORT; Ray itself waits for minutes."""
    wanted = f"address must be a running Ray cluster, auto or HOST:PORT; got {address!r}"
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal()):
        raise ValueError(wanted)
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise ValueError(f"{wanted}, where nothing answers ({error})") from error


def _connect(config: ExecutorConfig) -> None:
    """Start a local Ray of config.workers cores, or join the cluster at config.address."""
    # Workers' prints and Ray's own messages would tear the driver's progress bar.
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    # Ray installs a SIGTERM handler, which would end the driver before it can say how to resume.
    handler = signal.getsignal(signal.SIGTERM)
    try:
        if config.address is None:
            sys.stderr.write("starting Ray on this machine, which takes some seconds\n")
            # Without "local", Ray joins any cluster it finds on the machine and refuses num_cpus.
            ray.init("local", num_cpus=config.workers, include_dashboard=False, **quiet)
            return
        if config.address not in ("auto", "local"):
            _check_answers(config.address)
        ray.init(address=config.address, **quiet)
    except (ConnectionError, ray.exceptions.AuthenticationError) as error:
        raise ValueError(
            f"address must be a running Ray cluster; found none at {config.address!r} that takes "
            "this process. A cluster with a token needs RAY_AUTH_MODE=token and the token of its "
            "head node, in ~/.ray/auth_token or RAY_AUTH_TOKEN"
        ) from error
    finally:
        signal.signal(signal.SIGTERM, handler)


@contextmanager
def open_ray(config: ExecutorConfig, gpus_per_task: float) -> Iterator[RayExecutor]:
    """Use the Ray that this process is connected to, or connect for as long as the context lasts.

    Raises ValueError when nothing answers at config.address, when no node has a CPU, or when a GPU
    is wanted and none has one.
    """
    connected_before = ray.is_initialized()
    started_here = not connected_before and config.address is None
    if not connected_before:
        _connect(config)
    try:
        # Tasks of a core each would wait for ever, and Ray would say so only in its own log.
        if not ray.cluster_resources().get("CPU"):
            raise ValueError("workers need a Ray cluster with CPUs; this one has none")
        if gpus_per_task and not ray.cluster_resources().get("GPU"):
            where = "this machine" if started_here else "the Ray cluster"
            raise ValueError(f"engine gpu needs a GPU; {where} has none")
        # A Ray started here has config.workers cores, which limit the tasks; there a queue is safe.
        yield RayExecutor(None if started_here else config.max_tasks, gpus_per_task)
    finally:
        if not connected_before:
            ray.shutdown()
