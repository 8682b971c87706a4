"""From a mesh's file to the signal that INRs are fitted to."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool

from inrgen.core.rng import fold, hash_items, keys
from inrgen.sources.base import Signal
from inrgen.sources.mending import mend, weld
from inrgen.sources.mesh import Mesh, place
from inrgen.sources.mesh_files import read_mesh
from inrgen.sources.shape_check import ShapeCheck
from inrgen.sources.shape_config import ShapeConfig
from inrgen.sources.shape_samples import draw_near, draw_points, measure
from inrgen.sources.signed_distance import inside

# The grid on which insides are compared, and how many points near the surface are looked at.
CHECK_GRID = 64
_CHECK_POINTS = 5000


def _inside_grid(mesh: Mesh) -> Bool[np.ndarray, "r r r"]:
    axis = np.linspace(-1.0, 1.0, CHECK_GRID)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    return inside(mesh, points.reshape(-1, 3)).reshape(points.shape[:3])


def prepare(path: Path, item_id: str, config: ShapeConfig) -> Signal:
    """Read, weld, place, mend, sample and measure one mesh.

    Points depend on the mesh, the config and the item's id alone. Raises BadSignal for a file that
    holds no usable mesh.
    """
    welded = weld(read_mesh(path, config.max_faces))
    placement = place(welded, config.fill, config.margin)
    surface = mend(placement.into(welded))
    mesh, key = surface.mesh, keys(config.sample_seed, "shape", hash_items([item_id]))
    points = draw_points(mesh, config, key)
    near = draw_near(mesh, np.repeat(config.near_widths, _CHECK_POINTS // 2), fold(key, 3))
    if config.sign == "none":
        sign, grid = "none", np.zeros((CHECK_GRID,) * 3, dtype=bool)
    else:
        sign = "winding number (closed)" if surface.is_closed else "winding number"
        grid = _inside_grid(mesh)
    check = ShapeCheck(
        mesh=mesh,
        placement=placement,
        sign=sign,
        sign_trust=surface.sign_trust,
        near_points=near,
        near_values=measure(mesh, config, near),
        inside=grid,
    )
    return Signal(
        values=torch.from_numpy(measure(mesh, config, points)).float()[:, None],
        coords=torch.from_numpy(points).float(),
        check=check,
    )
