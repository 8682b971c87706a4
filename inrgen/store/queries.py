"""Questions to the records of a store: rows by number, items of a split, and counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from jaxtyping import Float

from inrgen.store.reader import Store
from inrgen.store.records import USABLE_STATUSES, usable_rows

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Columns that count_rows needs.
COUNT_COLUMNS = ("item_id", "status", "psnr_db")


def select_usable(
    spec_id: str,
    split: str | None = None,
    views: Sequence[int] | None = None,
    also: ds.Expression | None = None,
) -> ds.Expression:
    """Return the condition that selects rows of a spec that hold weights.

    Args:
        split, views: the split and the view numbers; None takes all.
        also: another condition that rows must meet.
    """
    wanted = usable_rows() & (ds.field("spec_id") == spec_id)
    if split is not None:
        wanted &= ds.field("split") == split
    if views is not None:
        wanted &= ds.field("view").isin(list(views))
    return wanted if also is None else wanted & also


def read_items(store: Store, spec_id: str, split: str) -> list[str]:
    """Return the items of a split with at least one row that holds weights, sorted by id."""
    table = store.read_records(["item_id"], select_usable(spec_id, split))
    # Arrow finds the distinct ids, since Python would see every row
    return sorted(table["item_id"].unique().to_pylist())


def read_labels(store: Store, spec_id: str, split: str) -> dict[int, str]:
    """Return the labels of a split's rows that hold weights, with names; -1 means no label."""
    table = store.read_records(["label", "label_name"], select_usable(spec_id, split))
    named = table.group_by(["label", "label_name"]).aggregate([])
    return dict(zip(named["label"].to_pylist(), named["label_name"].to_pylist(), strict=True))


def make_filter(
    items: Sequence[str] | None = None, num_views: int | None = None
) -> ds.Expression | None:
    """Return the condition that selects some items and each item's first views.

    It serves rooms that may not import Arrow. None stands for no restriction.
    """
    wanted = None if num_views is None else ds.field("view") < num_views
    if items is None:
        return wanted
    among = ds.field("item_id").isin(list(items))
    return among if wanted is None else among & wanted


def read_rows(
    store: Store, rows: Sequence[int], spec_id: str, columns: Sequence[str]
) -> list[dict[str, Any]]:
    """Read the records of a few rows, whatever their status, in the order given.

    Raises ValueError for a row that the store does not hold.
    """
    wanted = (ds.field("spec_id") == spec_id) & ds.field("row").isin(list(rows))
    # each column once, since callers may ask for the row, too
    needed = list(dict.fromkeys([*columns, "row"]))
    by_row = {record["row"]: record for record in store.read_records(needed, wanted).to_pylist()}
    for row in rows:
        if row not in by_row:
            raise ValueError(f"row must be one that the store holds; got {row}")
    return [by_row[row] for row in rows]


def read_usable_records(
    store: Store, rows: Sequence[int], spec_id: str, columns: Sequence[str]
) -> list[dict[str, Any]]:
    """Read the records of a few rows that hold weights, in the order given; rows may repeat.

    Raises ValueError for a row that the store does not hold, or whose weights are NaN.
    """
    found = read_rows(store, rows, spec_id, [*columns, "status", "reason"])
    for record in found:
        if record["status"] not in USABLE_STATUSES:
            raise ValueError(
                f"row {record['row']} holds no weights: {record['status']}, {record['reason']}"
            )
    return found


def usable_values(table: pa.Table, column: str) -> Float[np.ndarray, " n"]:
    """Return a column of the rows that hold weights, without values that were not measured.

    Args:
        table: records with the columns status and column.
    """
    values = table.filter(usable_rows())[column].to_numpy().astype(np.float64)
    return values[~np.isnan(values)]


@dataclass(frozen=True, kw_only=True, slots=True)
class RowCounts:
    """Counts of some rows.

    Attributes:
        psnr_db: PSNR in dB of the rows that hold weights, if measured; inf for an exact fit.
    """

    rows: int
    items: int
    by_status: dict[str, int]
    psnr_db: Float[np.ndarray, " _n"]


def count_rows(table: pa.Table) -> RowCounts:
    """Count the rows that records describe. The table needs COUNT_COLUMNS."""
    statuses = table["status"].value_counts().to_pylist()
    return RowCounts(
        rows=table.num_rows,
        items=len(table["item_id"].unique()),
        by_status=dict(sorted((of["values"], of["counts"]) for of in statuses)),
        psnr_db=usable_values(table, "psnr_db"),
    )


def count_by_split(table: pa.Table) -> dict[str, RowCounts]:
    """Count the rows of each split. The table needs COUNT_COLUMNS and split."""
    splits = sorted(table["split"].unique().to_pylist())
    return {split: count_rows(table.filter(pc.field("split") == split)) for split in splits}


def summarize(values: Float[np.ndarray, " n"]) -> dict[str, float]:
    """Return mean and QUANTILES as "mean", "p5", "p25", "p50", "p75", "p95"; {} for no values."""
    if not len(values):
        return {}
    quantiles = np.quantile(values, QUANTILES)
    named = {f"p{100 * share:g}": float(v) for share, v in zip(QUANTILES, quantiles, strict=True)}
    return {"mean": float(values.mean()), **named}
