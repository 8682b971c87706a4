"""Counts and quality of all rows of a store, folded table by table in little memory."""

from collections import Counter
from dataclasses import dataclass
from typing import final

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from inrgen.core.escape import one_line
from inrgen.core.summary import count
from inrgen.store.queries import QUANTILES, usable_values
from inrgen.store.reader import Store
from inrgen.store.records import USABLE_STATUSES, usable_rows

_SHAPE_COLUMNS = ("iou", "chamfer", "sign_trust")
_MEASURED = ("psnr_db", *_SHAPE_COLUMNS)
# Different values up to which quantiles are exact, and bits of the mantissa kept beyond that: an
# error of 8 millionths, 0.0004 dB at 50 dB.
_EXACT, _KEPT_BITS = 2**18, 16
# Items without weights that a summary names.
_MOST_BAD = 10


@final
class ValueCounts:
    """Different values of a column and how often each came: 4 MB for PSNR, whatever the rows."""

    def __init__(self) -> None:
        self._values = np.zeros(0)
        self._counts = np.zeros(0, dtype=np.int64)
        self._new: list[Float[np.ndarray, " _n"]] = []
        self._num_new = 0

    def add(self, values: Float[np.ndarray, " n"]) -> None:
        """Count some values; none may be NaN."""
        self._new.append(values)
        self._num_new += len(values)
        # many at once, since each merge sorts all values there are
        if self._num_new >= _EXACT:
            self._merge()

    def _merge(self) -> None:
        counts = np.concatenate([self._counts, np.ones(self._num_new, dtype=np.int64)])
        values = np.concatenate([self._values, *self._new])
        self._new, self._num_new = [], 0
        self._values, self._counts = _count_equal(values, counts)
        if len(self._values) > _EXACT:
            self._values, self._counts = _count_equal(_round(self._values), self._counts)

    def summary(self) -> dict[str, float]:
        """Return the mean and QUANTILES, as queries.summarize does; {} for no values."""
        self._merge()
        ends = np.cumsum(self._counts)
        if not len(ends):
            return {}
        figures = {"mean": float(self._values @ self._counts / ends[-1])}
        for share in QUANTILES:
            # between the two values around this place in the sorted column, as np.quantile does
            below, part = divmod(float((ends[-1] - 1) * share), 1)
            at = np.searchsorted(ends, [below, min(below + 1, ends[-1] - 1)], side="right")
            low, high = self._values[at]
            between = low if low == high else low + part * (high - low)
            figures[f"p{100 * share:g}"] = float(between)
        return figures


def _count_equal(
    values: Float[np.ndarray, " n"], counts: np.ndarray
) -> tuple[Float[np.ndarray, " u"], np.ndarray]:
    """Sort values and add up the counts of equal ones."""
    order = np.argsort(values)
    values, counts = values[order], counts[order]
    if not len(values):
        return values, counts
    # compared, since the difference of two infinities is NaN
    firsts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    return values[firsts], np.add.reduceat(counts, firsts)


