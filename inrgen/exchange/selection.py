"""Which rows of a store go out, in which order and under which numbers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from jaxtyping import Bool, Int

from inrgen.core.splits import SPLITS, Split
from inrgen.store.reader import Store
from inrgen.store.records import USABLE_STATUSES

_COLUMNS = ("row", "item_id", "view", "split", "label", "label_name", "status")


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The rows to export, sorted by split (train, val, test) and then by row.

    rows: columns row, item_id, view, split, label, label_name, item (0, 1, ... over all items) and
        number: what the file of the item is called after, which is the item id's own number where
        these differ within training and within test items, and counts them otherwise.
    left_out: rows asked for that hold no weights, or whose item lacks one of the views.
    """

    rows: pa.Table
    left_out: int

    def part(self, span: range) -> list[dict[str, Any]]:
        """The rows of a span as plain values, each with its place among all that go out."""
        rows = self.rows.slice(span.start, len(span)).to_pylist()
        return [{**row, "place": place} for row, place in zip(rows, span, strict=True)]

    def parts(self, rows_per_part: int) -> list[range]:
        """Spans of at most so many rows, none of them of two splits."""
        spans, codes = [], _split_codes(self.rows)
        for code in range(len(SPLITS)):
            at = np.searchsorted(codes, [code, code + 1]).tolist()
            for start in range(at[0], at[1], rows_per_part):
                spans.append(range(start, min(start + rows_per_part, at[1])))
        return spans

    @property
    def views(self) -> list[int]:
        """The views there are, in order."""
        return np.unique(self.rows["view"].to_numpy()).tolist()


def _split_codes(table: pa.Table) -> Int[np.ndarray, " r"]:
    order = {split: code for code, split in enumerate(SPLITS)}
    encoded = table["split"].combine_chunks().dictionary_encode()
    names = [order[name] for name in encoded.dictionary.to_pylist()]
    return np.array([*names, 0])[encoded.indices.to_numpy()]


def _items(table: pa.Table) -> Int[np.ndarray, " r"]:
    """The ordinal of each row's item; an item's rows lie together."""
    if not table.num_rows:
        return np.zeros(0, dtype=np.int64)
    encoded = table["item_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    return np.cumsum(np.diff(encoded, prepend=encoded[:1]) != 0)


def _numbers(table: pa.Table, items: Int[np.ndarray, " r"]) -> Int[np.ndarray, " r"]:
    _, firsts = np.unique(items, return_index=True)
    ids = table["item_id"].take(firsts).to_pylist()
    tests = _split_codes(table)[firsts] == 2
    found = [re.search(r"(\d{1,15})(\.\w+)?$", item_id) for item_id in ids]
    named = np.array([int(match[1]) if match else -1 for match in found], dtype=np.int64)
    pairs = np.stack([tests, named])
    if len(ids) and (named.min() < 0 or np.unique(pairs, axis=1).shape[1] < len(ids)):
        named = np.where(tests, np.cumsum(tests), np.cumsum(~tests)) - 1
    return named[items]


def _whole(items: Int[np.ndarray, " r"], num_views: int) -> Bool[np.ndarray, " r"]:
    return np.bincount(items)[items] == num_views if len(items) else np.zeros(0, dtype=bool)


def select_rows(
    store: Store,
    spec_id: str,
    splits: Sequence[Split],
    views: Sequence[int] | None,
    whole_items: bool,
) -> Selection:
    """Read the records of the rows that are to go out.

    Args:
        views: which views of each item; None for all.
        whole_items: leave out items of which one of the views holds no weights.

    Raises ValueError for a view that the store does not have, and where nothing is left.
    """
    there = store.layouts[spec_id].views
    wanted = sorted(set(range(there) if views is None else views))
    if not wanted or wanted[0] < 0 or wanted[-1] >= there:
        raise ValueError(f"views must be among 0..{there - 1}; got {wanted}")
    where = (ds.field("spec_id") == spec_id) & ds.field("split").isin(list(splits))
    table = store.read_records(_COLUMNS, where & ds.field("view").isin(wanted))
    table = table.take(np.lexsort((table["row"].to_numpy(), _split_codes(table))))
    asked = table.num_rows
    table = (
        table.filter(ds.field("status").isin(USABLE_STATUSES))
        .drop_columns(["status"])
        .combine_chunks()
    )
    if whole_items:
        table = table.filter(pa.array(_whole(_items(table), len(wanted)))).combine_chunks()
    if not table.num_rows:
        raise ValueError(f"{store.path} has no rows with weights in {', '.join(splits)} to export")
    items = _items(table)
    numbers = _numbers(table, items)
    rows = table.append_column("item", pa.array(items)).append_column("number", pa.array(numbers))
    return Selection(rows=rows, left_out=asked - table.num_rows)
