"""Coordinates of the samples of a regular grid, in a spec's own convention."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.core.spec import InrSpec

_SIDE = 28


def noted_grid(spec: InrSpec, noted: Sequence[int]) -> tuple[int, ...]:
    """The sides of a signal as a record notes them; 28 each where it does not, as of imports."""
    return tuple(noted) or (_SIDE,) * spec.d_in


def grid_coords(
    spec: InrSpec, shape: tuple[int, ...], dtype: torch.dtype = torch.float32
) -> Float[Tensor, "n d_in"]:
    """The points of a grid of (rows, columns), or (nx, ny, nz), or (n,), row-major.

    The longest side spans coord_range with its ends included; shorter sides are centred and keep
    the same spacing, so pixels are square and a rotation of coordinates is one of the picture.
    Worked out in float64, then rounded once.
    """
    if len(shape) != spec.d_in or min(shape) < 1:
        raise ValueError(
            f"shape needs {spec.d_in} positive sides for {spec.architecture}; got {shape}"
        )
    low, high = spec.coord_range
    spacing = (high - low) / max(max(shape) - 1, 1)
    axes = [
        (low + high) / 2 + (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) * spacing
        for side in shape
    ]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)
    if spec.coord_order == "xy":
        points = points.flip(-1)
    return points.to(dtype)
