"""A triangle mesh, its placement within the coordinates of an INR, and the reference for fits."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

Fill = Literal["cube", "sphere"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mesh:
    """Triangles as indices into vertices, corners counter-clockwise as seen from outside."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]

    @property
    def corners(self) -> Float[np.ndarray, "f 3 3"]:
        """Positions of the three corners of every triangle."""
        return self.vertices[self.faces]

    @property
    def cross(self) -> Float[np.ndarray, "f 3"]:
        """A normal for every triangle, of twice the length of its area."""
        a, b, c = self.corners.swapaxes(0, 1)
        return np.cross(b - a, c - a)

    @property
    def areas(self) -> Float[np.ndarray, " f"]:
        return np.linalg.norm(self.cross, axis=1) / 2

    @property
    def bounds(self) -> Float[np.ndarray, "2 3"]:
        """Least and greatest coordinates."""
        return np.stack([self.vertices.min(axis=0), self.vertices.max(axis=0)])

    @property
    def diagonal(self) -> float:
        """Length of the diagonal of the bounding box."""
        return float(np.linalg.norm(self.bounds[1] - self.bounds[0]))


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Map from a file's coordinates to an INR's: x = (file - center) * scale.

    Axes keep the file's names, order and handedness: nothing is turned.
    """

    center: tuple[float, ...]
    scale: float

    def to_inr(self, mesh: Mesh) -> Mesh:
        """Move a mesh from the file's coordinates to the INR's."""
        return Mesh(vertices=(mesh.vertices - self.center) * self.scale, faces=mesh.faces)

    def to_file(self, mesh: Mesh) -> Mesh:
        """Move a mesh from the INR's coordinates to the file's: the inverse of to_inr."""
        return Mesh(vertices=mesh.vertices / self.scale + self.center, faces=mesh.faces)


@dataclass(frozen=True, kw_only=True, slots=True)
class ShapeReference:
    """A shape in an INR's coordinates, and points that no fit has seen.

    Attributes:
        placement: the map from the file's coordinates to these.
        sign: the method that told inside from outside, "winding number (closed)" where it is
            exact; "none" for unsigned distances.
        sign_trust: the share of the surface that separates inside from outside beyond doubt.
        near_points: points near the surface.
        near_values: the distances at near_points.
        inside: membership on a cubic grid over [-1, 1]^3, ends included; all False without a sign.
    """

    mesh: Mesh
    placement: Placement
    sign: str
    sign_trust: float
    near_points: Float[np.ndarray, "n 3"]
    near_values: Float[np.ndarray, " n"]
    inside: Bool[np.ndarray, "r r r"]


def place(mesh: Mesh, fill: Fill, margin: float) -> Placement:
    """Centre the bounding box of a mesh and scale it into [-1, 1]^3 less a margin.

    Args:
        fill: "cube" lets the longest side of the bounding box reach 1 - margin, "sphere" the
            vertex that is farthest from the centre.
    """
    center = mesh.bounds.mean(axis=0)
    offsets = np.abs(mesh.vertices - center)
    reach = offsets.max() if fill == "cube" else np.linalg.norm(offsets, axis=1).max()
    x, y, z = (float(c) for c in center)
    return Placement(center=(x, y, z), scale=float((1.0 - margin) / reach))
