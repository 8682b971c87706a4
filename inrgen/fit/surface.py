"""The surface that an INR of a shape stands for."""

import numpy as np
import torch
from jaxtyping import Float
from skimage.measure import marching_cubes
from torch import Tensor

from inrgen.core.grid import grid_coords
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import SOLID_KINDS, InrSpec
from inrgen.sources.mesh import Mesh

# Activations held at once: 32 MB.
_ACTIVATIONS_AT_ONCE = 8_000_000


def _grid_points(axis: Float[Tensor, " r"], rows: range) -> Float[Tensor, "n 3"]:
    """Some rows of grid_coords(spec, (r, r, r)), which all at once are too many for a large r.

    axis: the coordinates along a side, the same for all three; the order is always "xyz".
    """
    numbers, side = torch.arange(rows.start, rows.stop), len(axis)
    places = numbers // side**2, numbers // side % side, numbers % side
    return torch.stack([axis[place] for place in places], dim=-1)


def grid_values(spec: InrSpec, params: Params, resolution: int) -> Float[np.ndarray, "r r r"]:
    """The values of one INR on a cubic grid over its coordinate range, in float32."""
    if spec.d_in != 3 or spec.d_out != 1 or len(params) != 1:
        raise ValueError(
            f"a surface needs one INR of 3 inputs and 1 output; got {spec.architecture}"
        )
    axis = grid_coords(spec, (resolution, 1, 1))[:, 0]
    values = torch.empty(resolution**3)
    rows, step = range(len(values)), max(1, _ACTIVATIONS_AT_ONCE // max(spec.widths))
    for start in rows[::step]:
        some = rows[start : start + step]
        points = _grid_points(axis, some)
        values[some.start : some.stop] = evaluate(spec, params, points)[0, :, 0]
    return values.numpy().reshape(resolution, resolution, resolution)


def signed_field(spec: InrSpec, values: Float[np.ndarray, "r r r"]) -> Float[np.ndarray, "r r r"]:
    """An INR's values on a cubic grid as a field that is negative inside and 0 on the surface.

    An unsigned distance only touches 0, so its surface is drawn as a shell one step of the grid
    away on either side. Occupancy is a half there.
    """
    if spec.value_kind not in SOLID_KINDS:
        raise ValueError(
            f"a surface needs distances or occupancy; {spec.spec_id} holds {spec.value_kind}"
        )
    if spec.value_kind == "occupancy":
        return 0.5 - values
    if spec.value_kind == "unsigned_distance":
        return values - _step(spec, values)
    return values


def _step(spec: InrSpec, values: Float[np.ndarray, "r r r"]) -> float:
    """How far apart the points of a cubic grid are."""
    return (spec.coord_range[1] - spec.coord_range[0]) / (values.shape[0] - 1)


def zero_set(spec: InrSpec, field: Float[np.ndarray, "r r r"]) -> Mesh | None:
    """The surface at which a signed field on a grid is 0, by marching cubes (Lewiner's).

    In the INR's coordinates, faces counter-clockwise as seen from where the field is positive. None
    where it has one sign throughout. A surface that leaves the grid is left open.
    """
    if not (field.min() < 0 < field.max()):
        return None
    step = _step(spec, field)
    vertices, faces, _, _ = marching_cubes(field, 0.0, spacing=(step,) * 3, method="lewiner")
    low = spec.coord_range[0]
    return Mesh(vertices=vertices.astype(np.float64) + low, faces=faces.astype(np.int64))
