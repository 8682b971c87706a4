"""Executor settings: a kind, an address, how many tasks at a time, and a memory limit."""

import os
from dataclasses import dataclass, replace
from typing import Literal

Scheduler = Literal["auto", "threads", "distributed", "ray"]
Backend = Literal["serial", "threads", "distributed", "ray"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutorConfig:
    """Settings for running tasks. The result never depends on them.

    Attributes:
        scheduler: threads of this process, a Dask cluster (distributed), or Ray; auto is
            distributed when there is an address, and threads when there is none.
        address: address of a running Dask scheduler (tcp://HOST:PORT) or Ray cluster (auto or
            HOST:PORT). Without one, ray starts a local Ray. All workers must see the same folders.
        workers: tasks at a time. 0 runs them in this process, one by one, whatever the scheduler.
            The default is every core, or all that the cluster has.
        memory_mb: memory limit in millions of bytes. On threads it limits the whole process,
            elsewhere all running tasks together, beyond what idle workers hold. Fewer tasks then
            run at a time, in smaller parts.
    """

    scheduler: Scheduler = "auto"
    address: str | None = None
    workers: int | None = None
    memory_mb: float | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 0:
            raise ValueError(f"workers must be 0 (this process alone) or more; got {self.workers}")
        # "not > 0" also refuses NaN
        if self.memory_mb is not None and not self.memory_mb > 0:
            raise ValueError(f"memory_mb must be positive; got {self.memory_mb}")
        if self.workers == 0 and self.address is not None:
            raise ValueError(
                f"address needs workers on the cluster, but workers=0 is this process alone; "
                f"got {self.address}"
            )
        if self.scheduler == "threads" and self.address is not None:
            raise ValueError(f"address names a cluster, but threads need none; got {self.address}")
        if self.scheduler == "distributed" and self.address is None:
            raise ValueError("scheduler distributed needs the address of a Dask cluster; got none")

    @property
    def backend(self) -> Backend:
        """The executor that this config selects."""
        if self.workers == 0:
            return "serial"
        if self.scheduler != "auto":
            return self.scheduler
        return "threads" if self.address is None else "distributed"

    @property
    def in_process(self) -> bool:
        """Tell whether tasks run in this process, and so share its memory and open files."""
        return self.backend in ("serial", "threads")

    @property
    def max_tasks(self) -> int | None:
        """Tasks at a time; None for as many as the cluster takes."""
        if self.backend == "serial":
            return 1
        if self.backend == "threads" and self.workers is None:
            return os.cpu_count() or 1
        return self.workers

    def limited_to(self, num_tasks: int) -> "ExecutorConfig":
        """The same executor with num_tasks at a time; a serial one stays serial."""
        return self if self.backend == "serial" else replace(self, workers=num_tasks)


def unsendable(value: object, error: BaseException) -> ValueError:
    """The error for an object that cannot be sent to other processes."""
    return ValueError(
        f"{type(value).__name__} cannot be sent to workers ({error}); make it picklable, or run in "
        "this process alone with workers=0"
    )


def process_bytes() -> int:
    """Resident memory of this process, in bytes."""
    # A config must stay light to import, and only jobs with a limit call this.
    import psutil

    return psutil.Process().memory_info().rss
