"""Repair of meshes: weld vertices, drop flat faces, turn neighbouring faces alike."""

from dataclasses import dataclass

import igl
import numpy as np
from jaxtyping import Float, Int

from inrgen.core.rng import hash_items
from inrgen.sources.base import BadSignal
from inrgen.sources.mesh import Mesh
from inrgen.sources.shape_points import draw_on_surface
from inrgen.sources.signed_distance import winding_number

# Vertices closer than this share of the longest side are merged; float32 files resolve no more.
_WELD = 1e-6
# Offset from the surface and number of points at which the sign is examined on both sides.
_OFFSET = 1e-4
_NUM_POINTS = 4000
# A doubled sheet encloses nothing but rounding; bodies are about 2 across.
_LEAST_VOLUME = 1e-9
# Points of a body that must lie in another one for it to be a hollow of that one.
_NUM_INSIDE = 200
# Faces are turned only if sign_trust gains more than this.
_MIN_GAIN = 0.02


def weld(mesh: Mesh) -> Mesh:
    """Merge coinciding vertices, as along seams of textures, and drop unused ones.

    Faces that lose a corner are dropped. Raises BadSignal if no area is left.
    """
    used, faces = np.unique(mesh.faces, return_inverse=True)
    vertices = mesh.vertices[used]
    extent = float(np.ptp(vertices, axis=0).max())
    if extent == 0:
        raise BadSignal("has all its faces in one point")
    low = vertices.min(axis=0)
    cells = np.round((vertices - low) / (_WELD * extent)).astype(np.int64)
    _, first, merged = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    faces = merged.reshape(-1)[faces].reshape(-1, 3)
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    kept, faces = np.unique(faces, return_inverse=True)
    welded = Mesh(vertices=vertices[first][kept], faces=faces.reshape(-1, 3))
    if not welded.areas.sum() > 0:
        raise BadSignal("has no face with an area")
    return welded


