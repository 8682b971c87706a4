"""Surfaces of INRs of shapes: extraction by marching cubes, and their distance from a mesh."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from skimage.measure import marching_cubes
from torch import Tensor

from inrgen.core.geometry import grid_coords
from inrgen.core.metrics import iou
from inrgen.core.params import Params
from inrgen.core.rng import hash_items
from inrgen.core.siren import evaluate
from inrgen.core.spec import SOLID_KINDS, InrSpec
from inrgen.sources.mesh import Mesh, Placement, ShapeReference
from inrgen.sources.shape_points import draw_on_surface
from inrgen.sources.signed_distance import distance
from inrgen.store.queries import read_usable_records
from inrgen.store.reader import Store

# 32 MB of activations at a time.
_ACTIVATIONS_AT_ONCE = 8_000_000
_CHAMFER_POINTS = 5000


def _grid_points(axis: Float[Tensor, " r"], rows: range) -> Float[Tensor, "n 3"]:
    """Some rows of grid_coords(spec, (r, r, r)); for a large r all of them do not fit in memory.

    axis: the coordinates along a side, the same for all three; the order is always "xyz".
    """
    numbers, side = torch.arange(rows.start, rows.stop), len(axis)
    places = numbers // side**2, numbers // side % side, numbers % side
    return torch.stack([axis[place] for place in places], dim=-1)


def grid_values(spec: InrSpec, params: Params, resolution: int) -> Float[np.ndarray, "r r r"]:
    """The values of one INR on a cubic grid over its coordinate range, in float32."""
    if spec.d_in != 3 or spec.d_out != 1 or len(params) != 1:
        hint = "; render draws images as .png files" if spec.d_in == 2 else ""
        raise ValueError(
            f"a surface needs one INR of 3 inputs and 1 output; got {spec.architecture}{hint}"
        )
    # A thin grid gives one axis: at 1,024 points a side the whole grid takes 13 GB.
    axis = grid_coords(spec, (resolution, 1, 1))[:, 0]
    values = torch.empty(resolution**3)
    rows, step = range(len(values)), max(1, _ACTIVATIONS_AT_ONCE // max(spec.widths))
    for start in rows[::step]:
        some = rows[start : start + step]
        points = _grid_points(axis, some)
        values[some.start : some.stop] = evaluate(spec, params, points)[0, :, 0]
    return values.numpy().reshape(resolution, resolution, resolution)


def signed_field(spec: InrSpec, values: Float[np.ndarray, "r r r"]) -> Float[np.ndarray, "r r r"]:
    """Turn an INR's values on a cubic grid into a field: negative inside, 0 on the surface.

    An unsigned distance only touches 0, so its surface becomes a shell one grid step away on
    either side. Occupancy is one half on the surface.
    """
    if spec.value_kind not in SOLID_KINDS:
        raise ValueError(
            f"a surface needs distances or occupancy; {spec.spec_id} holds {spec.value_kind}"
        )
    if spec.value_kind == "occupancy":
        return 0.5 - values
    if spec.value_kind == "unsigned_distance":
        return values - grid_step(spec, values)
    return values


def grid_step(spec: InrSpec, values: Float[np.ndarray, "r r r"]) -> float:
    """Distance between neighbours on a cubic grid of values, in coordinate units."""
    return (spec.coord_range[1] - spec.coord_range[0]) / (values.shape[0] - 1)


def zero_set(spec: InrSpec, field: Float[np.ndarray, "r r r"]) -> Mesh | None:
    """The surface at which a signed field on a grid is 0, by Lewiner's marching cubes.

    The mesh is in the INR's coordinates; its faces turn counter-clockwise as seen from the
    positive side. A surface that leaves the grid stays open. None if the field has one sign.
    """
    # marching_cubes raises for a field without a crossing.
    if not (field.min() < 0 < field.max()):
        return None
    step = grid_step(spec, field)
    vertices, faces, _, _ = marching_cubes(field, 0.0, spacing=(step,) * 3, method="lewiner")
    low = spec.coord_range[0]
    return Mesh(vertices=vertices.astype(np.float64) + low, faces=faces.astype(np.int64))


@dataclass(frozen=True, kw_only=True, slots=True)
class RowSurface:
    """The surface of one row of a store; in_file_coordinates says which coordinates it has."""

    item_id: str
    view: int
    mesh: Mesh
    in_file_coordinates: bool


def extract_surface(
    store: Store, row: int, resolution: int, spec_id: str | None = None, placed: bool = False
) -> RowSurface:
    """Evaluate one row on a grid and find its surface.

    Args:
        spec_id: one of the store's specs; None takes its only one.
        placed: keep the INR's coordinates; otherwise the surface moves back to where the fitted
            mesh lay in its file.

    Raises ValueError when the store has no such spec, it holds neither distances nor occupancy
    over three coordinates, the row has no weights, or its values have no surface.
    """
    if spec_id is not None and spec_id not in store.specs:
        raise ValueError(f"spec must be one of {', '.join(store.specs)}; got {spec_id!r}")
    spec = store.specs[spec_id] if spec_id else store.spec
    columns = ["item_id", "view", "center", "scale"]
    (record,) = read_usable_records(store, [row], spec.spec_id, columns)
    values = grid_values(spec, store.read([row], spec.spec_id), resolution)
    mesh = zero_set(spec, signed_field(spec, values))
    if mesh is None:
        raise ValueError(f"row {row} has no surface: all its values are on one side of it")
    # Records of other sources than meshes have no placement.
    move_back = not placed and len(record["center"]) == 3
    if move_back:
        x, y, z = record["center"]
        mesh = Placement(center=(x, y, z), scale=record["scale"]).to_file(mesh)
    return RowSurface(
        item_id=record["item_id"],
        view=record["view"],
        mesh=mesh,
        in_file_coordinates=move_back,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ShapeQuality:
    """Record fields that describe a fit to a shape; the defaults are for all other fits.

    store.records.FitRecord documents the fields.
    """

    iou: float = math.nan
    near_error: float = math.nan
    chamfer: float = math.nan
    sign_method: str = ""
    sign_trust: float = math.nan
    center: tuple[float, ...] = ()
    scale: float = math.nan


def chamfer(a: Mesh, b: Mesh) -> float:
    """Chamfer distance in coordinate units: the mean distance to the other surface, both ways.

    It goes from points on one surface to the triangles of the other, so equal surfaces have
    distance exactly 0. Between two sets of points they would not.
    """
    # A fixed key: the measure of a row must not depend on the build.
    key = hash_items(["chamfer"])
    to_b = distance(b, draw_on_surface(a, key, _CHAMFER_POINTS)[0]).mean()
    to_a = distance(a, draw_on_surface(b, key, _CHAMFER_POINTS)[0]).mean()
    return float((to_a + to_b) / 2)


def measure_shape(spec: InrSpec, params: Params, check: ShapeReference) -> ShapeQuality:
    """Compare one INR with the mesh that it was fitted to, at points that the fit has not seen.

    IoU compares the insides on a grid over the whole cube. Chamfer distance goes to the surface
    of marching cubes on the same grid. An unsigned distance has no inside, so both are NaN.
    """
    near = evaluate(spec, params, torch.from_numpy(check.near_points).float())[0, :, 0].numpy()
    overlap, gap = math.nan, math.nan
    if spec.value_kind != "unsigned_distance":
        field = signed_field(spec, grid_values(spec, params, len(check.inside)))
        # iou counts values below zero as inside
        truth = torch.from_numpy(np.where(check.inside, -1.0, 1.0)).float().reshape(1, -1)
        overlap = float(iou(torch.from_numpy(field).reshape(1, -1), truth)[0])
        found = zero_set(spec, field)
        if found is not None:
            # relative to the mesh's size, so that shapes compare
            gap = chamfer(found, check.mesh) / check.mesh.diagonal
    return ShapeQuality(
        iou=overlap,
        near_error=float(np.abs(near - check.near_values).mean()),
        chamfer=gap,
        sign_method=check.sign,
        sign_trust=check.sign_trust,
        center=check.placement.center,
        scale=check.placement.scale,
    )
