"""What the recipe benchmark says of each recipe, as figures, as a table and as points of a plot."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.figures.trade import MOST_CLASSIFIERS, Measured, TradePoint
from inrgen.probes.catalog import ProbeName
from inrgen.probes.mlp import Accuracy
from inrgen.probes.report import columns_text

MOST_DRAWN = MOST_CLASSIFIERS


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeRow:
    """One recipe.

    recipe: as it was typed. num_failed: fits that ended without finite weights, which all other
        figures leave out; a figure that has nothing left is NaN.
    folds: of cross-validation over all items; 0 where splits were kept to.
    seconds_per_10k: time to fit 10,000 INRs with this engine on all cores of this machine.
    psnr_db, psnr_p5_db, psnr_p95_db: mean and percentiles over all items.
    iou, chamfer: of shapes, medians between the 5th and the 95th percentile; else NaN.
    accuracy: by probe, in %. difference: the same less that of the first recipe, INR for INR;
        empty for the first.
    """

    recipe: str
    source: str
    engine: str
    num_train: int
    num_val: int
    num_test: int
    folds: int
    num_failed: int
    seconds_per_10k: float
    psnr_db: float
    psnr_p5_db: float
    psnr_p95_db: float
    iou: Measured
    chamfer: Measured
    accuracy: dict[ProbeName, Accuracy]
    difference: dict[ProbeName, Accuracy]


def spread(values: Float[Tensor, " b"]) -> Measured:
    """The median of what is not NaN, and its 5th and 95th percentile; NaN if nothing is."""
    kept = values[~values.isnan()].double()
    if not len(kept):
        return Measured(value=math.nan, low=math.nan, high=math.nan)
    low, median, high = torch.quantile(kept, torch.tensor([0.05, 0.5, 0.95]).double()).tolist()
    return Measured(value=median, low=low, high=high)


_HEADS: dict[ProbeName, str] = {
    "mlp_raw": "MLP raw",
    "mlp_permutation": "MLP permuted",
    "mlp_signed": "MLP signed",
    "set_raw": "set model",
    "kernel_raw": "kernel raw",
    "kernel_permutation": "kernel permuted",
    "kernel_signed": "kernel signed",
    "kernel_set": "kernel set",
    "kernel_values": "kernel values",
}


def _psnr(row: RecipeRow) -> Measured:
    return Measured(value=row.psnr_db, low=row.psnr_p5_db, high=row.psnr_p95_db)


def _range_text(found: Measured, digits: int) -> str:
    return f"{found.value:.{digits}f} ({found.low:.{digits}f}-{found.high:.{digits}f})"


def _share_text(found: Accuracy, sign: str = "") -> str:
    return f"{found.percent:{sign}.1f} ±{found.standard_error:.1f}"


def _is_of_shapes(rows: Sequence[RecipeRow]) -> bool:
    return not all(math.isnan(row.iou.value) for row in rows)


def table(rows: Sequence[RecipeRow]) -> str:
    """Rows as text: seconds for 10,000 INRs, quality, test accuracies, gains on the first."""
    first = rows[0]
    total = first.num_train + first.num_val + first.num_test
    parts = f"{first.num_train:,} items to learn from, {first.num_test:,} to test"
    if first.folds:
        parts = f"{total:,} items, {first.folds} folds"
    about = f"{first.source}, engine {first.engine}: {parts}; accuracies in %, ± standard error"
    columns = {"recipe": lambda row: row.recipe, "s/10k": lambda row: f"{row.seconds_per_10k:.0f}"}
    if _is_of_shapes(rows):
        columns["IoU (5-95 %)"] = lambda row: _range_text(row.iou, 2)
        columns["Chamfer (5-95 %)"] = lambda row: _range_text(row.chamfer, 3)
    else:
        columns["PSNR dB (5-95 %)"] = lambda row: _range_text(_psnr(row), 1)
    for probe in first.accuracy:
        columns[_HEADS[probe]] = lambda row, probe=probe: _share_text(row.accuracy[probe])
    columns["failed"] = lambda row: str(row.num_failed)
    lines = [about, "", columns_text(columns, rows, 1)]
    if len(rows) > 1:
        gains = {f"points on {first.recipe}": lambda row: row.recipe}
        for probe in first.accuracy:
            gains[_HEADS[probe]] = lambda row, probe=probe: _share_text(row.difference[probe], "+")
        lines += ["", columns_text(gains, rows[1:], 1)]
    return "\n".join(lines)


def points(rows: Sequence[RecipeRow]) -> tuple[list[TradePoint], str]:
    """The recipes as a plot draws them, against IoU of shapes or PSNR, and what that is."""
    of_shapes = _is_of_shapes(rows)
    name = "IoU: median" if of_shapes else "PSNR (dB): mean"
    drawn = [
        TradePoint(
            name=row.recipe,
            seconds=row.seconds_per_10k,
            quality=row.iou if of_shapes else _psnr(row),
            accuracy={
                _HEADS[probe]: Measured(
                    value=found.percent,
                    low=found.percent - found.standard_error,
                    high=found.percent + found.standard_error,
                )
                for probe, found in row.accuracy.items()
            },
        )
        for row in rows
    ]
    return drawn, f"{name}, 5th to 95th percentile"
