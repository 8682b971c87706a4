"""Originals beside the reconstructions of their INRs, with the error of each pixel."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from inrgen.core.spec import InrSpec
from inrgen.figures.style import INK, set_heading

_CELL_INCHES = 1.35
_MAX_COLUMNS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class PicturePair:
    """A reconstruction and its original, if available; values are in [0, 1].

    Attributes:
        title: text above, such as the item's id.
        caption: text below, such as a PSNR.
    """

    reconstruction: Float[np.ndarray, "rows columns c"]
    original: Float[np.ndarray, "rows columns c"] | None
    title: str
    caption: str


def as_intensity(spec: InrSpec, values: np.ndarray) -> np.ndarray:
    """Map values in the spec's range to intensities in [0, 1]."""
    return ((values - spec.value_range[0]) / spec.value_width).astype(np.float32)


def error_picture(pair: PicturePair) -> Float[np.ndarray, "rows columns"]:
    """Mean absolute difference of each pixel over its channels, unclipped."""
    assert pair.original is not None, "there is no error without an original"
    return np.abs(pair.reconstruction - pair.original).mean(axis=2)


def show_picture(axes: Axes, values: Float[np.ndarray, "rows columns c"]) -> None:
    """Show a gray or coloured picture; values outside [0, 1] are clipped for display."""
    shown = np.clip(values, 0.0, 1.0)
    axes.imshow(
        shown[:, :, 0] if shown.shape[2] == 1 else shown,
        cmap="gray",
        vmin=0,
        vmax=1,
        interpolation="nearest",
    )


def bare(axes: Axes) -> None:
    """Remove ticks and frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def error_scale(pairs: Sequence[PicturePair]) -> float:
    """The error drawn darkest in every picture: the 99.5th percentile over all pixels."""
    errors = [error_picture(pair).ravel() for pair in pairs if pair.original is not None]
    # A quantile, because one wrong pixel would make all other errors look like none.
    return max(float(np.quantile(np.concatenate(errors), 0.995)), 1e-6) if errors else 1.0


def reconstructions_figure(pairs: Sequence[PicturePair], heading: str = "") -> Figure:
    """Draw a column for each picture: original, reconstruction and error; twelve columns a band.

    Errors share one scale, drawn beside them. Without any original, only reconstructions are drawn.
    Raises ValueError without pictures.
    """
    if not pairs:
        raise ValueError("pairs needs at least one picture; got none")
    kinds = ["original", "reconstruction", "error"]
    if all(pair.original is None for pair in pairs):
        kinds = ["reconstruction"]
    num_columns = min(len(pairs), _MAX_COLUMNS)
    num_bands = -(-len(pairs) // num_columns)
    num_rows = num_bands * len(kinds)
    # Titles and captions need extra height in each band.
    height = _CELL_INCHES * num_rows + 0.55 * num_bands + 0.5
    figure = Figure(
        figsize=(_CELL_INCHES * num_columns + 1.5, height),
        layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.02),
    )
    grid = figure.subplots(num_rows, num_columns, squeeze=False)
    scale = Normalize(0.0, error_scale(pairs))
    for axes in grid.flat:
        bare(axes)
    for place, pair in enumerate(pairs):
        band, column = divmod(place, num_columns)
        cells = grid[band * len(kinds) : (band + 1) * len(kinds), column]
        _draw_column(dict(zip(kinds, cells, strict=True)), pair, scale, label_rows=column == 0)
    if "error" in kinds:
        colours = figure.colorbar(
            ScalarMappable(scale, "magma_r"), ax=grid, shrink=min(1.0, 3 / num_rows), aspect=25
        )
        colours.set_label("absolute error (intensity, 0 to 1)", fontsize=9, color=INK)
        colours.ax.tick_params(labelsize=8)
    set_heading(figure, heading)
    return figure


def _draw_column(
    cells: dict[str, Axes], pair: PicturePair, scale: Normalize, label_rows: bool
) -> None:
    """Draw the original, reconstruction and error of a picture in the given cells.

    Each lies in the middle of a square of its longer side, so that pictures of mixed sizes line up.
    """
    show_picture(cells["reconstruction"], pair.reconstruction)
    if pair.original is not None:
        show_picture(cells["original"], pair.original)
        cells["error"].imshow(
            error_picture(pair), norm=scale, cmap="magma_r", interpolation="nearest"
        )
    rows, columns, _ = pair.reconstruction.shape
    side = max(rows, columns)
    for axes in cells.values():
        axes.set_xlim((columns - side - 1) / 2, (columns + side - 1) / 2)
        axes.set_ylim((rows + side - 1) / 2, (rows - side - 1) / 2)
    # Doubled, so that a column of one cell is first and last at once.
    first, *_, last = (*cells.values(), *cells.values())
    first.set_title(pair.title, fontsize=8, color=INK)
    last.set_xlabel(pair.caption, fontsize=9, color=INK)
    if label_rows:
        for kind, axes in cells.items():
            axes.set_ylabel(kind, fontsize=9, color=INK)
