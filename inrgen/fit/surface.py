"""The surface that an INR of distances stands for."""

import numpy as np
import torch
from jaxtyping import Float
from skimage.measure import marching_cubes

from inrgen.core.grid import grid_coords
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec
from inrgen.sources.mesh import Mesh

# Activations held at once: 32 MB.
_ACTIVATIONS_AT_ONCE = 8_000_000


def grid_values(spec: InrSpec, params: Params, resolution: int) -> Float[np.ndarray, "r r r"]:
    """The values of one INR on a cubic grid over its coordinate range, in float32."""
    if spec.d_in != 3 or spec.d_out != 1 or len(params) != 1:
        raise ValueError(f"a surface needs one INR of 3 inputs and 1 output; got {spec.job}")
    coords = grid_coords(spec, (resolution,) * 3)
    some = coords.split(max(1, _ACTIVATIONS_AT_ONCE // max(spec.widths)))
    values = torch.cat([evaluate(spec, params, part)[0, :, 0] for part in some])
    return values.numpy().reshape(resolution, resolution, resolution)


def level_set(spec: InrSpec, values: Float[np.ndarray, "r r r"], level: float = 0.0) -> Mesh | None:
    """The surface at which values on a grid cross a level, by marching cubes (Lewiner's).

    In the INR's coordinates, faces counter-clockwise as seen from where values are greater. None
    where values lie all on one side of the level. A surface that leaves the grid is left open.
    """
    if not (values.min() < level < values.max()):
        return None
    low, high = spec.coord_range
    step = (high - low) / (values.shape[0] - 1)
    vertices, faces, _, _ = marching_cubes(values, level, spacing=(step,) * 3, method="lewiner")
    return Mesh(vertices=vertices.astype(np.float64) + low, faces=faces.astype(np.int64))


def surface_level(spec: InrSpec, resolution: int) -> float:
    """The value that stands for the surface: 0, or what an unsigned distance can still show.

    An unsigned distance only touches 0, so its surface is drawn as a shell one step of the grid
    away on either side.
    """
    if spec.value_kind not in ("signed_distance", "truncated_distance", "unsigned_distance"):
        raise ValueError(f"a surface needs distances; {spec.spec_id} holds {spec.value_kind}")
    step = (spec.coord_range[1] - spec.coord_range[0]) / (resolution - 1)
    return step if spec.value_kind == "unsigned_distance" else 0.0
