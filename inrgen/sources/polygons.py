"""Polygons of a mesh file, cut into triangles that cover the same area."""

from collections.abc import Iterator
from dataclasses import dataclass

import mapbox_earcut
import numpy as np
from jaxtyping import Bool, Float, Int

from inrgen.sources.mesh import Mesh

# A corner bends inwards if its area, relative to the polygon's, is below this; rounding is not.
_BENT = -1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class EqualPolygons:
    """Polygons with the same number of corners.

    Attributes:
        places: the position of each polygon in its file.
        corners: indices into the file's vertices.
    """

    places: Int[np.ndarray, " m"]
    corners: Int[np.ndarray, "m corners"]


def group_polygons(
    corners: Int[np.ndarray, " total"], counts: Int[np.ndarray, " m"]
) -> Iterator[EqualPolygons]:
    """Group polygons by their number of corners; fewer than three make no polygon.

    Args:
        corners: the corners of all polygons, one after another.
        counts: the number of corners of each.
    """
    starts = np.cumsum(counts) - counts
    for count in np.unique(counts[counts >= 3]).tolist():
        places = np.flatnonzero(counts == count)
        yield EqualPolygons(
            places=places, corners=corners[starts[places][:, None] + np.arange(count)]
        )


def _flatten(points: Float[np.ndarray, "m corners 3"]) -> Float[np.ndarray, "m corners 2"]:
    """Project polygons along the axis nearest to their normals, so that they turn to the left."""
    ahead = np.roll(points, -1, axis=1)
    normals = np.cross(points - points[:, :1], ahead - points[:, :1]).sum(axis=1)
    axis = np.abs(normals).argmax(axis=1)
    kept = np.stack([(axis + 1) % 3, (axis + 2) % 3], axis=1)
    flat = np.take_along_axis(points, kept[:, None, :], axis=2)
    flipped = np.take_along_axis(normals, axis[:, None], axis=1)[:, 0] < 0
    return np.where(flipped[:, None, None], flat[:, :, ::-1], flat)


def _turns(flat: Float[np.ndarray, "m corners 2"]) -> Float[np.ndarray, "m corners"]:
    """Twice the signed area of the triangle at every corner."""
    before, after = flat - np.roll(flat, 1, axis=1), np.roll(flat, -1, axis=1) - flat
    return before[..., 0] * after[..., 1] - before[..., 1] * after[..., 0]


def _is_convex(flat: Float[np.ndarray, "m corners 2"]) -> Bool[np.ndarray, " m"]:
    rolled = np.roll(flat, -1, axis=1)
    areas = (flat[..., 0] * rolled[..., 1] - flat[..., 1] * rolled[..., 0]).sum(axis=1)
    return (_turns(flat) >= _BENT * np.abs(areas)[:, None]).all(axis=1)


def _clip_ears(flat: Float[np.ndarray, "corners 2"]) -> Int[np.ndarray, "t 3"]:
    """Triangulate a polygon that turns to the left; every triangle turns to the left, too."""
    found = mapbox_earcut.triangulate_float64(
        np.ascontiguousarray(flat), np.array([len(flat)], dtype=np.uint32)
    )
    triangles = found.reshape(-1, 3).astype(np.int64)
    a, b, c = flat[triangles].swapaxes(0, 1)
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    return np.where((area < 0)[:, None], triangles[:, ::-1], triangles)


def _cut(
    vertices: Float[np.ndarray, "v 3"], group: EqualPolygons
) -> tuple[Int[np.ndarray, "t 3"], Int[np.ndarray, " t"]]:
    """Cut polygons into triangles: convex ones into fans, others by ears; also their places."""
    corners, count = group.corners, group.corners.shape[1]
    if count == 3:
        return corners, group.places
    flat = _flatten(vertices[corners])
    convex = _is_convex(flat)
    fan = np.stack([np.zeros(count - 2, int), *(np.arange(count - 2) + at for at in (1, 2))], 1)
    triangles = [corners[convex][:, fan].reshape(-1, 3)]
    places = [np.repeat(group.places[convex], count - 2)]
    for at in np.flatnonzero(~convex).tolist():
        ears = _clip_ears(flat[at])
        triangles.append(corners[at][ears])
        places.append(np.full(len(ears), group.places[at]))
    return np.concatenate(triangles), np.concatenate(places)


def triangulate(vertices: Float[np.ndarray, "v 3"], groups: list[EqualPolygons]) -> Mesh:
    """Make a mesh of polygons, concave ones too, with the triangles in the order of the polygons.

    Raises IndexError if a corner names a vertex that is not there.
    """
    num = len(vertices)
    if any(len(g.corners) and not 0 <= g.corners.min() <= g.corners.max() < num for g in groups):
        raise IndexError("a face names a vertex which is not there")
    parts = [_cut(vertices, group) for group in groups]
    faces = np.concatenate([np.zeros((0, 3), dtype=np.int64), *(faces for faces, _ in parts)])
    places = np.concatenate([np.zeros(0, dtype=np.int64), *(places for _, places in parts)])
    return Mesh(vertices=vertices, faces=faces[np.argsort(places, kind="stable")])
