"""Set shares of classes or stores: the number of times each unit comes in an epoch."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, UInt

from inrgen.core import rng
from inrgen.loaders.keys import chunks
from inrgen.loaders.selection import Selection


def apportion(
    total: int, shares: Sequence[float] | Float[np.ndarray, " g"]
) -> Int[np.ndarray, " g"]:
    """Whole numbers in proportion to shares that add up to total (largest remainders first)."""
    exact = np.asarray(shares, dtype=np.float64) / np.sum(shares) * total
    parts = np.floor(exact).astype(np.int64)
    # A stable sort breaks ties by position, so that quotas are the same on every machine.
    largest = np.argsort(parts - exact, kind="stable")
    parts[largest[: total - parts.sum()]] += 1
    return parts


class Quotas:
    """Shares of classes and stores in an epoch, which stays as long as with every unit once.

    A group (a class of a store) of c units with a quota of q samples serves each unit q // c times,
    and q % c randomly chosen units once more. The choice changes with the epoch.

    Args:
        balance: give every class the same share within its store.
        weights: the share of each store; None is in proportion to their sizes.
    """

    def __init__(
        self, selection: Selection, *, balance: bool, weights: Sequence[float] | None
    ) -> None:
        # A group is a class of a store; groups are numbered in this order.
        self._selection, self._balance = selection, balance
        counts = Counter[tuple[int, int]]()
        for units in chunks(selection.num_units):
            found, sizes = np.unique(self._groups_of(units), axis=1, return_counts=True)
            counts.update(dict(zip(map(tuple, found.T.tolist()), sizes.tolist(), strict=True)))
        groups = sorted(counts)
        if groups and min(label for _, label in groups) < 0:
            raise ValueError("balance needs a label of every item; some have none")
        self._sizes = np.array([counts[group] for group in groups], dtype=np.int64)
        stores = np.array([store for store, _ in groups], dtype=np.int64)
        totals = np.zeros(len(selection.keys), dtype=np.int64)
        np.add.at(totals, stores, self._sizes)
        quotas = totals if weights is None else apportion(selection.num_units, weights)
        self._quotas = np.zeros(len(groups), dtype=np.int64)
        for store, quota in enumerate(quotas):
            some = np.flatnonzero(stores == store)
            # A class that a store lacks is no group, so its share goes to the store's other
            # classes.
            self._quotas[some] = apportion(int(quota), np.ones(len(some)))
        self._order = self._group_units(groups)

    def _groups_of(self, units: Int[np.ndarray, " b"]) -> Int[np.ndarray, "2 b"]:
        """The store and, if classes are balanced, the label of each unit."""
        selection = self._selection
        stores = selection.shard_stores[selection.shards_of(units)]
        if not self._balance:
            return np.stack([stores, np.zeros_like(stores)])
        return np.stack([stores, selection.origins(selection.starts_of(units)).labels])

    def _group_units(self, groups: Sequence[tuple[int, int]]) -> UInt[np.ndarray, " u"]:
        """All units, group after group, each group in the order of its rows."""
        span = 1 + max((label for _, label in groups), default=0)
        names = np.array([store * span + label for store, label in groups], dtype=np.int64)
        num = self._selection.num_units
        order = np.empty(num, dtype=np.min_scalar_type(num))
        # A counting sort, since the groups' sizes are known: it needs hardly more than its result.
        next_place = np.cumsum(self._sizes) - self._sizes
        for units in chunks(num):
            stores, labels = self._groups_of(units)
            numbers = np.searchsorted(names, stores * span + labels)
            sizes = np.bincount(numbers, minlength=len(names))
            # Narrow numbers are sorted in a few passes, not by comparison.
            places = np.argsort(numbers.astype(np.min_scalar_type(len(names))), kind="stable")
            shifts = np.repeat(next_place - (np.cumsum(sizes) - sizes), sizes)
            order[np.arange(len(units)) + shifts] = units[places]
            next_place += sizes
        return order

    def repeats(self, seed: int, epoch: int) -> UInt[np.ndarray, " u"]:
        """The number of times each unit comes in an epoch."""
        often, more = np.divmod(self._quotas, self._sizes)
        repeats = np.empty(len(self._order), dtype=np.min_scalar_type(int(often.max()) + 1))
        stop = 0
        for size, times, num in zip(self._sizes, often, more, strict=True):
            start, stop = stop, stop + int(size)
            units = self._order[start:stop]
            repeats[units] = times
            if num:
                # The units with the smallest lots of each group come once more.
                lots = self._draw(units, seed, epoch)
                repeats[units[_smallest(lots, int(num))]] += 1
        return repeats

    def _draw(self, units: UInt[np.ndarray, " g"], seed: int, epoch: int) -> Int[np.ndarray, " g"]:
        """A random number for each of some units."""
        lots = np.empty(len(units), dtype=np.int64)
        for part in chunks(len(lots)):
            # Where a unit is an item, its first row names it.
            chosen = units[part].astype(np.int64)
            named = self._selection.origins(self._selection.starts_of(chosen))
            items, views = torch.from_numpy(named.items), torch.from_numpy(named.views)
            lots[part] = rng.bits(rng.keys(seed, "quota", items, views, epoch), 1)[:, 0].numpy()
        return lots


def _smallest(values: Int[np.ndarray, " n"], num: int) -> Int[np.ndarray, " k"]:
    """Places of the num smallest values; of equal ones the first. It does not sort."""
    limit = np.partition(values, num - 1)[num - 1]
    below, equal = np.flatnonzero(values < limit), np.flatnonzero(values == limit)
    return np.concatenate([below, equal[: num - len(below)]])
