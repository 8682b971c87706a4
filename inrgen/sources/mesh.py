"""A triangle mesh, and where it stands within the coordinates of an INR."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

Fill = Literal["cube", "sphere"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mesh:
    """Triangles as indices into vertices; all corners counter-clockwise as seen from outside."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]

    @property
    def corners(self) -> Float[np.ndarray, "f 3 3"]:
        """The positions of every triangle's three corners."""
        return self.vertices[self.faces]

    @property
    def cross(self) -> Float[np.ndarray, "f 3"]:
        """A normal for every triangle, twice as long as its area."""
        a, b, c = self.corners.swapaxes(0, 1)
        return np.cross(b - a, c - a)

    @property
    def areas(self) -> Float[np.ndarray, " f"]:
        return np.linalg.norm(self.cross, axis=1) / 2

    @property
    def bounds(self) -> Float[np.ndarray, "2 3"]:
        """The least and greatest coordinates."""
        return np.stack([self.vertices.min(axis=0), self.vertices.max(axis=0)])

    @property
    def diagonal(self) -> float:
        """The length of the bounding box's diagonal."""
        return float(np.linalg.norm(self.bounds[1] - self.bounds[0]))


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """How a mesh was moved into an INR's coordinates: x = (file - center) * scale.

    Axes keep the file's names, order and handedness: nothing is turned.
    """

    center: tuple[float, float, float]
    scale: float

    def into(self, mesh: Mesh) -> Mesh:
        """From the file's coordinates to the INR's."""
        return Mesh(vertices=(mesh.vertices - self.center) * self.scale, faces=mesh.faces)

    def back(self, mesh: Mesh) -> Mesh:
        """From the INR's coordinates to the file's: the inverse of into."""
        return Mesh(vertices=mesh.vertices / self.scale + self.center, faces=mesh.faces)


def place(mesh: Mesh, fill: Fill, margin: float) -> Placement:
    """Centre a mesh's bounding box and scale it into [-1, 1]^3 less a margin.

    "cube" lets the longest side of the bounding box reach 1 - margin, "sphere" the vertex farthest
    from its centre.
    """
    center = mesh.bounds.mean(axis=0)
    offsets = np.abs(mesh.vertices - center)
    reach = offsets.max() if fill == "cube" else np.linalg.norm(offsets, axis=1).max()
    x, y, z = (float(c) for c in center)
    return Placement(center=(x, y, z), scale=float((1.0 - margin) / reach))
