"""INRs halfway between two views of a picture in weights, before and after alignment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from inrgen.core.config import Kind, thorough
from inrgen.core.geometry import grid_coords
from inrgen.core.matching import match
from inrgen.core.mixing import mix
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec
from inrgen.figures.pictures import as_intensity, bare, show_picture
from inrgen.figures.style import INK, set_heading

_CELL_INCHES = 1.25


@dataclass(frozen=True, kw_only=True, slots=True)
class MidpointColumn:
    """Named pictures of one pair, with values in [0, 1], from top to bottom."""

    title: str
    pictures: Mapping[str, Float[np.ndarray, "rows columns c"]]


def midpoint_pictures(
    spec: InrSpec, first: Params, second: Params, grid: tuple[int, int], kinds: Sequence[Kind]
) -> dict[str, Float[np.ndarray, "b rows columns c"]]:
    """Evaluate both views of each pair, and the INR halfway before and after each matching.

    Halfway is the mean of the weights, which MixUp makes with equal shares.
    """
    shown = {"one view": first, "another view": second, "halfway": _halfway(first, second)}
    for kind in kinds:
        # The thorough search, because a picture of a poor matching would blame the method.
        aligned = match(spec, first, second, thorough(kind)).aligned
        shown[f"halfway,\n{kind}"] = _halfway(first, aligned)
    return {name: _drawn(spec, params, grid) for name, params in shown.items()}


def _halfway(first: Params, second: Params) -> Params:
    return mix(first, second, first.flat().new_full((len(first),), 0.5))


def _drawn(
    spec: InrSpec, params: Params, grid: tuple[int, int]
) -> Float[np.ndarray, "b rows columns c"]:
    values = evaluate(spec, params, grid_coords(spec, grid)).numpy()
    return as_intensity(spec, values.reshape(len(params), *grid, spec.d_out))


def midpoints_figure(columns: Sequence[MidpointColumn], heading: str = "") -> Figure:
    """Draw a column for each pair, all with the same rows. Raises ValueError without pairs."""
    if not columns:
        raise ValueError("columns needs at least one pair; got none")
    names = list(columns[0].pictures)
    figure = Figure(
        figsize=(_CELL_INCHES * len(columns) + 1.0, _CELL_INCHES * len(names) + 0.8),
        layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.02),
    )
    grid = figure.subplots(len(names), len(columns), squeeze=False)
    for place, column in enumerate(columns):
        for axes, name in zip(grid[:, place], names, strict=True):
            bare(axes)
            show_picture(axes, column.pictures[name])
            if place == 0:
                axes.set_ylabel(name, fontsize=9, color=INK)
        grid[0, place].set_title(column.title, fontsize=8, color=INK)
    set_heading(figure, heading)
    return figure