def _edges(
    faces: Int[np.ndarray, "f 3"],
) -> tuple[Int[np.ndarray, " e"], Int[np.ndarray, " e"]]:
    """A number for the edge of every side of every face, and the direction it is used in, +-1."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    low, high = edges.min(axis=1), edges.max(axis=1)
    direction = np.where(edges[:, 0] == low, 1, -1)
    _, edge = np.unique(low * (faces.max() + 1) + high, return_inverse=True)
    return edge, direction


def is_closed(faces: Int[np.ndarray, "f 3"]) -> bool:
    """Tell whether every edge is used equally often in both directions.

    Such a surface has no boundary, so its winding number is a whole number at every point off the
    surface, and the sign of a distance is exact.
    """
    edge, direction = _edges(faces)
    return not np.bincount(edge, weights=direction).any()


def turn_alike(mesh: Mesh) -> Mesh:
    """Drop repeated faces, and orient neighbouring faces consistently."""
    _, first = np.unique(np.sort(mesh.faces, axis=1), axis=0, return_index=True)
    faces, _ = igl.bfs_orient(mesh.faces[np.sort(first)])
    # libigl returns C's long long, which numpy treats as a type other than int64
    return Mesh(vertices=mesh.vertices, faces=np.asarray(faces).astype(np.int64))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Body:
    """A closed part of a surface: its faces, its signed volume, and its bounding box."""

    faces: Int[np.ndarray, " n"]
    volume: float
    box: Float[np.ndarray, "2 3"]

    @property
    def size(self) -> float:
        return float(np.ptp(self.box, axis=0).prod())


def _bodies(mesh: Mesh) -> list[_Body]:
    """The closed bodies of a surface; faces join at edges that two of them share, and no others."""
    patch = np.asarray(igl.bfs_orient(mesh.faces)[1])
    edge, direction = _edges(mesh.faces)
    # Edges that a patch uses unequally often in both directions are its boundary.
    seam, place = np.unique(np.tile(patch, 3) * (edge.max() + 1) + edge, return_inverse=True)
    loose = np.bincount(place, weights=direction) != 0
    is_open = np.isin(patch, np.unique(seam[loose] // (edge.max() + 1)))
    a, b, c = mesh.corners.swapaxes(0, 1)
    volumes = np.bincount(patch, weights=(a * np.cross(b, c)).sum(axis=1) / 6)
    order = np.flatnonzero(~is_open)[np.argsort(patch[~is_open], kind="stable")]
    parts = np.split(order, np.flatnonzero(np.diff(patch[order])) + 1) if len(order) else []
    spans = [mesh.vertices[mesh.faces[faces]].reshape(-1, 3) for faces in parts]
    return [
        _Body(
            faces=faces,
            volume=float(volumes[patch[faces[0]]]),
            box=np.stack([span.min(axis=0), span.max(axis=0)]),
        )
        for faces, span in zip(parts, spans, strict=True)
    ]


def _find_holders(mesh: Mesh, bodies: list[_Body]) -> Int[np.ndarray, " n"]:
    """For each body the position of the largest one that it lies in, or its own position."""
    boxes, sizes = np.array([b.box for b in bodies]), np.array([b.size for b in bodies])
    holders = np.arange(len(bodies))
    for at in np.argsort(-sizes).tolist():
        within = (boxes[:, 0] >= boxes[at, 0]).all(1) & (boxes[:, 1] <= boxes[at, 1]).all(1)
        alone = (holders == np.arange(len(bodies))) & (sizes < sizes[at])
        inner = np.flatnonzero(within & alone)
        if not len(inner):
            continue
        steps = [max(1, len(bodies[i].faces) // _NUM_INSIDE) for i in inner.tolist()]
        faces = [bodies[i].faces[::step] for i, step in zip(inner.tolist(), steps, strict=True)]
        points = mesh.corners[np.concatenate(faces)].mean(axis=1)
        holder = Mesh(vertices=mesh.vertices, faces=mesh.faces[bodies[at].faces])
        starts = np.cumsum([0, *map(len, faces[:-1])])
        held = np.logical_and.reduceat(np.abs(winding_number(holder, points)) > 0.5, starts)
        holders[inner[held]] = at
    return holders


def turn_outwards(mesh: Mesh) -> Mesh:
    """Turn every closed body whose faces look inwards, together with all that lies within it.

    Where an inverted body overlaps another, their winding numbers cancel and the overlap would
    count as outside. The wall of a hollow rightly looks inwards: it lies in another body, and is
    turned only with that one.
    """
    bodies = _bodies(mesh)
    inverted = [body.volume < -_LEAST_VOLUME for body in bodies]
    if not any(inverted):
        return mesh
    faces = mesh.faces.copy()
    for body, holder in zip(bodies, _find_holders(mesh, bodies).tolist(), strict=True):
        if inverted[holder]:
            faces[body.faces] = faces[body.faces, ::-1]
    return mesh if (faces == mesh.faces).all() else Mesh(vertices=mesh.vertices, faces=faces)


@dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """A welded mesh, and how well its winding number tells inside from outside.

    Attributes:
        is_closed: whether it has no boundary, so that the sign is exact.
        sign_trust: the share of its area that separates inside from outside beyond doubt: 1 for
            separate closed bodies, less for sheets that are open, doubled, randomly oriented or
            buried in a body.
    """

    mesh: Mesh
    is_closed: bool
    sign_trust: float


def sign_trust(mesh: Mesh) -> float:
    """Share of a surface's area that separates inside from outside beyond doubt.

    At such a point the winding number exceeds a half on one side only, and is within a quarter of a
    whole number on both. A small hole hardly changes that. An open sheet (a half on both sides), a
    doubled one (zero on both) and a wall buried in another body fail. The points are drawn by
    name, so they are the same every time.
    """
    points, normals = draw_on_surface(mesh, hash_items(["sign trust"]), _NUM_POINTS)
    offsets = _OFFSET * normals
    both_sides = np.concatenate([points + offsets, points - offsets])
    sides = winding_number(mesh, both_sides).reshape(2, -1)
    decided = (np.abs(sides - sides.round()) < 0.25).all(axis=0)
    outer, inner = np.abs(sides) > 0.5
    return float((decided & (outer != inner)).mean())


def repair(mesh: Mesh) -> Surface:
    """Turn the bodies of a welded mesh outwards, and its faces alike if the sign gains by it.

    Doubled faces cancel each other, and randomly oriented faces cancel at random; many meshes of
    ModelNet have both. A mesh whose sign is right already stays unchanged.

    Args:
        mesh: in the coordinates of an INR, where a body is about 2 across.
    """
    mesh = turn_outwards(mesh)
    as_is = Surface(mesh=mesh, is_closed=is_closed(mesh.faces), sign_trust=sign_trust(mesh))
    if as_is.sign_trust >= 1 - _MIN_GAIN:
        return as_is
    alike = turn_outwards(turn_alike(mesh))
    turned = Surface(mesh=alike, is_closed=is_closed(alike.faces), sign_trust=sign_trust(alike))
    return turned if turned.sign_trust > as_is.sign_trust + _MIN_GAIN else as_is
