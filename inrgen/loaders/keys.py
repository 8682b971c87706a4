"""Key columns of one store: all that a loader keeps in memory of the records.

A row's item and view follow from its number (row = item * views + view). So the columns are a
number a row, and a hash and a label an item: 5 bytes a row with ten views, 16 with one.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int, UInt

from inrgen.core.rng import hash_items
from inrgen.store.errors import DamagedStore
from inrgen.store.layout import RECORDS, Layout
from inrgen.store.queries import select_usable
from inrgen.store.reader import Store
from inrgen.store.records import encode_texts

_COLUMNS = ["row", "label", "view", "item_id"]
# Rows converted to wider numbers at once.
_CHUNK = 2**18


@dataclass(frozen=True, kw_only=True, slots=True)
class RowOrigins:
    """Origins of some rows; each is (b,).

    items: hash_items of the item ids.
    """

    rows: Int[np.ndarray, " b"]
    labels: Int[np.ndarray, " b"]
    views: Int[np.ndarray, " b"]
    items: Int[np.ndarray, " b"]


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyColumns:
    """Rows of one spec that may be served, sorted, with the origins of each.

    Attributes:
        rows: (r,) in the narrowest type that holds them.
        num_views: views of each item.
        items: (i,) hash of the id of each item of the store; 0 for items without a served row.
        labels: (i,) label of each item; or of each row of the store, where views of an item differ.
    """

    rows: UInt[np.ndarray, " r"]
    num_views: int
    items: Int[np.ndarray, " i"]
    labels: Int[np.ndarray, " k"]

    def origins(self, index: Int[np.ndarray, " b"]) -> RowOrigins:
        """Return the origins of the rows at some positions."""
        rows = self.rows[index].astype(np.int64)
        item, view = np.divmod(rows, self.num_views)
        per_item = len(self.labels) == len(self.items)
        return RowOrigins(
            rows=rows,
            labels=self.labels[item if per_item else rows].astype(np.int64),
            views=view,
            items=self.items[item],
        )

    def digest(self) -> str:
        """Return a fingerprint of the rows and their items."""
        state = hashlib.blake2b(digest_size=16)
        for name in ("rows", "items"):
            for index in chunks(len(self.rows)):
                state.update(getattr(self.origins(index), name).tobytes())
        return state.hexdigest()


def chunks(num: int) -> Iterator[Int[np.ndarray, " _b"]]:
    """Yield the numbers below num, some at a time."""
    for start in range(0, num, _CHUNK):
        yield np.arange(start, min(start + _CHUNK, num))


class _KeyTable:
    """Key columns under construction, filled table by table."""

    def __init__(self, store: Store, layout: Layout) -> None:
        self._store, self._views = store, layout.views
        # pages that are never filled take no memory
        self._rows = np.empty(layout.rows, dtype=np.min_scalar_type(layout.rows))
        self._items = np.zeros(layout.rows // layout.views, dtype=np.int64)
        self._labels = np.full(len(self._items), -1, dtype=np.int32)
        self._num = 0

    def add(self, table: Any) -> None:
        """Add a table of rows that follow all others.

        Raises DamagedStore if their item or view is not that of their number.
        """
        row, label = (table[name].to_numpy() for name in ("row", "label"))
        item, view = np.divmod(row, self._views)
        item_ids, codes = encode_texts(table["item_id"])
        new = np.concatenate([[True], item[1:] != item[:-1]])
        firsts = np.flatnonzero(new)
        # for each row, the first of its item
        first = firsts[np.cumsum(new) - 1]
        if (view != table["view"].to_numpy()).any() or (codes != codes[first]).any():
            raise DamagedStore(
                f"{self._store.path} is damaged: some of rows {row[0]}..{row[-1]} have records of "
                "another item or view; `inrgen verify` says which",
                key=RECORDS,
            )
        self._rows[self._num : self._num + len(row)] = row
        self._num += len(row)
        # each item id is hashed once, not once a view
        self._items[item[firsts]] = hash_items(item_ids).numpy()[codes[firsts]]
        self._add_labels(row, label, bool((label != label[first]).any()))

    def _add_labels(
        self, row: Int[np.ndarray, " r"], label: Int[np.ndarray, " r"], differ: bool
    ) -> None:
        if not np.can_cast(np.min_scalar_type(label.max()), self._labels.dtype):
            self._labels = self._labels.astype(np.int64)
        if differ and len(self._labels) == len(self._items):
            self._labels = np.repeat(self._labels, self._views)
        per_item = len(self._labels) == len(self._items)
        self._labels[row // self._views if per_item else row] = label

    def finish(self) -> KeyColumns:
        return KeyColumns(
            rows=self._rows[: self._num],
            num_views=self._views,
            items=self._items,
            labels=self._labels,
        )


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
    wanted = select_usable(spec_id, split, views, filter)
    found = _KeyTable(store, store.layouts[spec_id])
    for table in store.scan_records(_COLUMNS, wanted):
        if table.num_rows:
            found.add(table)
    keys = found.finish()
    if not len(keys.rows):
        splits = store.read_records(["split"])["split"].unique().to_pylist()
        raise ValueError(
            f"no row of {store.path} is left to serve: split={split!r}, "
            f"views={'all' if views is None else list(views)}, filter={filter}; "
            f"the store has the splits {sorted(splits)}"
        )
    return keys
