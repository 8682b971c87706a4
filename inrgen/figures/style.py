"""The common look of all figures, and their files."""

import textwrap
from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

# Okabe and Ito's colours, which colour-blind readers can tell apart.
SPLIT_COLOURS = {"train": "#0072B2", "val": "#E69F00", "test": "#009E73"}
STATUS_COLOURS = {
    "ok": "#009E73",
    "below_target": "#E69F00",
    "non_finite": "#D55E00",
    "bad_input": "#999999",
}
INK = "#333333"


def tidy(axes: Axes, lines: Literal["both", "x", "y"] = "both") -> None:
    """Remove the upper and right side of the frame, and draw a faint grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=lines, color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)


def set_heading(figure: Figure, heading: str) -> None:
    """Set the heading of a figure, wrapped to its width."""
    num_characters = int(11 * figure.get_figwidth())
    figure.suptitle(textwrap.fill(heading, num_characters), fontsize=11, color=INK)


def save_figure(figure: Figure, out: str | Path) -> Path:
    """Write a figure as png, pdf or svg, by its suffix, and return the path.

    Figures are made without pyplot, so this needs no display and leaves no global state.
    """
    path = Path(out)
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise ValueError(f"out must end in .png, .pdf or .svg; got {str(out)!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    for text in figure.findobj(Text):
        # Names of classes and items may hold dollar signs, which would begin a formula.
        text.set_parse_math(False)  # pyright: ignore[reportAttributeAccessIssue]
    figure.savefig(path, dpi=150)
    return path
