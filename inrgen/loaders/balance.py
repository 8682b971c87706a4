"""Set shares of classes or stores: the number of times each unit comes in an epoch."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int

from inrgen.core import rng
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
        stores = selection.unit_stores()
        sizes = np.bincount(stores)
        quotas = sizes if weights is None else apportion(selection.num_units, weights)
        labels = selection.unit_labels() if balance else np.zeros(len(stores), dtype=np.int64)
        if len(labels) and labels.min() < 0:
            raise ValueError("balance needs a label of every item; some have none")
        # One number for each class of each store.
        pairs = stores * (labels.max() + 1) + labels
        _, first, self._group, self._sizes = np.unique(
            pairs, return_index=True, return_inverse=True, return_counts=True
        )
        group_stores = stores[first]
        self._quotas = np.zeros(len(first), dtype=np.int64)
        for store, quota in enumerate(quotas):
            groups = np.flatnonzero(group_stores == store)
            # A class that a store lacks is no group, so its share goes to the store's other
            # classes.
            self._quotas[groups] = apportion(int(quota), np.ones(len(groups)))
        rows = selection.keys
        self._items = torch.from_numpy(rows.items[selection.unit_starts])
        # Where a unit is an item, its first row names it.
        self._views = torch.from_numpy(rows.views[selection.unit_starts].astype(np.int64))

    def repeats(self, seed: int, epoch: int) -> Int[np.ndarray, " u"]:
        """The number of times each unit comes in an epoch."""
        keys = rng.keys(seed, "quota", self._items, self._views, epoch)
        # The units with the smallest lots of each group come once more.
        lots = rng.bits(keys, 1)[:, 0].numpy()
        often, more = np.divmod(self._quotas, self._sizes)
        order = np.lexsort((lots, self._group))
        firsts = np.cumsum(self._sizes) - self._sizes
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order)) - np.repeat(firsts, self._sizes)
        return often[self._group] + (place < more[self._group])
