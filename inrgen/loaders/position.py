"""Where a loader stands, and where its next pass begins, also in worker processes."""

from dataclasses import dataclass

import torch
from torch.utils.data import get_worker_info

_MAX_WORKERS = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """A place in the passes over the data.

    start: the sample of the epoch at which the counting of batches began.
    batches: how many of each rank's batches, counted from there, are done.
    """

    epoch: int
    start: int = 0
    batches: int = 0


def this_worker() -> tuple[int, int]:
    """Which of how many worker processes of a torch DataLoader this is; (0, 1) if it is none."""
    info = get_worker_info()
    return (0, 1) if info is None else (info.id, info.num_workers)


class Passes:
    """Where the next pass begins: each takes the epoch after the one before.

    A DataLoader copies its data set into new worker processes for every pass, so what a worker
    notes in itself is lost. So each worker notes its next epoch in memory shared with the process
    that made the loader, in a place of its own: a place shared by all could be read by a slow
    worker after a fast one has finished.
    """

    def __init__(self) -> None:
        self._next = Position(epoch=0)
        self._set_here = False
        self._noted = torch.full((_MAX_WORKERS + 1, _MAX_WORKERS), -1, dtype=torch.int64)
        self._noted.share_memory_()

    def peek(self) -> Position:
        """Where the next pass will begin."""
        if get_worker_info() is not None and not self._set_here:
            worker, count = self._worker()
            noted = int(self._noted[count, worker])
            if noted >= 0:
                return Position(epoch=noted)
        return self._next

    def begin(self) -> Position:
        """Begin a pass."""
        position = self.peek()
        self._next = Position(epoch=position.epoch + 1)
        if get_worker_info() is not None:
            worker, count = self._worker()
            self._set_here = False
            self._noted[count, worker] = position.epoch + 1
        return position

    def set(self, position: Position) -> None:
        """Have the next pass begin there."""
        self._next = position
        if get_worker_info() is None:
            self._noted.fill_(-1)
        else:
            # the pass after this one may be another process's, and is the next epoch whether or
            # not this process gets to begin its own
            worker, count = self._worker()
            self._set_here = True
            self._noted[count, worker] = position.epoch + 1

    def _worker(self) -> tuple[int, int]:
        worker, count = this_worker()
        if count > _MAX_WORKERS:
            raise ValueError(f"num_workers must be at most {_MAX_WORKERS}; got {count}")
        return worker, count
