"""Units of a loader: rows, or items where views are drawn at random, grouped into shards."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Bool, Int, UInt

from inrgen.loaders.keys import KeyColumns, RowOrigins, chunks
from inrgen.store.layout import Layout


def _group_items(
    keys: KeyColumns, min_views: int, first_row: int
) -> tuple[UInt[np.ndarray, " u"], UInt[np.ndarray, " u"]]:
    """First row and number of rows of each item; items with fewer than min_views are left out.

    Args:
        first_row: rows of the stores before.
    """
    num, parts = len(keys.rows), []
    # Rows are sorted, and row = item * views + view.
    for index in chunks(num):
        item = keys.rows[max(0, index[0] - 1) : index[-1] + 1] // keys.num_views
        firsts = item[1:] != item[:-1]
        parts.append(index[firsts if index[0] else np.concatenate([[True], firsts])])
        parts[-1] = parts[-1].astype(np.min_scalar_type(first_row + num))
    starts = np.concatenate(parts)
    sizes = np.empty(len(starts), dtype=np.min_scalar_type(keys.num_views))
    for index in chunks(len(starts)):
        sizes[index] = np.diff(starts[index[0] : index[-1] + 2], append=num)[: len(index)]
    enough = sizes >= min_views
    return starts[enough] + starts.dtype.type(first_row), sizes[enough]


def _count_blocks(
    rows: UInt[np.ndarray, " u"], layout: Layout
) -> tuple[Int[np.ndarray, " s"], Int[np.ndarray, " s"]]:
    """The blocks that hold any of some sorted rows, and the number of rows in each."""
    bounds = np.arange(layout.num_blocks + 1) * layout.shard_rows
    # In the type of rows: to compare two types, numpy would copy all rows.
    ends = np.searchsorted(rows, np.minimum(bounds, layout.rows).astype(rows.dtype))
    counts = np.diff(ends)
    blocks = np.flatnonzero(counts)
    return blocks, counts[blocks]


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemUnits:
    """Units that are items: unit u is the rows starts[u] to starts[u] + sizes[u] - 1; (u,)."""

    starts: UInt[np.ndarray, " u"]
    sizes: UInt[np.ndarray, " u"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Units to serve, in the order of their rows, and the shards that hold them.

    A row is counted over all stores, one store after the other.

    Attributes:
        keys: key columns of each store.
        first_rows: (stores + 1,), rows before each store, and all rows.
        units: None where unit u is row u.
        shard_starts: shard s holds units shard_starts[s] to shard_starts[s + 1] - 1; (s + 1,).
        shard_stores, shard_blocks: the store of each shard, and its block there; (s,).
    """

    keys: tuple[KeyColumns, ...]
    first_rows: Int[np.ndarray, " n"]
    units: ItemUnits | None
    shard_starts: Int[np.ndarray, " t"]
    shard_stores: Int[np.ndarray, " s"]
    shard_blocks: Int[np.ndarray, " s"]

    @classmethod
    def from_keys(
        cls, parts: Sequence[KeyColumns], layouts: Sequence[Layout], min_views: int | None
    ) -> Self:
        """Group the rows of several stores into units.

        Args:
            parts, layouts: the key columns and the layout of each store.
            min_views: None makes each row a unit; a number makes each item with at least that
                many rows a unit.
        """
        first_rows = np.cumsum([0, *(len(keys.rows) for keys in parts)])
        starts, sizes, stores, blocks, counts = [], [], [], [], []
        for store, (keys, layout) in enumerate(zip(parts, layouts, strict=True)):
            rows = keys.rows
            if min_views is not None:
                start, size = _group_items(keys, min_views, int(first_rows[store]))
                starts.append(start)
                sizes.append(size)
                rows = rows[start - start.dtype.type(first_rows[store])]
            block, count = _count_blocks(rows, layout)
            stores.append(np.full(len(block), store))
            blocks.append(block)
            counts.append(count)
        units = None
        if min_views is not None:
            units = ItemUnits(starts=np.concatenate(starts), sizes=np.concatenate(sizes))
        return cls(
            keys=tuple(parts),
            first_rows=first_rows,
            units=units,
            shard_starts=np.concatenate([[0], np.cumsum(np.concatenate(counts))]),
            shard_stores=np.concatenate(stores),
            shard_blocks=np.concatenate(blocks),
        )

    @property
    def num_units(self) -> int:
        """Number of units, which is the number of samples in an epoch."""
        return int(self.first_rows[-1]) if self.units is None else len(self.units.starts)

    @property
    def max_label(self) -> int:
        """Largest label; -1 where no row has one."""
        return max(int(keys.labels.max()) for keys in self.keys)

    def wanted_chunks(self, store: int, layout: Layout) -> Bool[np.ndarray, "b c"]:
        """Mark, for each block of a store, the chunks that hold a selected row."""
        rows = self.keys[store].rows
        found = np.zeros((layout.num_blocks, layout.shard_rows // layout.chunk_rows), dtype=bool)
        for index in chunks(len(rows)):
            block, within = np.divmod(rows[index].astype(np.int64), layout.shard_rows)
            found[block, within // layout.chunk_rows] = True
        return found

    def starts_of(self, units: Int[np.ndarray, " b"]) -> Int[np.ndarray, " b"]:
        """The first row of each unit."""
        return units if self.units is None else self.units.starts[units].astype(np.int64)

    def sizes_of(self, units: Int[np.ndarray, " b"]) -> Int[np.ndarray, " b"]:
        """The number of rows of each unit."""
        if self.units is None:
            return np.ones_like(units)
        return self.units.sizes[units].astype(np.int64)

    def shards_of(self, units: Int[np.ndarray, " b"]) -> Int[np.ndarray, " b"]:
        """The shard of each unit; an item's views never straddle two shards."""
        return np.searchsorted(self.shard_starts, units, side="right") - 1

    def origins(self, index: Int[np.ndarray, " b"]) -> RowOrigins:
        """The origins of some rows, by their number over all stores."""
        if len(self.keys) == 1:
            return self.keys[0].origins(index)
        stores = np.searchsorted(self.first_rows, index, side="right") - 1
        names = RowOrigins.__dataclass_fields__
        columns = {name: np.empty(len(index), dtype=np.int64) for name in names}
        for store in np.unique(stores).tolist():
            places = np.flatnonzero(stores == store)
            found = self.keys[store].origins(index[places] - self.first_rows[store])
            for name, column in columns.items():
                column[places] = getattr(found, name)
        return RowOrigins(**columns)
