"""A pass resumes from a saved state exactly, with any number of ranks and workers."""

import json
import pickle
import signal
import subprocess
import sys
from functools import lru_cache
from itertools import islice

import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrgen.loaders.stream import StreamLoader

WORLDS = st.sampled_from([1, 2, 3, 4, 8])


def rows_of(batches):
    return [row for batch in batches for row in batch.rows.tolist()]


@pytest.fixture(scope="module")
def loader(path):
    """A loader for tests that set its position before they use it."""
    return StreamLoader(path, split="all", batch_size=90)


@pytest.mark.parametrize("num", [0, 1, 6, 11, 12])
def test_every_state_goes_on_with_the_next_batch(path, loader, num):
    loader.set_epoch(2)
    expected = [batch.rows.tolist() for _ in range(2) for batch in loader]
    loader.set_epoch(2)
    batches, found = iter(loader), []
    for _ in range(min(num, len(loader))):
        found.append(next(batches).rows.tolist())
    if num > len(loader):
        assert next(batches, None) is None
    state = json.loads(json.dumps(loader.state_dict()))
    other = StreamLoader(path, split="all", batch_size=90)
    other.load_state_dict(state)
    assert other.state_dict() == state
    while len(found) < len(expected):
        found += [batch.rows.tolist() for batch in other]
    assert found == expected


@pytest.fixture(scope="module")
def ranks(path):
    """Loaders of all ranks, by number of ranks; opened once, as each test sets their positions."""

    @lru_cache
    def open_ranks(world_size):
        size = {1: 70, 2: 64, 3: 25, 4: 31, 8: 11}[world_size]
        return [
            StreamLoader(path, split="all", batch_size=size, rank=rank, world_size=world_size)
            for rank in range(world_size)
        ]

    return open_ranks


@settings(deadline=None, max_examples=10)
@given(stages=st.lists(st.tuples(WORLDS, st.integers(0, 3)), max_size=3))
def test_other_rank_counts_go_on_without_losing_or_repeating(sample, ranks, stages):
    state, rows = None, []
    for world_size, num in [*stages, (2, None)]:
        states = []
        for loader in ranks(world_size):
            if state is None:
                loader.set_epoch(0)
            else:
                loader.load_state_dict(state)
            rows += rows_of(islice(loader, num))
            states.append(loader.state_dict())
        assert all(found == states[0] for found in states)
        state = states[0]
    assert sorted(rows) == sample.served
    assert (state["epoch"], state["sample_in_epoch"]) == (1, 0)


def test_the_state_of_a_batch_does_not_depend_on_what_was_read_since(loader):
    loader.set_epoch(0)
    batches = list(loader)
    for at, batch in enumerate(batches[:-1]):
        loader.load_state_dict(loader.state_after(batch))
        assert next(iter(loader)).rows.equal(batches[at + 1].rows)
    assert loader.state_after(batches[-1])["epoch"] == 1


def test_a_short_last_batch_that_is_dropped_is_left_out_of_the_state_too(path):
    loader = StreamLoader(path, split="all", batch_size=100, drop_last=True)
    batches = list(zip(range(10), loader, strict=False))
    assert len(batches) == len(loader) == 10
    loader.load_state_dict(loader.state_after(batches[-1][1]))
    assert next(iter(loader)).epoch == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": 1}, r"differs in seed \(state 0, here 1\)"),
        ({"views": "random"}, r"num_samples \(state 1061, here 266\).* views \(state 'all'"),
        ({"filter": ds.field("row") < 600}, "differs in rows"),
        ({"split": "train"}, "differs in rows"),
        ({"pool_shards": 3}, r"pool_shards \(state 2, here 3\)"),
        ({"balance": True}, "balance"),
    ],
)
def test_a_state_of_another_loader_is_refused(path, loader, arguments, message):
    with pytest.raises(ValueError, match=message):
        StreamLoader(path, **{"split": "all", **arguments}).load_state_dict(loader.state_dict())


def test_a_state_of_another_store_is_refused(other, loader):
    with pytest.raises(ValueError, match="rows"):
        StreamLoader(other, split="all").load_state_dict(loader.state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_in_epoch": 10**6}, "sample_in_epoch in 0..1061"),
        ({"epoch": -1}, "an epoch from 0"),
        ({"format": 0}, "format"),
    ],
)
def test_a_damaged_state_is_refused(loader, change, message):
    with pytest.raises(ValueError, match=message):
        loader.load_state_dict({**loader.state_dict(), **change})
    with pytest.raises(ValueError, match=r"state needs \['balance'"):
        loader.load_state_dict({"epoch": 1})


TRAIN = """
import pathlib, pickle, sys, time
from inrgen import StreamLoader

store, saved, log = sys.argv[1:]
loader = StreamLoader(store, split="all", batch_size=40)
if pathlib.Path(saved).exists():
    loader.load_state_dict(pickle.loads(pathlib.Path(saved).read_bytes()))
for batch in loader:
    with open(log, "a") as file:
        file.write(" ".join(map(str, batch.rows.tolist())) + "\\n")
    new = pathlib.Path(saved + ".new")
    new.write_bytes(pickle.dumps(loader.state_dict()))
    new.rename(saved)
    print(batch.done, flush=True)
    time.sleep(0.01)
"""


def test_a_killed_trainer_goes_on_in_a_new_process(sample, path, tmp_path):
    saved, log = tmp_path / "state", tmp_path / "log"
    command = [sys.executable, "-c", TRAIN, str(path), str(saved), str(log)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    for _ in range(9):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = pickle.loads(saved.read_bytes())["sample_in_epoch"]
    assert 9 * 40 <= done < 1061
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    lines = log.read_text().splitlines()
    # A kill between logging a batch and saving the state repeats that batch alone.
    extra = len(lines) - -(-1061 // 40)
    assert extra in (0, 1)
    kept = lines[: done // 40] + lines[done // 40 + extra :]
    assert sorted(int(row) for line in kept for row in line.split()) == sample.served
