"""Recipes compared: accuracy of classifiers against quality, and against time to fit."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from inrgen.figures.style import INK, set_heading, tidy

# Okabe and Ito's colours, without the yellow that is faint on white; they repeat after six.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
_MARKERS = ("o", "s", "^", "D")
MOST_CLASSIFIERS = len(_MARKERS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A measured value, and the ends of the bar drawn through it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TradePoint:
    """A recipe: seconds for 10,000 INRs, quality of reconstruction, and accuracies in %."""

    name: str
    seconds: float
    quality: Measured
    accuracy: dict[str, Measured]


def _bars(figure: Measured) -> list[list[float]]:
    """Distances from the value down and up to the ends of its bar, in errorbar's form."""
    return [[figure.value - figure.low], [figure.high - figure.value]]


def _draw(axes: Axes, points: Sequence[TradePoint], classifiers: list[str], against: str) -> None:
    """Draw a panel; with more recipes than colours, points carry the number of their recipe."""
    for number, point in enumerate(points):
        by_quality = against == "quality"
        x = point.quality.value if by_quality else point.seconds
        for marker, classifier in zip(_MARKERS, classifiers, strict=False):
            share = point.accuracy[classifier]
            axes.errorbar(
                x,
                share.value,
                xerr=_bars(point.quality) if by_quality else None,
                yerr=_bars(share),
                color=_COLOURS[number % len(_COLOURS)],
                marker=marker,
                markersize=7,
                linewidth=1,
                alpha=0.9,
            )
            if len(points) > len(_COLOURS):
                axes.annotate(
                    str(number + 1),
                    (x, share.value),
                    xytext=(5, 5),
                    textcoords="offset points",
                    fontsize=8,
                    color=INK,
                )
    tidy(axes)


def _named(points: Sequence[TradePoint]) -> list[str]:
    """Names for the legend, numbered if there are more recipes than colours."""
    if len(points) <= len(_COLOURS):
        return [point.name for point in points]
    return [f"{number + 1}  {point.name}" for number, point in enumerate(points)]


def trade_figure(
    points: Sequence[TradePoint],
    heading: str = "",
    quality: str = "PSNR (dB): mean, 5th to 95th percentile",
) -> Figure:
    """Draw accuracy against quality, and against seconds; colours are recipes, markers classifiers.

    Args:
        quality: label of the quality axis.

    Raises ValueError unless all recipes were measured by the same classifiers, at most
    MOST_CLASSIFIERS.
    """
    classifiers = list(points[0].accuracy) if points else []
    if not 1 <= len(classifiers) <= MOST_CLASSIFIERS or any(
        list(point.accuracy) != classifiers for point in points
    ):
        raise ValueError(
            f"points need the same 1 to {MOST_CLASSIFIERS} classifiers each; "
            f"got {[list(point.accuracy) for point in points]}"
        )
    figure = Figure(figsize=(12, 4.6 + 0.2 * max(0, len(points) // 3 - 2)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _draw(left, points, classifiers, "quality")
    _draw(right, points, classifiers, "seconds")
    left.set_ylabel("test accuracy (%)")
    left.set_xlabel(quality)
    right.set_xlabel("seconds to fit 10,000 INRs")
    # Seconds start at zero, or a recipe twice as slow would look ten times as slow.
    right.set_xlim(left=0)
    recipes = [
        Line2D([], [], color=_COLOURS[number % len(_COLOURS)], linewidth=3, label=name)
        for number, name in enumerate(_named(points))
    ]
    # Colours alone would not tell recipe and classifier apart.
    markers = [
        Line2D([], [], color=INK, marker=marker, linestyle="", label=classifier)
        for marker, classifier in zip(_MARKERS, classifiers, strict=False)
    ]
    figure.legend(
        handles=[*recipes, *markers], loc="outside lower center", ncols=3, fontsize=9, frameon=False
    )
    set_heading(figure, heading)
    return figure
