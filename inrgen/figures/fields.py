"""Figures of sections: waves as lines; slices, frames and planes as pictures with arrows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from inrgen.core.spec import InrSpec
from inrgen.figures.pictures import as_intensity, bare
from inrgen.figures.signals import Section, drawn_coords
from inrgen.figures.style import INK, set_heading, tidy

_OUTPUT_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00")
_CELL_INCHES = 1.5
_MAX_COLUMNS = 6
# Arrows along a side of a vector field.
_ARROWS = 10


def waves_figure(spec: InrSpec, waves: Sequence[Section], heading: str = "") -> Figure:
    """Draw each wave as a panel: the signal in gray, the INR over it, and the error in black.

    Raises ValueError without waves.
    """
    if not waves:
        raise ValueError("waves needs at least one INR; got none")
    figure = Figure(figsize=(9.0, 1.6 * len(waves) + 0.8), layout="constrained")
    panels = figure.subplots(len(waves), 1, squeeze=False)[:, 0]
    for axes, wave in zip(panels, waves, strict=True):
        (along,) = wave.axes
        if wave.signal is not None:
            axes.plot(along, wave.signal, color="#bbbbbb", linewidth=3, label="signal")
        if wave.samples is not None:
            axes.plot(
                wave.samples.coords[:, 0],
                wave.samples.values,
                ".",
                color="#999999",
                markersize=3,
                label="signal",
            )
        for output in range(spec.d_out):
            name = "INR" if spec.d_out == 1 else f"INR, output {output}"
            colour = _OUTPUT_COLOURS[output % len(_OUTPUT_COLOURS)]
            axes.plot(along, wave.inr[:, output], color=colour, linewidth=1, label=name)
        if wave.signal is not None:
            # Thousands of samples become a band, in which the INR hides the signal.
            axes.plot(along, wave.inr - wave.signal, color=INK, linewidth=0.6, label="error")
        axes.set_title(wave.title.replace("\n", ", "), fontsize=9, color=INK, loc="left")
        axes.set_title(wave.caption, fontsize=9, color=INK, loc="right")
        tidy(axes)
    handles, names = panels[0].get_legend_handles_labels()
    # A signal of several outputs has a line, and so a name, for each.
    once = dict(zip(names, handles, strict=True))
    figure.legend(
        once.values(),
        once.keys(),
        loc="outside lower right",
        ncols=len(once),
        fontsize=8,
        frameon=False,
    )
    panels[-1].set_xlabel(spec.coord_order, fontsize=9, color=INK)
    set_heading(figure, heading)
    return figure


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """Colours of values: pictures as they are, others on one scale for the figure.

    Attributes:
        points_up: draw the vertical coordinate upwards, as for loose points, and not down the rows
            of a grid.
    """

    spec: InrSpec
    kind: Literal["picture", "vectors", "values"]
    scale: Normalize
    errors: Normalize
    points_up: bool

    @property
    def colours(self) -> str:
        if self.kind == "picture":
            return "gray"
        return "RdBu_r" if float(self.scale.vmin or 0) < 0 else "viridis"

    def single(self, values: Float[np.ndarray, "*p c"]) -> Float[np.ndarray, "*p"]:
        """A number for each point: the only output, or the norm of several."""
        return values[..., 0] if values.shape[-1] == 1 else np.linalg.norm(values, axis=-1)

    def shown(self, values: Float[np.ndarray, "*p c"]) -> Float[np.ndarray, "*q"]:
        """Values for colours: RGB, or a number for each point."""
        if self.kind == "picture" and values.shape[-1] == 3:
            return as_intensity(self.spec, values).clip(0, 1)
        return self.single(values)


def _error(values: np.ndarray, inr: np.ndarray) -> np.ndarray:
    """Mean absolute difference over the outputs."""
    return np.abs(values - inr).mean(axis=-1)


def _errors_of(part: Section) -> np.ndarray:
    if part.signal is not None:
        return _error(part.signal, part.inr).ravel()
    held = part.samples
    return np.zeros(0) if held is None else _error(held.values, held.inr)


def _find_look(spec: InrSpec, parts: Sequence[Section]) -> _Look:
    """The scales of a figure: the store's range of values, and the 99.5th percentile of errors."""
    low, high = spec.value_range
    kind = "values"
    if spec.value_kind == "intensity" and spec.d_out in (1, 3):
        kind = "picture"
    elif spec.d_out > 1:
        kind = "vectors" if spec.d_out == spec.d_in else "values"
        norms = [np.linalg.norm(part.inr, axis=-1).max() for part in parts]
        low, high = 0.0, float(max(norms)) or 1.0
    elif low < 0 < high:  # zero is white
        low, high = -max(-low, high), max(-low, high)
    errors = np.concatenate([_errors_of(part) for part in parts])
    most = max(float(np.quantile(errors, 0.995)), 1e-6) if len(errors) else 1.0
    return _Look(
        spec=spec,
        kind=kind,
        scale=Normalize(low, high),
        errors=Normalize(0.0, most),
        points_up=any(part.samples is not None for part in parts),
    )


def _extent(part: Section) -> tuple[float, float, float, float]:
    """Edges of a picture whose pixels' middles are the axes: left, right, bottom, top."""
    rows, columns = part.axes
    half = [(axis[1] - axis[0]) / 2 if len(axis) > 1 else 0.5 for axis in (columns, rows)]
    return (
        columns[0] - half[0],
        columns[-1] + half[0],
        rows[-1] + half[1],
        rows[0] - half[1],
    )


