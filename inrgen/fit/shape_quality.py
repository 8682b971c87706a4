"""How well an INR stands for its shape."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from inrgen.core.metrics import iou
from inrgen.core.params import Params
from inrgen.core.rng import hash_items
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec
from inrgen.fit.surface import grid_values, signed_field, zero_set
from inrgen.sources.mesh import Mesh
from inrgen.sources.shape_check import ShapeCheck
from inrgen.sources.signed_distance import distance
from inrgen.sources.surface_points import draw_on_surface

_CHAMFER_POINTS = 5000


@dataclass(frozen=True, kw_only=True, slots=True)
class ShapeQuality:
    """What a record says of a fit to a shape; by default, of a fit to anything else.

    Named and meant as in store.records.FitRecord.
    """

    iou: float = math.nan
    near_error: float = math.nan
    chamfer: float = math.nan
    sign_method: str = ""
    sign_trust: float = math.nan
    center: tuple[float, ...] = ()
    scale: float = math.nan


def chamfer(a: Mesh, b: Mesh) -> float:
    """Mean distance from each of two surfaces to the other, averaged over both ways.

    From points spread over one to the triangles of the other, so that equal surfaces are exactly 0
    apart, which points against points are not. In coordinate units.
    """
    key = hash_items(["chamfer"])
    to_b = distance(b, draw_on_surface(a, key, _CHAMFER_POINTS)[0]).mean()
    to_a = distance(a, draw_on_surface(b, key, _CHAMFER_POINTS)[0]).mean()
    return float((to_a + to_b) / 2)


def measure_shape(spec: InrSpec, params: Params, check: ShapeCheck) -> ShapeQuality:
    """Compare one INR with the mesh that it was fitted to, at points that the fit has not seen.

    IoU is that of the insides on a grid over the whole cube, and Chamfer distance to the surface of
    marching cubes on the same grid; an unsigned distance has no inside, so both are NaN.
    """
    near = evaluate(spec, params, torch.from_numpy(check.near_points).float())[0, :, 0].numpy()
    overlap, apart = math.nan, math.nan
    if spec.value_kind != "unsigned_distance":
        field = signed_field(spec, grid_values(spec, params, len(check.inside)))
        truth = torch.from_numpy(np.where(check.inside, -1.0, 1.0)).float().reshape(1, -1)
        overlap = float(iou(torch.from_numpy(field).reshape(1, -1), truth)[0])
        found = zero_set(spec, field)
        if found is not None:
            apart = chamfer(found, check.mesh) / check.mesh.diagonal
    return ShapeQuality(
        iou=overlap,
        near_error=float(np.abs(near - check.near_values).mean()),
        chamfer=apart,
        sign_method=check.sign,
        sign_trust=check.sign_trust,
        center=check.placement.center,
        scale=check.placement.scale,
    )
