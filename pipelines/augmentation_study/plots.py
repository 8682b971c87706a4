"""Figures of the study: rows beside the published ones, data size, and overfitting."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from inrgen.figures.style import INK, set_heading, tidy
from inrgen.training.result import EpochLog
from pipelines.augmentation_study.bootstrap import Interval

_OURS, _PUBLISHED, _OTHER = "#0072B2", "#E69F00", "#009E73"


@dataclass(frozen=True, kw_only=True, slots=True)
class Dot:
    """Row of a dot plot: our interval, and the published mean and spread if there is one."""

    name: str
    ours: Interval
    published: tuple[float, float] | None = None


def dot_figure(dots: Sequence[Dot], heading: str, floor: float) -> Figure:
    """Draw one line per row, with test accuracy along it; floor is the commonest class's share."""
    figure = Figure(figsize=(9, 1.4 + 0.27 * len(dots)), layout="constrained")
    axes = figure.subplots()
    for at, dot in enumerate(reversed(dots)):
        if dot.published is not None:
            mean, spread = dot.published
            axes.errorbar(mean, at, xerr=spread, fmt="D", color=_PUBLISHED, markersize=5)
        low, high = dot.ours.mean - dot.ours.low, dot.ours.high - dot.ours.mean
        axes.errorbar(dot.ours.mean, at, xerr=[[low], [high]], fmt="o", color=_OURS, markersize=6)
    axes.axvline(floor, color="#999999", linestyle=":", linewidth=1)
    axes.set_yticks(range(len(dots)), [dot.name for dot in reversed(dots)])
    axes.set_ylim(-0.7, len(dots) - 0.3)
    axes.set_xlabel("test accuracy (%)")
    handles = [
        axes.plot([], [], "o", color=_OURS, label="here, 95 % interval")[0],
        axes.plot([], [], ":", color="#999999", label="commonest class")[0],
    ]
    if any(dot.published for dot in dots):
        label = "published (55,000 images), spread over seeds"
        handles.insert(1, axes.plot([], [], "D", color=_PUBLISHED, label=label)[0])
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    tidy(axes)
    set_heading(figure, heading)
    return figure


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Accuracy against the number of training images."""

    name: str
    images: Sequence[int]
    ours: Sequence[Interval]


def size_figure(lines: Sequence[Line], heading: str) -> Figure:
    """Draw the data-size curve."""
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    for colour, line in zip((_PUBLISHED, _OURS, _OTHER), lines, strict=False):
        means = [share.mean for share in line.ours]
        axes.plot(line.images, means, "o-", color=colour, label=line.name)
        axes.fill_between(
            line.images,
            [share.low for share in line.ours],
            [share.high for share in line.ours],
            color=colour,
            alpha=0.15,
            linewidth=0,
        )
    axes.set_xscale("log")
    ticks = sorted({images for line in lines for images in line.images})
    axes.set_xticks(ticks, [f"{images:,}" for images in ticks])
    axes.minorticks_off()
    axes.set_xlabel("training images, one view each")
    axes.set_ylabel("test accuracy (%)")
    axes.legend(frameon=False, fontsize=9)
    tidy(axes)
    set_heading(figure, heading)
    return figure


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Losses of one run by epoch."""

    name: str
    history: Sequence[EpochLog]
    best_epoch: int


def overfitting_figure(curves: Sequence[Curve], heading: str) -> Figure:
    """Draw training and test loss of each run, side by side on one scale."""
    columns = min(3, len(curves))
    rows = math.ceil(len(curves) / columns)
    figure = Figure(figsize=(4.2 * columns, 3.2 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel().tolist()
    for axes, curve in zip(panels, curves, strict=False):
        _draw_curve(axes, curve)
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    panels[0].legend(frameon=False, fontsize=8)
    set_heading(figure, heading)
    return figure


def _draw_curve(axes: Axes, curve: Curve) -> None:
    epochs = [log.epoch + 1 for log in curve.history]
    axes.plot(epochs, [log.train_loss for log in curve.history], color=_OURS, label="training")
    axes.plot(epochs, [log.test_loss for log in curve.history], color=_PUBLISHED, label="test")
    axes.plot(
        epochs, [log.val_loss for log in curve.history], "--", color=_OTHER, label="validation"
    )
    axes.axvline(curve.best_epoch + 1, color=INK, linestyle=":", linewidth=1, label="kept")
    axes.set_title(curve.name, fontsize=9)
    axes.set_xlabel("epoch")
    axes.set_ylabel("cross-entropy")
    tidy(axes)