def _draw_plane(axes: Axes, look: _Look, part: Section, values: np.ndarray) -> None:
    """Draw values on the grid of a section, with arrows for vectors."""
    axes.imshow(
        look.shown(values),
        cmap=look.colours,
        norm=look.scale,
        extent=_extent(part),
        interpolation="nearest",
    )
    if look.kind != "vectors":
        return
    rows, columns = (slice(None, None, max(1, len(axis) // _ARROWS)) for axis in part.axes)
    across, down = drawn_coords(look.spec)
    some = values[rows, columns]
    # "xy" keeps arrows right where the vertical axis points down.
    axes.quiver(
        part.axes[1][columns],
        part.axes[0][rows],
        some[..., across],
        some[..., down],
        angles="xy",
        color="white",
        width=0.008,
        pivot="mid",
    )


def _draw_points(
    axes: Axes, part: Section, values: np.ndarray, norm: Normalize, colours: str
) -> None:
    """Draw a number at each point of a section, within the section's frame."""
    assert part.samples is not None, "only loose points are drawn alone"
    across, along = part.samples.coords.T
    axes.scatter(across, along, c=values, s=4, cmap=colours, norm=norm, linewidths=0)
    axes.set_aspect("equal")


def _draw_column(cells: dict[str, Axes], look: _Look, part: Section, label_rows: bool) -> None:
    """Draw the signal, INR and error of a section in the given cells."""
    _draw_plane(cells["INR"], look, part, part.inr)
    held = part.samples
    if part.signal is not None:
        _draw_plane(cells["signal"], look, part, part.signal)
        cells["error"].imshow(
            _error(part.signal, part.inr),
            norm=look.errors,
            cmap="magma_r",
            extent=_extent(part),
            interpolation="nearest",
        )
    elif held is not None:
        _draw_points(cells["signal"], part, look.shown(held.values), look.scale, look.colours)
        _draw_points(cells["error"], part, _error(held.values, held.inr), look.errors, "magma_r")
    left, right, bottom, top = _extent(part)
    for axes in cells.values():
        axes.set_xlim(left, right)
        axes.set_ylim(*((top, bottom) if look.points_up else (bottom, top)))
    first, *_, last = (*cells.values(), *cells.values())
    first.set_title(part.title, fontsize=8, color=INK)
    last.set_xlabel(part.caption, fontsize=9, color=INK)
    if label_rows:
        for kind, axes in cells.items():
            axes.set_ylabel(kind, fontsize=9, color=INK)


def _bands(inrs: Sequence[Sequence[Section]]) -> list[list[Section]]:
    """Sections side by side: the slices of one INR, or up to six planes."""
    if len(inrs[0]) > 1:
        return [list(parts) for parts in inrs]
    planes = [part for parts in inrs for part in parts]
    return [planes[at : at + _MAX_COLUMNS] for at in range(0, len(planes), _MAX_COLUMNS)]


def planes_figure(spec: InrSpec, inrs: Sequence[Sequence[Section]], heading: str = "") -> Figure:
    """Draw sections over two coordinates: signal, INR and error below each other.

    Intensities of one or three outputs are pictures. As many outputs as coordinates are arrows
    over their norm. Other values have colours, and several outputs the colour of their norm.
    Raises ValueError without INRs.
    """
    if not inrs:
        raise ValueError("inrs needs at least one INR; got none")
    bands = _bands(inrs)
    look = _find_look(spec, [part for band in bands for part in band])
    known = any(p.signal is not None or p.samples is not None for band in bands for p in band)
    kinds = ["signal", "INR", "error"] if known else ["INR"]
    num_rows, num_columns = len(bands) * len(kinds), max(map(len, bands))
    figure = Figure(
        figsize=(
            _CELL_INCHES * num_columns + 1.8,
            _CELL_INCHES * num_rows + 0.55 * len(bands) + 0.5,
        ),
        layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.02),
    )
    grid = figure.subplots(num_rows, num_columns, squeeze=False)
    for axes in grid.flat:
        bare(axes)
    for number, band in enumerate(bands):
        rows = grid[number * len(kinds) : (number + 1) * len(kinds)]
        for place, part in enumerate(band):
            cells = dict(zip(kinds, rows[:, place], strict=True))
            _draw_column(cells, look, part, label_rows=place == 0)
    shrink = min(1.0, 3 / num_rows)
    bars = [("absolute error", look.errors, "magma_r")] if known else []
    if look.kind != "picture":
        what = f"norm of {spec.d_out} outputs" if spec.d_out > 1 else "value"
        bars.append((what, look.scale, look.colours))
    for label, scale, colours in bars:
        bar = figure.colorbar(ScalarMappable(scale, colours), ax=grid, shrink=shrink, aspect=25)
        bar.set_label(label, fontsize=9, color=INK)
        bar.ax.tick_params(labelsize=8)
    set_heading(figure, "; ".join(filter(None, [heading, _directions(look)])))
    return figure


def _directions(look: _Look) -> str:
    """Describe the directions of the coordinates in words."""
    order = look.spec.coord_order
    across, down = (order[at] for at in drawn_coords(look.spec))
    towards = "up" if look.points_up else "down"
    ways = f"{across} to the right, {down} {towards}"
    if look.spec.d_in == 4:
        return f"slices along {order[0]} in the middle of {order[1]}: {ways}"
    parts = "frames" if order[0] == "t" else "slices"
    return f"{parts} along {order[0]}: {ways}" if look.spec.d_in == 3 else ways
