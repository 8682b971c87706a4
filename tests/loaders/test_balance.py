"""Classes and stores get the shares of an epoch that were set."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inrgen.core import rng
from inrgen.loaders.balance import _smallest, apportion
from inrgen.loaders.stream import StreamLoader


@given(total=st.integers(0, 10**6), shares=st.lists(st.floats(0.01, 100), min_size=1, max_size=9))
def test_parts_add_up_and_are_off_by_less_than_one(total, shares):
    parts = apportion(total, shares)
    assert parts.sum() == total
    exact = np.array(shares) / sum(shares) * total
    assert (np.abs(parts - exact) < 1 + 1e-6).all()


def passes(loader, num):
    for _ in range(num):
        yield list(loader)


def test_every_class_comes_equally_often(path):
    loader = StreamLoader(path, split="all", batch_size=100, balance=True)
    seen = []
    for batches in passes(loader, 3):
        labels = Counter(label for batch in batches for label in batch.labels.tolist())
        assert sum(labels.values()) == loader.num_samples
        assert max(labels.values()) - min(labels.values()) <= 1
        rows = Counter(row for batch in batches for row in batch.rows.tolist())
        # Class 2 is a twentieth: its rows come six or seven times, and others at most once.
        rare = {row: n for row, n in rows.items() if (row // 4) % 20 == 0}
        assert set(rare.values()) <= {6, 7}
        assert all(n == 1 for row, n in rows.items() if row not in rare)
        seen.append(set(rows))
    assert seen[0] != seen[1]
    assert len(set.union(*seen)) > 1.2 * len(seen[0])


class Shift:
    def draw(self, spec, keys):
        return rng.uniform(keys)

    def apply(self, params, draw):
        return params.map(lambda t: t + draw.reshape(-1, *[1] * (t.ndim - 1)))


def test_a_repeated_row_is_changed_in_another_way_each_time(path):
    loader = StreamLoader(path, split="all", balance=True, transforms=Shift())
    flat = torch.cat([batch.params.flat()[:, 1] for batch in loader])
    assert len(flat.unique()) > 0.99 * len(flat)


@pytest.mark.parametrize("world_size", [1, 4])
def test_ranks_share_a_balanced_epoch(path, world_size):
    rows = Counter()
    for rank in range(world_size):
        loader = StreamLoader(
            path, split="all", balance=True, batch_size=50, rank=rank, world_size=world_size
        )
        rows.update(row for batch in loader for row in batch.rows.tolist())
    whole = StreamLoader(path, split="all", balance=True)
    assert rows == Counter(row for batch in whole for row in batch.rows.tolist())


def test_stores_have_the_shares_of_their_weights(path, other):
    loader = StreamLoader([path, other], split="all", weights=[1, 3])
    stores = Counter()
    for batch in loader:
        stores.update(batch.stores.tolist())
    assert sum(stores.values()) == loader.num_samples == 1061 + 299
    assert stores == {0: 340, 1: 1020}


@pytest.mark.parametrize("balance", [False, True])
def test_a_store_without_pairs_can_have_no_weight(path, lone, balance):
    def load(stores, weights):
        return StreamLoader(stores, split="all", views="pairs", balance=balance, weights=weights)

    for stores in ([path, lone], [lone, path]):
        with pytest.raises(ValueError, match=f"weights needs stores with items.*{lone} has none"):
            load(stores, [1, 1])
        # Without weights a store without pairs has an empty share.
        loader = load(stores, None)
        assert sum(len(batch) for batch in loader) == loader.num_samples == 266


def test_balance_and_random_views_of_several_stores(path, other):
    loader = StreamLoader([path, other], split="all", weights=[1, 1], balance=True, views="random")
    found = Counter()
    for batch in loader:
        found.update(zip(batch.stores.tolist(), batch.labels.tolist(), strict=True))
    assert sum(found.values()) == loader.num_samples == 266 + 75
    assert max(found.values()) - min(found.values()) <= 1


@given(values=st.lists(st.integers(-3, 3), min_size=1, max_size=30), data=st.data())
def test_the_smallest_are_those_that_a_stable_sort_puts_first(values, data):
    num = data.draw(st.integers(1, len(values)))
    expected = np.argsort(values, kind="stable")[:num]
    assert sorted(_smallest(np.array(values), num)) == sorted(expected)
