"""Where the blocks of a job are worked on, and how many at a time."""

from dataclasses import dataclass
from typing import Literal

Scheduler = Literal["auto", "threads", "distributed", "ray"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """Where blocks are worked on, which nothing of the result depends on.

    Attributes:
        scheduler: threads of this process, a Dask cluster (distributed), or Ray; auto is
            distributed where there is an address, and threads where there is none.
        address: of a running Dask scheduler (tcp://HOST:PORT), or of a Ray cluster; without one,
            ray starts a Ray of its own. Its workers must see the same folders.
        workers: blocks at a time; by default as many as there are processors.
        memory_mb: what the work may take at most, in millions of bytes. On threads it is a limit
            of the whole process, else of all blocks in flight together beyond what idle workers
            hold. Fewer blocks at a time are worked on, in smaller parts, to keep it.
    """

    scheduler: Scheduler = "auto"
    address: str | None = None
    workers: int | None = None
    memory_mb: float | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers must be at least 1; got {self.workers}")
        if self.memory_mb is not None and not self.memory_mb > 0:
            raise ValueError(f"memory_mb must be positive; got {self.memory_mb}")
        if self.scheduler == "threads" and self.address is not None:
            raise ValueError(f"address is of a cluster, and threads need none; got {self.address}")
        if self.scheduler == "distributed" and self.address is None:
            raise ValueError("scheduler distributed needs the address of a Dask cluster; got none")

    @property
    def where(self) -> Scheduler:
        """threads, distributed or ray."""
        if self.scheduler != "auto":
            return self.scheduler
        return "threads" if self.address is None else "distributed"
