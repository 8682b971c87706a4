"""Quality of a store: PSNR by split, and the number of rows with each status."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from inrgen.figures.style import INK, SPLIT_COLOURS, STATUS_COLOURS, set_heading, tidy

_MAX_BINS = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityData:
    """PSNR in dB of the rows that hold weights, by split, and the number of rows with each status.

    Attributes:
        target_db: the PSNR that the build asked for, drawn as a line; None draws none.
    """

    psnr_db: dict[str, Float[np.ndarray, " _n"]]
    status_counts: dict[str, int]
    target_db: float | None = None


def _histogram(axes: Axes, psnr: dict[str, np.ndarray], edges: np.ndarray) -> None:
    for split, values in psnr.items():
        label = f"{split}: median {np.median(values):.1f} dB, {len(values):,} INRs"
        # Shares, because counts would hide the smaller splits beside train.
        shares = 100.0 * np.histogram(values, edges)[0] / len(values)
        colour = SPLIT_COLOURS[split]
        axes.stairs(shares, edges, fill=True, alpha=0.12, color=colour)
        axes.stairs(shares, edges, linewidth=1.6, color=colour, label=label)
    axes.set_xlabel("PSNR (dB)")
    axes.set_ylabel("share of the split's INRs (%)")
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    # The legend needs space above the bars.
    axes.set_ylim(top=axes.get_ylim()[1] * 1.3)


def _cumulative(axes: Axes, psnr: dict[str, np.ndarray]) -> None:
    for split, values in psnr.items():
        shares = 100.0 * np.arange(len(values) + 1) / len(values)
        # The curve starts at zero above the worst INR, so that a single INR draws a step.
        positions = np.concatenate([[values.min()], np.sort(values)])
        axes.step(positions, shares, where="post", color=SPLIT_COLOURS[split], linewidth=1.6)
    axes.set_ylim(0, 102)
    axes.set_xlabel("PSNR (dB)")
    axes.set_ylabel("INRs at or below it (%)")


def _statuses(axes: Axes, counts: dict[str, int]) -> None:
    names = [status for status in STATUS_COLOURS if status in counts]
    numbers = [counts[name] for name in names]
    total = max(sum(numbers), 1)
    bars = axes.barh(names, numbers, color=[STATUS_COLOURS[name] for name in names], height=0.6)
    shares = [f" {n:,} ({100 * n / total:.3g} %)" for n in numbers]
    axes.bar_label(bars, labels=shares, fontsize=9, color=INK)
    # The longest bar's label stands beside it and must fit in.
    axes.set_xlim(0, max(numbers, default=1) * 1.6)
    axes.set_ylim(-0.8, max(len(names), 3) - 0.2)
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axes.set_xlabel("rows")


def db_edges(psnr: dict[str, np.ndarray]) -> np.ndarray:
    """Bin edges in dB; more INRs give narrower bins."""
    values = np.concatenate(list(psnr.values()))
    low, high = float(np.floor(values.min())), float(np.ceil(values.max()))
    # Square-root rule, bounded: a few INRs still make a shape, and a million no comb.
    num_bins = int(np.clip(np.sqrt(len(values)), 10, _MAX_BINS))
    # Equal values would make bins of no width.
    return np.linspace(low, max(high, low + 1.0), num_bins + 1)


def quality_figure(data: QualityData, heading: str = "") -> Figure:
    """Draw the histogram and cumulative share of PSNR by split, and the counts of statuses.

    INRs that reproduce their signal exactly have infinite PSNR; the title of the histogram counts
    them.
    """
    finite = {
        split: data.psnr_db[split][np.isfinite(data.psnr_db[split])]
        for split in SPLIT_COLOURS
        if split in data.psnr_db
    }
    # Without values there is no median for the legend.
    finite = {split: values for split, values in finite.items() if len(values)}
    num_infinite = sum(int(np.isposinf(values).sum()) for values in data.psnr_db.values())
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(4, 4, 3))
    tidy(left)
    tidy(middle)
    tidy(right, lines="x")
    if finite:
        _histogram(left, finite, db_edges(finite))
        _cumulative(middle, finite)
    else:
        for axes in (left, middle):
            axes.text(0.5, 0.5, "no PSNR was measured", ha="center", transform=axes.transAxes)
    if data.target_db is not None:
        for axes in (left, middle):
            axes.axvline(data.target_db, color=INK, linestyle="--", linewidth=1)
    _statuses(right, data.status_counts)
    left.set_title("PSNR of the stored weights", fontsize=10, color=INK)
    if num_infinite:
        left.set_title(f"PSNR; {num_infinite:,} exact INRs left out", fontsize=10, color=INK)
    middle.set_title("cumulative", fontsize=10, color=INK)
    right.set_title("status", fontsize=10, color=INK)
    set_heading(figure, heading)
    return figure
