"""Random points of a surface."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.sources.mesh import Mesh


def draw_on_surface(
    mesh: Mesh, key: Int[Tensor, " 1"], num: int
) -> tuple[Float[np.ndarray, "num 3"], Float[np.ndarray, "num 3"]]:
    """Points spread evenly over a mesh's area, and the unit normals of their triangles.

    A triangle is chosen by its area, a point in it by Turk's square root (Graphics Gems, 1990).

    Args:
        key: what names the randomness; one key gives one set of points.
    """
    choice, u, v = rng.uniform(key, (3, num), dtype=torch.float64)[0].numpy()
    ends = np.cumsum(mesh.areas)
    faces = np.searchsorted(ends, choice * ends[-1], side="right").clip(max=len(ends) - 1)
    a, b, c = mesh.corners[faces].swapaxes(0, 1)
    root = np.sqrt(u)[:, None]
    points = (1 - root) * a + root * (1 - v[:, None]) * b + root * v[:, None] * c
    cross = mesh.cross[faces]
    return points, cross / np.linalg.norm(cross, axis=1, keepdims=True)
