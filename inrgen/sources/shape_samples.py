"""Points in, near and far from a mesh, with their distances."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.sources.mesh import Mesh
from inrgen.sources.shape_config import ShapeConfig
from inrgen.sources.signed_distance import distance, inside, signed_distance
from inrgen.sources.surface_points import draw_on_surface


def draw_near(
    mesh: Mesh, widths: Float[np.ndarray, " n"], key: Int[Tensor, " 1"]
) -> Float[np.ndarray, "n 3"]:
    """Points of a surface, each moved off it by a normal draw of its own width along each axis."""
    points, _ = draw_on_surface(mesh, rng.fold(key, 0), len(widths))
    offsets = rng.normal(rng.fold(key, 1), (len(widths), 3), dtype=torch.float64)[0].numpy()
    return points + widths[:, None] * offsets


def draw_points(
    mesh: Mesh, config: ShapeConfig, key: Int[Tensor, " 1"]
) -> Float[np.ndarray, "n 3"]:
    """The points at which a shape is measured: on the surface, near it, and anywhere, in order.

    A pure function of mesh, config and key, so neither the order of items nor the number of workers
    can show.
    """
    *surface, anywhere = config.counts
    near = draw_near(mesh, np.repeat((0.0, *config.near_widths), surface), key)
    cube = rng.uniform(rng.fold(key, 2), (anywhere, 3), -1, 1, dtype=torch.float64)[0].numpy()
    return np.concatenate([near, cube])


def measure(
    mesh: Mesh, config: ShapeConfig, points: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, " n"]:
    """What an INR is to learn at points: occupancy, or distances, signed or not, clipped or not."""
    if config.target == "occupancy":
        return inside(mesh, points).astype(np.float64)
    values = distance(mesh, points) if config.sign == "none" else signed_distance(mesh, points)
    return np.clip(values, -config.truncation, config.truncation) if config.truncation else values
