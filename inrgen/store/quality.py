"""What a store's records say of its rows as a whole: how many of each kind, and how good."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from inrgen.store.reader import Store
from inrgen.store.records import SERVED

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """Counts and PSNR of the rows that records speak of.

    psnr_db holds mean and quantiles (keys "mean", "p5", "p25", "p50", "p75", "p95") over the rows
    that hold finite weights; it is empty where there are none. mean_steps is over the same rows.
    """

    rows: int
    items: int
    by_status: dict[str, int]
    by_split: dict[str, int]
    psnr_db: dict[str, float]
    mean_steps: float | None
    fit_core_s: float

    def lines(self) -> list[str]:
        """The same in words, a line each."""
        kinds = ", ".join(f"{count:,} {status}" for status, count in self.by_status.items())
        splits = ", ".join(f"{count:,} {split}" for split, count in self.by_split.items())
        lines = [f"{self.rows:,} INRs of {self.items:,} items ({splits}): {kinds}"]
        if self.psnr_db:
            q = self.psnr_db
            lines.append(
                f"PSNR {q['mean']:.2f} dB on average, median {q['p50']:.2f}, "
                f"5th to 95th percentile {q['p5']:.2f} to {q['p95']:.2f}; "
                f"{self.mean_steps:.0f} steps on average"
            )
        return lines


def measure_quality(store: Store) -> Quality:
    """Read a few columns of the records once and count."""
    columns = ["item_id", "status", "split", "psnr_db", "num_steps", "duration_s"]
    table = store.read_records(columns)
    status = table["status"].to_pylist()
    served = np.isin(np.array(status, dtype=object), SERVED)
    psnr = table["psnr_db"].to_numpy()[served]
    psnr = psnr[~np.isnan(psnr)]
    figures = {}
    if len(psnr):
        figures = {"mean": float(psnr.mean())}
        for share, value in zip(_QUANTILES, np.quantile(psnr, _QUANTILES), strict=True):
            figures[f"p{share * 100:g}"] = float(value)
    steps = table["num_steps"].to_numpy()[served]
    return Quality(
        rows=table.num_rows,
        items=len(table["item_id"].unique()),
        by_status=dict(sorted(Counter(status).items())),
        by_split=dict(sorted(Counter(table["split"].to_pylist()).items())),
        psnr_db=figures,
        mean_steps=float(steps.mean()) if len(steps) else None,
        fit_core_s=float(table["duration_s"].to_numpy().sum()),
    )
