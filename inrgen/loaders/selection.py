"""Rows that a loader may serve: key columns read from records, grouped into units and shards.

A unit is a row, or an item where views are drawn at random. These columns are all that a loader
keeps in memory of a store's records.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from jaxtyping import Int

from inrgen.core.rng import hash_items
from inrgen.store.layout import Layout
from inrgen.store.reader import Store
from inrgen.store.records import encode_texts, is_one_of, is_usable

_COLUMNS = ["row", "label", "view", "item_id", "spec_id", "split", "status"]


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyColumns:
    """Key columns of the rows of one spec that may be served, sorted by row; each is (r,).

    items: hash_items of the item ids.
    """

    rows: Int[np.ndarray, " r"]
    labels: Int[np.ndarray, " r"]
    views: Int[np.ndarray, " r"]
    items: Int[np.ndarray, " r"]

    def digest(self) -> str:
        """A fingerprint of the rows and their items."""
        state = hashlib.blake2b(digest_size=16)
        for column in (self.rows, self.items):
            state.update(column.tobytes())
        return state.hexdigest()


def read_key_columns(
    store: Store,
    spec_id: str,
    *,
    split: str | None,
    views: Sequence[int] | None,
    filter: Any,
) -> KeyColumns:
    """Read the key columns of the rows that hold weights and match the conditions.

    Args:
        split: one split; None takes all.
        views: view numbers; None takes all.
        filter: a pyarrow.dataset expression over any columns of the records.

    Raises ValueError where no row is left, and DamagedStore where records are damaged.
    """
    columns: list[tuple[np.ndarray, ...]] = []
    splits: set[str] = set()
    for batch in store.records.to_batches(columns=_COLUMNS, filter=filter):
        if not batch.num_rows:
            continue
        splits.update(encode_texts(batch.column("split"))[0])
        keep = is_usable(batch.column("status"))
        keep &= is_one_of(batch.column("spec_id"), [spec_id])
        if split is not None:
            keep &= is_one_of(batch.column("split"), [split])
        view = batch.column("view").to_numpy()
        if views is not None:
            keep &= np.isin(view, np.asarray(views))
        # Each item id is hashed once, not once a view.
        item_ids, codes = encode_texts(batch.column("item_id"))
        items = hash_items(item_ids).numpy()[codes]
        row, label = batch.column("row").to_numpy(), batch.column("label").to_numpy()
        columns.append((row[keep], label[keep], view[keep], items[keep]))
    joined = [np.concatenate(parts) for parts in zip(*columns, strict=True)]
    if not joined or not len(joined[0]):
        raise ValueError(
            f"no row of {store.path} is left to serve: split={split!r}, "
            f"views={'all' if views is None else list(views)}, filter={filter}; "
            f"the store has the splits {sorted(splits)}"
        )
    # Fragments arrive in no fixed order, and the order of an epoch depends on positions here.
    order = np.argsort(joined[0], kind="stable")
    row, label, view, items = (column[order] for column in joined)
    return KeyColumns(rows=row, labels=label, views=view, items=items)


def _group_items(
    keys: KeyColumns, layout: Layout, min_views: int
) -> tuple[Int[np.ndarray, " u"], Int[np.ndarray, " u"]]:
    """First row and number of rows of each item; items with fewer than min_views are left out."""
    # Rows are sorted, and row = item * views + view.
    item = keys.rows // layout.views
    starts = np.flatnonzero(np.diff(item, prepend=-1))
    sizes = np.diff(starts, append=len(item))
    enough = sizes >= min_views
    return starts[enough], sizes[enough]


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Units to serve, in the order of their rows, and the shards that hold them.

    Attributes:
        keys: the key columns of all stores, one store after the other.
        unit_starts, unit_sizes: unit u is rows unit_starts[u] to unit_starts[u] + unit_sizes[u] - 1
            of keys; (u,).
        shard_starts: shard s holds units shard_starts[s] to shard_starts[s + 1] - 1; (s + 1,).
        shard_stores, shard_blocks: the store of each shard, and its block there; (s,).
    """

    keys: KeyColumns
    unit_starts: Int[np.ndarray, " u"]
    unit_sizes: Int[np.ndarray, " u"]
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
            keys=KeyColumns(**columns),
            unit_starts=np.concatenate(starts),
            unit_sizes=np.concatenate(sizes),
            shard_starts=np.concatenate([[0], np.cumsum(np.concatenate(counts))]),
            shard_stores=np.concatenate(stores),
            shard_blocks=np.concatenate(blocks),
        )

    @property
    def num_units(self) -> int:
        """Number of units, which is the number of samples in an epoch."""
        return len(self.unit_starts)

    def shards_of(self, units: Int[np.ndarray, " b"]) -> Int[np.ndarray, " b"]:
        """The shard of each unit; an item's views never straddle two shards."""
        return np.searchsorted(self.shard_starts, units, side="right") - 1

    def unit_labels(self) -> Int[np.ndarray, " u"]:
        """The label of each unit."""
        return self.keys.labels[self.unit_starts]

    def unit_stores(self) -> Int[np.ndarray, " u"]:
        """The store of each unit."""
        return np.repeat(self.shard_stores, np.diff(self.shard_starts))
