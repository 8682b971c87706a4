"""Key columns of one store: all that a loader keeps of the records.

A row's item and view follow from its number (row = item * views + view). So the columns are a
number a row, and a hash and a label an item: 5 bytes a row with ten views, 16 with one. Processes
of a machine share those of large stores (key_file.py).
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, NamedTuple

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


class KeyArrays(NamedTuple):
    """Memory for the key columns of a store, all zero.

    Attributes:
        items: (i,) int64, an item of the store each.
        labels: (i,) int32; or (layout.rows,) int64, a row of the store each.
        rows: (layout.rows,), of which as many are used as rows are selected.
    """

    items: Int[np.ndarray, " i"]
    labels: Int[np.ndarray, " k"]
    rows: UInt[np.ndarray, " r"]


def array_types(layout: Layout, wide: bool) -> dict[str, tuple[np.dtype, int]]:
    """Return type and length of each of KeyArrays.

    Args:
        wide: keep a label of 8 bytes a row, where labels are large or views of an item differ.
    """
    num_items = layout.rows // layout.views
    labels = (np.dtype(np.int64), layout.rows) if wide else (np.dtype(np.int32), num_items)
    rows = (np.min_scalar_type(layout.rows), layout.rows)
    return {"items": (np.dtype(np.int64), num_items), "labels": labels, "rows": rows}


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyColumns:
    """Rows of one spec that may be served, sorted, with the origins of each.

    Attributes:
        rows: (r,) in the narrowest type that holds them.
        num_views: views of each item.
        items: (i,) hash of the id of each item of the store; 0 for items without a served row.
        labels: (i,) label of each item; or of each row of the store, where views of an item differ.
        fingerprint: digest of the rows and their items.
        reopen: returns the same columns in another process; None sends the arrays there.
    """

    rows: UInt[np.ndarray, " r"]
    num_views: int
    items: Int[np.ndarray, " i"]
    labels: Int[np.ndarray, " k"]
    fingerprint: str = ""
    reopen: Callable[[], "KeyColumns"] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        if self.reopen is not None:
            return self.reopen, ()
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return partial(KeyColumns, **values), ()

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
        """Return the fingerprint, computed anew."""
        state = hashlib.blake2b(digest_size=16)
        for name in ("rows", "items"):
            for index in chunks(len(self.rows)):
                state.update(getattr(self.origins(index), name).tobytes())
        return state.hexdigest()


def chunks(num: int) -> Iterator[Int[np.ndarray, " _b"]]:
    """Yield the numbers below num, some at a time."""
    for start in range(0, num, _CHUNK):
        yield np.arange(start, min(start + _CHUNK, num))


class LabelsOfRows(Exception):
    """Labels are too large for 4 bytes, or views of an item have several, so a row needs one."""


class _KeyTable:
    """Key columns under construction, filled table by table."""

    def __init__(self, store: Store, layout: Layout, arrays: KeyArrays) -> None:
        self._store, self._views, self._arrays = store, layout.views, arrays
        arrays.labels.fill(-1)
        self._num = 0

    def add(self, table: Any) -> None:
        """Add a table of rows that follow all others.

        Raises DamagedStore if their item or view is not that of their number, and LabelsOfRows.
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
        arrays = self._arrays
        arrays.rows[self._num : self._num + len(row)] = row
        self._num += len(row)
        # each item id is hashed once, not once a view
        arrays.items[item[firsts]] = hash_items(item_ids).numpy()[codes[firsts]]
        if arrays.labels.dtype == np.int64:
            arrays.labels[row] = label
            return
        if (label != label[first]).any() or label.max() > np.iinfo(np.int32).max:
            raise LabelsOfRows
        arrays.labels[item[firsts]] = label[firsts]

    def finish(self) -> KeyColumns:
        items, labels, rows = self._arrays
        found = KeyColumns(
            rows=rows[: self._num], num_views=self._views, items=items, labels=labels
        )
        return replace(found, fingerprint=found.digest())


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRequest:
    """Conditions that rows must meet, beyond holding weights.

    Attributes:
        split: one split; None takes all.
        views: view numbers; None takes all.
        filter: a pyarrow.dataset expression over any columns of the records.
    """

    store: Store
    spec_id: str
    split: str | None = None
    views: Sequence[int] | None = None
    filter: Any = None

    @property
    def layout(self) -> Layout:
        """Layout of the store."""
        return self.store.layouts[self.spec_id]

    def read(self, arrays: KeyArrays) -> KeyColumns:
        """Read the key columns of the rows that meet the conditions into some arrays.

        Raises ValueError where no row is left, DamagedStore where records are damaged, and
        LabelsOfRows where the arrays are not wide enough.
        """
        wanted = select_usable(self.spec_id, self.split, self.views, self.filter)
        found = _KeyTable(self.store, self.layout, arrays)
        for table in self.store.scan_records(_COLUMNS, wanted):
            if table.num_rows:
                found.add(table)
        keys = found.finish()
        if not len(keys.rows):
            splits = self.store.read_records(["split"])["split"].unique().to_pylist()
            raise ValueError(
                f"no row of {self.store.path} is left to serve: split={self.split!r}, "
                f"views={'all' if self.views is None else list(self.views)}, "
                f"filter={self.filter}; the store has the splits {sorted(splits)}"
            )
        return keys


def read_key_columns(request: KeyRequest) -> KeyColumns:
    """Read key columns into memory. Raises as KeyRequest.read does."""
    for wide in (False, True):
        types = array_types(request.layout, wide).values()
        try:
            # pages that are never filled take no memory
            return request.read(KeyArrays(*(np.zeros(num, dtype=of) for of, num in types)))
        except LabelsOfRows:
            assert not wide
    raise AssertionError("wide arrays hold any labels")
