"""Figures of a training run: losses over epochs, and the confusion of classes."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from inrgen.figures.style import INK, SPLIT_COLOURS, set_heading, tidy


def loss_figure(
    losses: Mapping[str, Sequence[float]], best_epoch: int, heading: str = ""
) -> Figure:
    """Draw the losses of each split over epochs, and mark the epoch that was kept.

    Args:
        losses: for each split, one number an epoch; NaN is left out.
        best_epoch: counted from 0; negative for none.
    """
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for split, values in losses.items():
        if any(value == value for value in values):
            axes.plot(
                range(1, len(values) + 1),
                values,
                color=SPLIT_COLOURS[split],
                marker="o" if len(values) < 20 else "",
                markersize=4,
                label=split,
            )
    if best_epoch >= 0:
        axes.axvline(best_epoch + 1, color=INK, linestyle=":", linewidth=1, label="kept epoch")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(axes)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)
    set_heading(figure, heading)
    return figure


def confusion_figure(
    confusion: Sequence[Sequence[int]], classes: Sequence[str], heading: str = ""
) -> Figure:
    """Draw the share of each class's rows that were predicted as each class.

    Counts are written into the cells of up to 15 classes.

    Args:
        confusion: confusion[t][p] counts the rows of class t that were predicted as class p.
    """
    num = len(classes)
    if not num or any(len(row) != num for row in confusion) or len(confusion) != num:
        raise ValueError(f"confusion needs {num} by {num} counts; got {len(confusion)} rows")
    # A class without test rows has a row of zeros.
    shares = [[count / max(sum(row), 1) for count in row] for row in confusion]
    # More classes than 30 get smaller cells, not a larger figure.
    side = max(4.0, 1.8 + 0.42 * min(num, 30))
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if num <= 15:
        for true, row in enumerate(confusion):
            for predicted, count in enumerate(row):
                dark = shares[true][predicted] > 0.5
                axes.text(
                    predicted,
                    true,
                    str(count),
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if dark else INK,
                )
    if num <= 40:
        # Beyond 40 classes the names would overlap.
        axes.set_xticks(range(num), classes, rotation=60, ha="right", fontsize=8)
        axes.set_yticks(range(num), classes, fontsize=8)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.spines[:].set_visible(False)
    figure.colorbar(picture, ax=axes, shrink=0.8, label="share of the true class")
    set_heading(figure, heading)
    return figure
