"""Make a surface out of the triangles of a file: weld, drop what is flat, turn faces alike."""

from dataclasses import dataclass

import igl
import numpy as np
from jaxtyping import Int

from inrgen.core.rng import hash_items
from inrgen.sources.base import BadSignal
from inrgen.sources.mesh import Mesh
from inrgen.sources.signed_distance import winding_number
from inrgen.sources.surface_points import draw_on_surface

# Vertices as close as this share of the longest side are one: files of float32 hold no finer.
_WELD = 1e-6
# The sign is looked for on both sides of the surface, this far off, at so many points of it.
_ASIDE = 1e-4
_NUM_LOOKS = 4000
# Faces are turned only where that makes the sign clearly better.
_CLEARLY = 0.02


def weld(mesh: Mesh) -> Mesh:
    """Merge vertices that coincide, as along the seams of textures, and forget unused ones.

    Faces left with fewer than three corners are dropped. Raises BadSignal if no area is left.
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


def is_closed(faces: Int[np.ndarray, "f 3"]) -> bool:
    """Whether every edge is run through as often one way as the other.

    The boundary of the surface is then nothing, so its winding number is a whole number at every
    point that is not on it: the sign of a distance is exact.
    """
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    low, high = edges.min(axis=1), edges.max(axis=1)
    way = np.where(edges[:, 0] == low, 1, -1)
    _, of = np.unique(low * (faces.max() + 1) + high, return_inverse=True)
    return not np.bincount(of, weights=way).any()


def turn_alike(mesh: Mesh) -> Mesh:
    """One of each face that is there more than once, and neighbours turned the same way."""
    _, first = np.unique(np.sort(mesh.faces, axis=1), axis=0, return_index=True)
    faces, _ = igl.bfs_orient(mesh.faces[np.sort(first)])
    # libigl's integers are C's long long, which numpy holds for another type than int64
    return Mesh(vertices=mesh.vertices, faces=np.asarray(faces).astype(np.int64))


@dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """A welded mesh, and how far its winding number can be trusted to tell in from out.

    is_closed: its boundary is nothing, so the sign is exact.
    sign_trust: the share of its area that parts inside from outside beyond doubt: 1 for closed
        bodies apart, less where sheets are open, doubled, turned at random or buried in a body.
    """

    mesh: Mesh
    is_closed: bool
    sign_trust: float


def sign_trust(mesh: Mesh) -> float:
    """The share of a surface's area that parts inside from outside beyond doubt.

    There the winding number is beyond a half on one side and not on the other, and within a
    quarter of a whole number on both. A small hole leaves that so; an open sheet (a half on either
    side), a doubled one (nothing on either) and a wall buried in another body do not. Points are
    drawn from a name, the same every time.
    """
    points, normals = draw_on_surface(mesh, hash_items(["sign trust"]), _NUM_LOOKS)
    aside = _ASIDE * normals
    sides = winding_number(mesh, np.concatenate([points + aside, points - aside])).reshape(2, -1)
    decided = (np.abs(sides - sides.round()) < 0.25).all(axis=0)
    here, there = np.abs(sides) > 0.5
    return float((decided & (here != there)).mean())


def mend(mesh: Mesh) -> Surface:
    """Judge a welded and placed mesh, and turn its faces alike where that makes it more of a body.

    Doubled faces cancel each other and faces turned at random cancel at random: many of ModelNet's
    meshes have both. A mesh whose sign is right as it stands is left as it is.

    Args:
        mesh: in the coordinates of an INR, where a body is about 2 across.
    """
    as_is = Surface(mesh=mesh, is_closed=is_closed(mesh.faces), sign_trust=sign_trust(mesh))
    if as_is.sign_trust >= 1 - _CLEARLY:
        return as_is
    alike = turn_alike(mesh)
    turned = Surface(mesh=alike, is_closed=is_closed(alike.faces), sign_trust=sign_trust(alike))
    return turned if turned.sign_trust > as_is.sign_trust + _CLEARLY else as_is
