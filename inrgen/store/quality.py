"""What a store's records say of its rows as a whole: how many of each kind, and how good."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float

from inrgen.store.reader import Store
from inrgen.store.records import USABLE_STATUSES

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# What count_rows looks at.
COUNTED = ("item_id", "status", "psnr_db")
_OF_SHAPES = ("iou", "chamfer", "sign_trust")


@dataclass(frozen=True, kw_only=True, slots=True)
class RowCounts:
    """Some rows: how many, of how many items, and of which status.

    psnr_db: of those that hold weights, in dB, where it was measured; inf for an exact fit.
    """

    rows: int
    items: int
    by_status: dict[str, int]
    psnr_db: Float[np.ndarray, " _n"]


def served_values(table: pa.Table, column: str) -> Float[np.ndarray, " n"]:
    """A column of the records of rows that hold weights, less what was not measured.

    Args:
        table: with the columns status and column.
    """
    held = table.filter(pc.field("status").isin(USABLE_STATUSES))
    values = held[column].to_numpy().astype(np.float64)
    return values[~np.isnan(values)]


def count_rows(table: pa.Table) -> RowCounts:
    """Count the rows that a table of records speaks of, which has the columns COUNTED."""
    statuses = table["status"].value_counts().to_pylist()
    return RowCounts(
        rows=table.num_rows,
        items=len(table["item_id"].unique()),
        by_status=dict(sorted((of["values"], of["counts"]) for of in statuses)),
        psnr_db=served_values(table, "psnr_db"),
    )


def count_by_split(table: pa.Table) -> dict[str, RowCounts]:
    """The counts of each split that is there; table has the columns COUNTED and split."""
    splits = sorted(table["split"].unique().to_pylist())
    return {split: count_rows(table.filter(pc.field("split") == split)) for split in splits}


def spread(values: Float[np.ndarray, " n"]) -> dict[str, float]:
    """Mean and QUANTILES, by the keys "mean", "p5", "p25", "p50", "p75", "p95"; {} of nothing."""
    if not len(values):
        return {}
    quantiles = np.quantile(values, QUANTILES)
    named = {f"p{100 * share:g}": float(v) for share, v in zip(QUANTILES, quantiles, strict=True)}
    return {"mean": float(values.mean()), **named}


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """Counts of the rows that records speak of, and how good those with weights are.

    psnr_db, and for shapes iou, chamfer and sign_trust, are as spread has them of FitRecord's
    fields of these names; empty where nothing was measured. mean_steps is over rows with weights.
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

    def lines(self) -> list[str]:
        """The same in words, a line each."""
        kinds = ", ".join(f"{count:,} {status}" for status, count in self.by_status.items())
        splits = ", ".join(f"{count:,} {split}" for split, count in self.by_split.items())
        lines = [f"{self.rows:,} INRs of {self.items:,} items ({splits}): {kinds}"]
        if self.psnr_db:
            lines.append(
                f"PSNR {self.psnr_db['mean']:.2f} dB on average, {_range(self.psnr_db, '.2f')}; "
                f"{self.mean_steps:.0f} steps on average"
            )
        if self.iou:
            lines.append(f"IoU: {_range(self.iou, '.3f')}")
        if self.chamfer:
            said = _range(self.chamfer, ".2%")
            lines.append(f"Chamfer distance, as a share of the mesh's diagonal: {said}")
        if self.sign_trust:
            said = _range(self.sign_trust, ".0%")
            lines.append(f"share of the mesh that parts inside from outside beyond doubt: {said}")
        return lines


def _range(figures: dict[str, float], form: str) -> str:
    p5, p50, p95 = (format(figures[key], form) for key in ("p5", "p50", "p95"))
    return f"median {p50}, 5th to 95th percentile {p5} to {p95}"


def measure_quality(store: Store) -> Quality:
    """Read a few columns of the records once and count."""
    table = store.read_records([*COUNTED, "split", "num_steps", "duration_s", *_OF_SHAPES])
    counts, splits = count_rows(table), count_by_split(table)
    steps = served_values(table, "num_steps")
    iou, chamfer, sign_trust = (spread(served_values(table, column)) for column in _OF_SHAPES)
    return Quality(
        rows=counts.rows,
        items=counts.items,
        by_status=counts.by_status,
        by_split={split: counted.rows for split, counted in splits.items()},
        psnr_db=spread(counts.psnr_db),
        iou=iou,
        chamfer=chamfer,
        sign_trust=sign_trust,
        mean_steps=float(steps.mean()) if len(steps) else None,
        fit_core_s=float(table["duration_s"].to_numpy().sum()),
    )
