"""Sample points of a shape, on its surface, near it and anywhere, with the values there."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.sources.mesh import Mesh
from inrgen.sources.shape_config import ShapeConfig
from inrgen.sources.signed_distance import distance, inside, signed_distance


def draw_on_surface(
    mesh: Mesh, key: Int[Tensor, " 1"], num: int
) -> tuple[Float[np.ndarray, "num 3"], Float[np.ndarray, "num 3"]]:
    """Draw points uniformly over a mesh's area, with the unit normals of their triangles.

    A triangle is drawn by its area, and a point in it by Turk's square root (Graphics Gems, 1990).

    Args:
        key: name of the randomness; the same key gives the same points.
    """
    choice, u, v = rng.uniform(key, (3, num), dtype=torch.float64)[0].numpy()
    ends = np.cumsum(mesh.areas)
    faces = np.searchsorted(ends, choice * ends[-1], side="right").clip(max=len(ends) - 1)
    a, b, c = mesh.corners[faces].swapaxes(0, 1)
    root = np.sqrt(u)[:, None]
    points = (1 - root) * a + root * (1 - v[:, None]) * b + root * v[:, None] * c
    cross = mesh.cross[faces]
    return points, cross / np.linalg.norm(cross, axis=1, keepdims=True)


def draw_near(
    mesh: Mesh, widths: Float[np.ndarray, " n"], key: Int[Tensor, " 1"]
) -> Float[np.ndarray, "n 3"]:
    """Draw surface points, and move point i by normal offsets of standard deviation widths[i]."""
    points, _ = draw_on_surface(mesh, rng.fold(key, 0), len(widths))
    offsets = rng.normal(rng.fold(key, 1), (len(widths), 3), dtype=torch.float64)[0].numpy()
    return points + widths[:, None] * offsets


def draw_points(
    mesh: Mesh, config: ShapeConfig, key: Int[Tensor, " 1"]
) -> Float[np.ndarray, "n 3"]:
    """Draw the sample points of a shape: on the surface, near it, then uniform over the cube.

    The points depend on mesh, config and key alone, not on the order of items or on workers.
    """
    *surface, num_uniform = config.counts
    near = draw_near(mesh, np.repeat((0.0, *config.near_widths), surface), key)
    cube = rng.uniform(rng.fold(key, 2), (num_uniform, 3), -1, 1, dtype=torch.float64)[0].numpy()
    return np.concatenate([near, cube])


def measure(
    mesh: Mesh, config: ShapeConfig, points: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, " n"]:
    """Target values at points: occupancy, or distances, signed or not, clipped or not."""
    if config.target == "occupancy":
        return inside(mesh, points).astype(np.float64)
    values = distance(mesh, points) if config.sign == "none" else signed_distance(mesh, points)
    return np.clip(values, -config.truncation, config.truncation) if config.truncation else values
