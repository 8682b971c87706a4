"""Worker processes of a DataLoader make what one process makes, and follow the trainer."""

from itertools import chain, islice, repeat

import pytest
import torch
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from inrgen.loaders.stream import StreamLoader


@pytest.fixture(scope="module")
def loader(path):
    return StreamLoader(path, split="all", batch_size=90)


def rows_of(batches):
    return [batch.rows.tolist() for batch in batches]


@pytest.fixture(scope="module")
def expected(loader):
    loader.set_epoch(0)
    return [batch.rows.tolist() for _ in range(3) for batch in loader]


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_worker_processes_make_the_same_batches(path, expected, context):
    loader = StreamLoader(path, split="all", batch_size=90)
    batches = DataLoader(loader, batch_size=None, num_workers=2, multiprocessing_context=context)
    found = [batch.rows.tolist() for _ in range(2) for batch in batches]
    assert found == expected[: 2 * len(loader)]


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_follow_the_trainer_between_passes(path, expected, persistent):
    loader = StreamLoader(path, split="all", batch_size=90)
    batches = DataLoader(loader, batch_size=None, num_workers=2, persistent_workers=persistent)
    assert rows_of(batches) + rows_of(batches) == expected[:24]
    loader.set_epoch(0)
    taken = list(islice(batches, 5))
    assert [batch.rows.tolist() for batch in taken] == expected[:5]
    loader.load_state_dict(loader.state_after(taken[-1]))
    assert rows_of(batches) + rows_of(batches) == expected[5:24]


def test_a_pass_takes_the_next_epoch_whichever_processes_make_it(path, expected):
    loader = StreamLoader(path, split="all", batch_size=90)
    lasting = DataLoader(loader, batch_size=None, num_workers=1, persistent_workers=True)
    passes = [lasting, loader, DataLoader(loader, batch_size=None, num_workers=2), lasting]
    epochs = [next(iter(batches)).epoch for batches in passes]
    assert epochs == [0, 1, 2, 3]
    loader.set_epoch(0)
    assert rows_of(lasting) == expected[:12]


def test_the_trainer_refuses_a_state_that_only_its_workers_know(path):
    loader = StreamLoader(path, split="all", batch_size=90)
    batch = next(iter(DataLoader(loader, batch_size=None, num_workers=1)))
    with pytest.raises(RuntimeError, match=r"save state_after\(batch\)"):
        loader.state_dict()
    state = loader.state_after(batch)
    loader.load_state_dict(state)
    assert loader.state_dict() == state


def test_a_data_loader_that_would_collate_batches_is_told_what_to_write(path):
    loader = StreamLoader(path, split="all", batch_size=90)
    with pytest.raises(ValueError, match=r"DataLoader\(loader, batch_size=None\)"):
        next(iter(DataLoader(loader, batch_size=64)))


def test_a_batch_pins_all_of_its_tensors(path, monkeypatch):
    # There is no page-locked memory without an accelerator.
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor + 1)
    loader = StreamLoader(path, split="train", views="pairs", batch_size=8)
    batch = next(iter(loader))
    pinned = batch.pin_memory()
    for before, after in ((batch, pinned), (batch.second, pinned.second)):
        assert torch.equal(after.params.flat(), before.params.flat() + 1)
        for name in ("labels", "rows", "stores", "views", "items"):
            assert torch.equal(getattr(after, name), getattr(before, name) + 1)
    assert (pinned.epoch, pinned.done) == (batch.epoch, batch.done)


def test_workers_go_on_from_a_state_and_from_each_others_batches(path, expected):
    loader = StreamLoader(path, split="all", batch_size=90)
    found = []
    for num_workers in (2, 1, 0):
        for batch in DataLoader(loader, batch_size=None, num_workers=num_workers):
            found.append(batch.rows.tolist())
            if num_workers and len(found) % 4 == 0:
                loader.load_state_dict(loader.state_after(batch))
                break
    assert found == expected[: len(loader)]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("num", [0, 5, 12, "whole pass", 13])
def test_stateful_data_loader_goes_on(path, expected, num_workers, num):
    """A pass has 12 batches; it ends when a thirteenth is requested, not after the twelfth."""

    def start():
        loader = StreamLoader(path, split="all", batch_size=90)
        return StatefulDataLoader(loader, batch_size=None, num_workers=num_workers)

    first = start()
    if num == "whole pass":
        found = rows_of(first)
    else:
        passes = chain.from_iterable(repeat(first))
        found = [batch.rows.tolist() for batch in islice(passes, num)]
    second = start()
    second.load_state_dict(first.state_dict())
    while len(found) < 24:
        found += rows_of(second)
    assert found[:24] == expected[:24]


def test_a_finished_state_goes_on_in_workers_that_persist(path, expected):
    def start():
        loader = StreamLoader(path, split="all", batch_size=90)
        return StatefulDataLoader(loader, batch_size=None, num_workers=2, persistent_workers=True)

    first, second = start(), start()
    assert rows_of(first) == expected[:12]
    second.load_state_dict(first.state_dict())
    assert rows_of(second) == expected[12:24]


def test_the_state_of_one_worker_is_refused_elsewhere(path, loader):
    batches = StatefulDataLoader(
        StreamLoader(path, split="all", batch_size=90), batch_size=None, num_workers=2
    )
    next(iter(batches))
    snapshot = batches.state_dict()["_snapshot"]["_worker_snapshots"]["worker_0"]
    with pytest.raises(ValueError, match="state is of one worker process and fits no other"):
        loader.load_state_dict(snapshot["dataset_state"])
