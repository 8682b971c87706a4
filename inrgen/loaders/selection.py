"""What an epoch is made of: units, which are rows or items, in shards, of one or more stores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Int

from inrgen.loaders.keys import Keys
from inrgen.store.layout import Layout


def _group_items(
    keys: Keys, layout: Layout, min_views: int
) -> tuple[Int[np.ndarray, " u"], Int[np.ndarray, " u"]]:
    """Where the rows of each item begin, and how many there are; items of too few are left out."""
    item = keys.rows // layout.views
    starts = np.flatnonzero(np.diff(item, prepend=-1))
    sizes = np.diff(starts, append=len(item))
    enough = sizes >= min_views
    return starts[enough], sizes[enough]


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The units to serve, in the order of their rows.

    keys: the key columns of all stores, one after the other.
    unit_starts, unit_sizes: unit u is the rows unit_starts[u] to + unit_sizes[u] - 1 of keys; (u,).
    shard_starts: the units of shard s are shard_starts[s] to shard_starts[s + 1] - 1; (s + 1,).
    shard_stores, shard_blocks: which block of which store each shard is; (s,).
    """

    keys: Keys
    unit_starts: Int[np.ndarray, " u"]
    unit_sizes: Int[np.ndarray, " u"]
    shard_starts: Int[np.ndarray, " t"]
    shard_stores: Int[np.ndarray, " s"]
    shard_blocks: Int[np.ndarray, " s"]

    @classmethod
    def of(cls, parts: Sequence[Keys], layouts: Sequence[Layout], min_views: int | None) -> Self:
        """The units of the stores whose keys and layouts are given.

        min_views: None makes each row a unit; a number makes each item with that many rows one.
        """
        starts, sizes, stores, blocks, counts = [], [], [], [], []
        before = 0
        for store, (keys, layout) in enumerate(zip(parts, layouts, strict=True)):
            if min_views is None:
                start = np.arange(len(keys.rows))
                size = np.ones(len(start), dtype=np.int64)
            else:
                start, size = _group_items(keys, layout, min_views)
            block, count = np.unique(keys.rows[start] // layout.shard_rows, return_counts=True)
            starts.append(start + before)
            sizes.append(size)
            stores.append(np.full(len(block), store))
            blocks.append(block)
            counts.append(count)
            before += len(keys.rows)
        columns = {
            name: np.concatenate([getattr(keys, name) for keys in parts])
            for name in ("rows", "labels", "views", "items")
        }
        return cls(
            keys=Keys(**columns),
            unit_starts=np.concatenate(starts),
            unit_sizes=np.concatenate(sizes),
            shard_starts=np.concatenate([[0], np.cumsum(np.concatenate(counts))]),
            shard_stores=np.concatenate(stores),
            shard_blocks=np.concatenate(blocks),
        )

    @property
    def num_units(self) -> int:
        return len(self.unit_starts)

    def shard_of(self, units: Int[np.ndarray, " b"]) -> Int[np.ndarray, " b"]:
        """The shard that each unit's rows lie in: an item's views never straddle two."""
        return np.searchsorted(self.shard_starts, units, side="right") - 1

    def unit_labels(self) -> Int[np.ndarray, " u"]:
        return self.keys.labels[self.unit_starts]

    def unit_stores(self) -> Int[np.ndarray, " u"]:
        return np.repeat(self.shard_stores, np.diff(self.shard_starts))
