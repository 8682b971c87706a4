"""State of a loader: its position, the next pass in each worker process, and the saved form."""

import os
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

    A DataLoader copies its data set into worker processes, which come and go or persist, so
    positions are told through shared memory. The trainer counts its orders (set_epoch,
    load_state_dict, a pass without workers). A worker notes its next epoch under the order that it
    follows, in a slot to itself: in a shared slot a slow worker could read the value of a fast one
    that has already finished. Notes under an older order are void.
    """

    def __init__(self) -> None:
        self._order, self._next = 0, Position(epoch=0)
        self._set_here = False
        self._opened_in = -1
        # A pickled or forked copy of this loader still refers to the same memory.
        self._trainer = torch.zeros(3, dtype=torch.int64).share_memory_()  # order, epoch, start
        self._notes = torch.full((_MAX_WORKERS + 1, _MAX_WORKERS, 2), -1, dtype=torch.int64)
        self._notes.share_memory_()

    @property
    def in_workers(self) -> bool:
        """Tell whether worker processes have begun a pass since the trainer's last order."""
        return bool((self._notes[..., 0] == self._order).any())

    def peek(self) -> Position:
        """The position at which the next pass will begin."""
        if self._set_here:
            return self._next
        notes = self._notes
        if get_worker_info() is not None:
            # Of its own DataLoader a worker reads its own slot alone; others may be a pass ahead.
            worker, count = self._worker()
            others = notes[torch.arange(_MAX_WORKERS + 1) != count].flatten(0, 1)
            notes = torch.cat([others, notes[count, worker][None]])
        epochs = notes[..., 1][notes[..., 0] == self._order]
        return Position(epoch=int(epochs.max())) if len(epochs) else self._next

    def open(self) -> None:
        """Follow the trainer's last order, where this worker has opened an iterator before.

        The first iterator of a process follows the copy that it was started with, because the
        trainer may already be further on. Later ones are opened while the trainer waits.
        """
        if get_worker_info() is None:
            return
        if self._opened_in == os.getpid():
            order, epoch, start = self._trainer.tolist()
            if order != self._order:
                self._order, self._next = order, Position(epoch=epoch, start=start)
        self._opened_in = os.getpid()

    def begin(self) -> Position:
        """Begin a pass, and return its position."""
        position = self.peek()
        following = Position(epoch=position.epoch + 1)
        if get_worker_info() is None:
            self.set(following)
        else:
            self._set_here = False
            self._note(following.epoch)
        return position

    def set(self, position: Position) -> None:
        """Begin the next pass at this position."""
        self._next = position
        if get_worker_info() is None:
            self._order += 1
            self._trainer[:] = torch.tensor([self._order, position.epoch, position.start])
        else:
            # The pass after this one may run in another process. It takes the next epoch, whether
            # or not this process begins its own pass.
            self._set_here = True
            self._note(position.epoch + 1)

    def _note(self, epoch: int) -> None:
        worker, count = self._worker()
        self._notes[count, worker] = torch.tensor([self._order, epoch])

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
