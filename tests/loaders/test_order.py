"""The order of an epoch is a permutation, for any readers and any point of resumption."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrgen.loaders.order import NUM_STREAMS, EpochOrder, Share

COUNTS = st.lists(st.integers(0, 9), min_size=1, max_size=20).filter(any)
POOLS = st.integers(1, 4)


def tape(counts, pool_shards=2, seed=0, epoch=0):
    """The shard and the sample within it, for every sample of an epoch in order."""
    order = EpochOrder(counts=np.array(counts), seed=seed, epoch=epoch, pool_shards=pool_shards)
    found = {}
    for stream in range(min(NUM_STREAMS, order.num_samples)):
        pool = order.pool_at(stream, 0)
        while pool is not None:
            inside = [
                (shard, place)
                for shard, first, last in zip(pool.shards, pool.firsts, pool.lasts, strict=True)
                for place in range(first, last)
            ]
            for place, which in enumerate(order.pool_order(pool)):
                found[(pool.start + place) * NUM_STREAMS + stream] = inside[which]
            pool = order.pool_after(pool)
    return [found[at] for at in range(len(found))]


@settings(deadline=None, max_examples=25)
@given(counts=COUNTS, pool_shards=POOLS, epoch=st.integers(0, 3))
def test_every_sample_of_every_shard_comes_once(counts, pool_shards, epoch):
    expected = [(shard, place) for shard, count in enumerate(counts) for place in range(count)]
    assert sorted(tape(counts, pool_shards, epoch=epoch)) == expected


@settings(deadline=None, max_examples=25)
@given(counts=COUNTS, pool_shards=POOLS)
def test_streams_are_of_one_length_and_take_whole_shards_but_at_their_ends(counts, pool_shards):
    order = EpochOrder(counts=np.array(counts), seed=1, epoch=0, pool_shards=pool_shards)
    shared, lengths = [], []
    for stream in range(min(NUM_STREAMS, order.num_samples)):
        pool, pools = order.pool_at(stream, 0), []
        while pool is not None:
            pools.append(pool)
            pool = order.pool_after(pool)
        assert all(len(pool.shards) == pool_shards for pool in pools[:-1])
        parts = [
            (shard, last - first)
            for pool in pools
            for shard, first, last in zip(pool.shards, pool.firsts, pool.lasts, strict=True)
        ]
        assert all(size == counts[shard] for shard, size in parts[1:-1])
        lengths.append(sum(size for _, size in parts))
        shared += [shard for shard, size in parts if size < counts[shard]]
    assert max(lengths) - min(lengths) <= 1
    assert len(set(shared)) < NUM_STREAMS


@settings(deadline=None, max_examples=25)
@given(counts=COUNTS, position=st.integers(0, 100))
def test_a_pool_is_the_same_from_wherever_it_is_entered(counts, position):
    order = EpochOrder(counts=np.array(counts), seed=1, epoch=0, pool_shards=2)
    stream = position % min(NUM_STREAMS, order.num_samples)
    length = len(range(stream, order.num_samples, NUM_STREAMS))
    pool = order.pool_at(stream, position % length)
    assert pool.start <= position % length < pool.stop
    assert {order.pool_at(stream, at) for at in range(pool.start, pool.stop)} == {pool}


def test_each_epoch_and_seed_has_another_order():
    counts = [5] * 40
    orders = [
        tape(counts),
        tape(counts, epoch=1),
        tape(counts, seed=1),
        tape(counts, pool_shards=3),
    ]
    assert len({tuple(order) for order in orders}) == len(orders)
    assert tape(counts) == orders[0]


def test_a_pool_mixes_its_shards():
    """With two shards of 1,000 in a pool, no run of 100 samples is nearly all from one shard."""
    shards = np.array([shard for shard, _ in tape([1000] * 16)])
    for stream in range(NUM_STREAMS):
        mine = shards[stream::NUM_STREAMS]
        share = [np.mean(mine[at : at + 100] == mine[0]) for at in range(0, 2000, 100)]
        assert 0.25 < min(share) <= max(share) < 0.75


def share(total, world_size, rank, batch_size, start=0, drop_last=False):
    return Share(
        start=start,
        total=total,
        rank=rank,
        world_size=world_size,
        batch_size=batch_size,
        drop_last=drop_last,
    )


WORLDS = st.sampled_from([1, 2, 3, 4, 8, 16])
BATCHES = st.integers(1, 40)


@settings(deadline=None, max_examples=50)
@given(
    total=st.integers(1, 500),
    stages=st.lists(st.tuples(WORLDS, BATCHES, st.integers(0, 6)), max_size=4),
    world_size=WORLDS,
    batch_size=BATCHES,
)
def test_any_chain_of_ranks_takes_every_sample_once(total, stages, world_size, batch_size):
    """In each stage some ranks do some batches; the next stage resumes from their state."""
    start, taken = 0, []
    for world, size, num in [*stages, (world_size, batch_size, None)]:
        ends = set()
        for rank in range(world):
            mine = share(total, world, rank, size, start)
            num_done = mine.num_batches if num is None else min(num, mine.num_batches)
            batches = [mine.batch(k) for k in range(num_done)]
            assert all(0 < len(batch) <= size for batch in batches)
            taken += [sample for batch in batches for sample in batch.tolist()]
            ends.add(mine.done_after(10**6 if num is None else num))
        assert len(ends) == 1
        start = ends.pop()
    assert sorted(taken) == list(range(total))


@settings(deadline=None, max_examples=50)
@given(total=st.integers(1, 500), start=st.integers(0, 500), world_size=WORLDS, size=BATCHES)
def test_ranks_differ_by_one_sample_at_most_and_agree_on_the_end(total, start, world_size, size):
    start = min(start, total)
    shares = [share(total, world_size, rank, size, start) for rank in range(world_size)]
    lengths = [sum(len(s.batch(k)) for k in range(s.num_batches)) for s in shares]
    assert max(lengths) - min(lengths) <= 1
    longest = max(s.num_batches for s in shares)
    for s in shares:
        assert s.finished_after(longest)
        assert longest == 0 or not s.finished_after(longest - 1)


@settings(deadline=None, max_examples=50)
@given(total=st.integers(1, 500), start=st.integers(0, 500), world_size=WORLDS, size=BATCHES)
def test_dropping_the_last_gives_all_ranks_the_same_full_batches(total, start, world_size, size):
    start = min(start, total)
    shares = [
        share(total, world_size, rank, size, start, drop_last=True) for rank in range(world_size)
    ]
    assert len({s.num_batches for s in shares}) == 1
    num = shares[0].num_batches
    assert all(len(s.batch(k)) == size for s in shares for k in range(num))
    assert num * size * world_size <= total - start < (num + 1) * size * world_size
    assert all(s.finished_after(num) for s in shares)


@pytest.mark.parametrize("world_size", [1, 2, 4, 8])
def test_ranks_that_divide_eight_share_no_stream(world_size):
    """Wherever they begin, so that a rank that resumes needs the shards that it had."""
    for start in (0, 323):
        for rank in range(world_size):
            mine = share(1000, world_size, rank, 7, start=start)
            samples = np.concatenate([mine.batch(k) for k in range(mine.num_batches)])
            own = set(range(rank, NUM_STREAMS, world_size))
            assert set(samples % NUM_STREAMS) == own
