"""Solids whose signed distance is known exactly."""

import torch
from jaxtyping import Float
from torch import Tensor


def sphere_distance(points: Float[Tensor, "n 3"], radius: float) -> Float[Tensor, " n"]:
    """Signed distance to a sphere about the origin, negative inside."""
    return points.norm(dim=1) - radius


def box_distance(
    points: Float[Tensor, "n 3"], half: tuple[float, float, float]
) -> Float[Tensor, " n"]:
    """Signed distance to a box about the origin that reaches half[i] along axis i.

    Outside, the distance to the nearest point of the box; inside, to its nearest side.
    """
    beyond = points.abs() - torch.tensor(half, dtype=points.dtype)
    return beyond.clamp(min=0).norm(dim=1) + beyond.amax(dim=1).clamp(max=0)


def torus_distance(points: Float[Tensor, "n 3"], major: float, minor: float) -> Float[Tensor, " n"]:
    """Signed distance to a torus about the z axis: a tube of radius minor along a circle."""
    from_circle = points[:, :2].norm(dim=1) - major
    return torch.hypot(from_circle, points[:, 2]) - minor
