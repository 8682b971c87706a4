"""State of a loader: its position, the next pass in each worker process, and the saved form."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import get_worker_info

from inrgen.loaders.order import Share

_FORMAT = 1
_MAX_WORKERS = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """A position in the passes over the data.

    Attributes:
        start: sample of the epoch at which the counting of batches began.
        batches: batches of each rank that are done, counted from there.
    """

    epoch: int
    start: int = 0
    batches: int = 0


def this_worker() -> tuple[int, int]:
    """Number of this torch DataLoader worker and of all; (0, 1) outside a worker process."""
    info = get_worker_info()
    return (0, 1) if info is None else (info.id, info.num_workers)


class NextPass:
    """The position at which the next pass begins: each takes the epoch after the one before.

    A DataLoader copies its data set into new worker processes for every pass, so a worker's own
    memory is lost. Each worker therefore writes its next epoch to memory shared with the process
    that made the loader. Each has a slot to itself: in a shared slot a slow worker could read the
    value of a fast one that has already finished.
    """

    def __init__(self) -> None:
        self._next = Position(epoch=0)
        self._set_here = False
        self._epochs = torch.full((_MAX_WORKERS + 1, _MAX_WORKERS), -1, dtype=torch.int64)
        # A pickled or forked copy of this loader still refers to the same memory.
        self._epochs.share_memory_()

    def peek(self) -> Position:
        """The position at which the next pass will begin."""
        if get_worker_info() is not None and not self._set_here:
            worker, count = self._worker()
            epoch = int(self._epochs[count, worker])
            if epoch >= 0:
                return Position(epoch=epoch)
        return self._next

    def begin(self) -> Position:
        """Begin a pass, and return its position."""
        position = self.peek()
        self._next = Position(epoch=position.epoch + 1)
        if get_worker_info() is not None:
            worker, count = self._worker()
            self._set_here = False
            self._epochs[count, worker] = position.epoch + 1
        return position

    def set(self, position: Position) -> None:
        """Begin the next pass at this position."""
        self._next = position
        if get_worker_info() is None:
            # A position set here overrides the notes of workers from earlier passes.
            self._epochs.fill_(-1)
        else:
            # The pass after this one may run in another process. It takes the next epoch, whether
            # or not this process begins its own pass.
            worker, count = self._worker()
            self._set_here = True
            self._epochs[count, worker] = position.epoch + 1

    def _worker(self) -> tuple[int, int]:
        worker, count = this_worker()
        if count > _MAX_WORKERS:
            raise ValueError(f"num_workers must be at most {_MAX_WORKERS}; got {count}")
        return worker, count


def make_state(identity: dict[str, Any], share: Share, position: Position) -> dict[str, Any]:
    """The state of a loader as plain JSON values.

    A worker process adds its own progress. Such a state resumes only in the same worker of the
    same number of workers, as torchdata's StatefulDataLoader does.

    Args:
        share: this rank's share of the epoch from the position on.
    """
    state = {"format": _FORMAT, **identity}
    if get_worker_info() is not None:
        worker, count = this_worker()
        done = share.done_after(position.batches)
        own = {
            "worker": worker,
            "num_workers": count,
            "start": position.start,
            "batches": position.batches,
            "batch_size": share.batch_size,
            "world_size": share.world_size,
        }
        return {**state, "epoch": position.epoch, "sample_in_epoch": done, "worker": own}
    # This does not depend on the rank, because states of all ranks must be equal.
    if share.finished_after(position.batches):
        return {**state, "epoch": position.epoch + 1, "sample_in_epoch": 0}
    done = share.done_after(position.batches)
    return {**state, "epoch": position.epoch, "sample_in_epoch": done}


def check_state(state: dict[str, Any], identity: dict[str, Any], share: Share) -> Position:
    """The position in a saved state, for a loader of this identity.

    Raises ValueError for an incomplete state, and for one of another selection, seed or worker.
    """
    expected = {"format": _FORMAT, **identity}
    missing = sorted({*expected, "epoch", "sample_in_epoch"} - set(state))
    if missing:
        raise ValueError(
            f"state needs {missing}; only a StreamLoader's state will do; got {sorted(state)}"
        )
    differing = [
        f"{name} (state {state[name]!r}, here {value!r})"
        for name, value in expected.items()
        if state[name] != value
    ]
    if differing:
        raise ValueError(f"state is of another loader, which differs in {', '.join(differing)}")
    epoch, sample = state["epoch"], state["sample_in_epoch"]
    if epoch < 0 or not 0 <= sample <= share.total:
        raise ValueError(
            f"state needs an epoch from 0 and a sample_in_epoch in 0..{share.total}; "
            f"got {epoch}, {sample}"
        )
    # A state without worker counts samples, so it fits any number of ranks and workers.
    if "worker" not in state:
        return Position(epoch=epoch, start=sample)
    own, (worker, count) = state["worker"], this_worker()
    here = {
        "worker": worker,
        "num_workers": count if get_worker_info() is not None else 0,
        "batch_size": share.batch_size,
        "world_size": share.world_size,
    }
    if any(own[name] != value for name, value in here.items()):
        raise ValueError(
            f"state is of one worker process and fits no other: saved by {own}, loaded by {here}; "
            f"state_after(batch) gives a state that any number of workers and ranks can load"
        )
    return Position(epoch=epoch, start=own["start"], batches=own["batches"])
