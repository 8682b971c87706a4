"""Stores and runs as notebooks show them: facts as a table, and a few of the networks drawn.

Names come from data, so every text is escaped here and nowhere else.
"""

import base64
import html
import io
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image

from inrgen.core.geometry import grid_coords
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec

_SIDE = 56


def facts_html(title: str, facts: Mapping[str, object], below: str = "") -> str:
    """A titled table of facts as HTML; below is markup, and all else is text."""
    rows = "".join(
        f'<tr><th style="text-align:left">{html.escape(name)}</th>'
        f'<td style="text-align:left">{html.escape(str(value))}</td></tr>'
        for name, value in facts.items()
    )
    return f"<div><b>{html.escape(title)}</b><table>{rows}</table>{below}</div>"


def pictures_html(spec: InrSpec, params: Params, grids: Sequence[tuple[int, ...]]) -> str:
    """INRs of pictures drawn as one strip, finer than their grids; "" for other signals."""
    if spec.d_in != 2 or spec.d_out not in (1, 3) or spec.value_kind != "intensity" or not grids:
        return ""
    strip = Image.new("RGB", (len(grids) * (_SIDE + 4), _SIDE), "white")
    for place, grid in enumerate(grids):
        sides = tuple(max(1, round(_SIDE * side / max(grid))) for side in grid)
        values = evaluate(spec, params[[place]], grid_coords(spec, sides))[0].reshape(*sides, -1)
        shares = (values - spec.value_range[0]) / spec.value_width
        levels = (torch.clamp(shares, 0, 1) * 255).round().numpy().astype(np.uint8)
        picture = Image.fromarray(levels.squeeze(-1) if spec.d_out == 1 else levels)
        strip.paste(picture.convert("RGB"), (place * (_SIDE + 4), 0))
    held = io.BytesIO()
    strip.save(held, "png", optimize=True)
    data = base64.b64encode(held.getvalue()).decode()
    return f'<img alt="the first INRs, evaluated" src="data:image/png;base64,{data}">'
