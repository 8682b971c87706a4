"""A loader's place as plain JSON values, and the checks that a state meets when it is loaded."""

from typing import Any

from torch.utils.data import get_worker_info

from inrgen.loaders.order import Share
from inrgen.loaders.position import Position, this_worker

_FORMAT = 1


def make_state(facts: dict[str, Any], share: Share, position: Position) -> dict[str, Any]:
    """The state of a loader whose share of the epoch, from position on, is the one given.

    In a worker process it also says how far that worker got: it can go on in the same worker of as
    many, which is how torchdata's StatefulDataLoader resumes.
    """
    state = {"format": _FORMAT, **facts}
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
    if share.finished_after(position.batches):
        return {**state, "epoch": position.epoch + 1, "sample_in_epoch": 0}
    done = share.done_after(position.batches)
    return {**state, "epoch": position.epoch, "sample_in_epoch": done}


def check_state(state: dict[str, Any], facts: dict[str, Any], share: Share) -> Position:
    """The position that a state says, for a loader with these facts.

    Raises ValueError where the state is not whole or belongs to another selection, seed or worker.
    """
    expected = {"format": _FORMAT, **facts}
    missing = sorted({*expected, "epoch", "sample_in_epoch"} - set(state))
    if missing:
        raise ValueError(f"state needs {missing}; is it of a StreamLoader? got {sorted(state)}")
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
            f"state is of one worker process and fits no other: it is of {own}, here is {here}; "
            f"state_after(batch) gives a state that any number of workers and ranks can load"
        )
    return Position(epoch=epoch, start=own["start"], batches=own["batches"])