def _round(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Round to _KEPT_BITS of the mantissa; infinities stay."""
    lost = 52 - _KEPT_BITS
    bits = (values.view(np.int64) + (1 << (lost - 1))) >> lost << lost
    return np.where(np.isfinite(values), bits.view(np.float64), values)


@dataclass(frozen=True, kw_only=True, slots=True)
class BadItem:
    """An item that has no weights, and the reason that its first such row gives."""

    item_id: str
    status: str
    reason: str

    def text(self) -> str:
        """Return the item, its status and the reason."""
        return f"{self.item_id} ({self.status}): {self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """Counts of a store's rows, and the quality of those that hold weights.

    Attributes:
        psnr_db, iou, chamfer, sign_trust: summaries of the records' columns of these names; empty
            if nothing was measured. The last three exist for shapes only. Quantiles are exact to
            8 millionths in stores of more than 260 thousand rows.
        mean_steps: mean of num_steps over rows with weights.
        fit_core_s: core-seconds that all fits took.
        bad_items: the first items with a row without weights, in the order of rows.
        num_bad_items: how many there are.
    """

    rows: int
    items: int
    by_status: dict[str, int]
    by_split: dict[str, int]
    psnr_db: dict[str, float]
    iou: dict[str, float]
    chamfer: dict[str, float]
    sign_trust: dict[str, float]
    mean_steps: float | None
    fit_core_s: float
    bad_items: tuple[BadItem, ...] = ()
    num_bad_items: int = 0

    def fault(self, location: str) -> str:
        """Return a sentence on a store of which no row holds weights; "" for any other."""
        if any(self.by_status.get(status) for status in USABLE_STATUSES):
            return ""
        first = f"; {self.bad_items[0].text()}" if self.bad_items else ""
        return f"none of the {self.items:,} items of {location} has weights{first}"

    def lines(self) -> list[str]:
        """Return the same in words, as separate lines."""
        if not self.rows:
            return ["no INRs yet"]
        kinds = ", ".join(f"{num:,} {status}" for status, num in self.by_status.items())
        splits = ", ".join(f"{num:,} {split}" for split, num in self.by_split.items())
        counts = f"{count(self.rows, 'INR')} of {count(self.items, 'item')}"
        lines = [f"{counts} ({splits}): {kinds}"]
        if self.psnr_db:
            psnr = f"PSNR {self.psnr_db['mean']:.2f} dB on average, {_range(self.psnr_db, '.2f')}"
            steps = "" if self.mean_steps is None else f"; {self.mean_steps:.0f} steps on average"
            lines.append(psnr + steps)
        if self.iou:
            lines.append(f"IoU: {_range(self.iou, '.3f')}")
        if self.chamfer:
            text = _range(self.chamfer, ".2%")
            lines.append(f"Chamfer distance, as a share of the mesh's diagonal: {text}")
        if self.sign_trust:
            text = _range(self.sign_trust, ".0%")
            lines.append(f"share of the mesh where inside and outside are certain: {text}")
        return lines + self._bad_lines()

    def _bad_lines(self) -> list[str]:
        """The items without weights, each with its reason."""
        if not self.bad_items:
            return []
        more = self.num_bad_items - len(self.bad_items)
        return [
            f"items without weights: {self.num_bad_items:,}",
            *(f"  {one_line(item.text())}" for item in self.bad_items),
            *([f"  and {more:,} more"] if more else []),
            "  the store's records list all, with item_id, status and reason (records/*.parquet)",
        ]


def _range(figures: dict[str, float], form: str) -> str:
    p5, p50, p95 = (format(figures[key], form) for key in ("p5", "p50", "p95"))
    return f"median {p50}, 5th to 95th percentile {p5} to {p95}"


def measure_quality(store: Store) -> Quality:
    """Read a few columns of all records once and summarize them."""
    columns = ["view", "status", "split", "num_steps", "duration_s", *_MEASURED]
    statuses, splits = Counter[str](), Counter[str]()
    measured = {name: ValueCounts() for name in _MEASURED}
    items = steps = with_weights = 0
    fit_core_s = 0.0
    for table in store.scan_records(columns):
        statuses += _count_texts(table["status"])
        splits += _count_texts(table["split"])
        # every item has one first view, in whole blocks
        items += int((table["view"].to_numpy() == 0).sum())
        fit_core_s += float(table["duration_s"].to_numpy().sum())
        done = usable_values(table, "num_steps")
        steps, with_weights = steps + int(done.sum()), with_weights + len(done)
        for name, counts in measured.items():
            counts.add(usable_values(table, name))
    num_bad, bad_items = 0, tuple[BadItem, ...]()
    # Most stores have none, and their names and reasons would be the largest columns to read.
    if statuses.keys() - set(USABLE_STATUSES):
        num_bad, bad_items = _find_bad_items(store)
    summaries = {name: counts.summary() for name, counts in measured.items()}
    return Quality(
        rows=statuses.total(),
        items=items,
        by_status=dict(sorted(statuses.items())),
        by_split=dict(sorted(splits.items())),
        **summaries,
        mean_steps=steps / with_weights if with_weights else None,
        fit_core_s=fit_core_s,
        bad_items=bad_items,
        num_bad_items=num_bad,
    )


def _find_bad_items(store: Store) -> tuple[int, tuple[BadItem, ...]]:
    """The number of items with a row without weights, and the first of them."""
    num, last, found = 0, "", list[BadItem]()
    columns = ["item_id", "status", "reason"]
    for table in store.scan_records(columns, ~usable_rows()):
        for row in table.to_pylist():
            # The views of an item follow one another.
            if row["item_id"] == last:
                continue
            num, last = num + 1, row["item_id"]
            if len(found) < _MOST_BAD:
                found.append(BadItem(**row))
    return num, tuple(found)


def _count_texts(column: pa.ChunkedArray) -> Counter[str]:
    return Counter({of["values"]: of["counts"] for of in column.value_counts().to_pylist()})
