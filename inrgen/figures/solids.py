"""Surfaces as shaded triangles, the farthest first, drawn without a display or a GPU."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from inrgen.sources.mesh import Mesh

# Colours of a face turned towards the light, and away from it.
_LIT = np.array([0.96, 0.95, 0.92])
_DARK = np.array([0.16, 0.22, 0.34])


@dataclass(frozen=True, kw_only=True, slots=True)
class Camera:
    """Position of a viewer: turned about the up axis and raised above the ground, in degrees.

    Attributes:
        up: the axis that points up: 2 for z, as in most of ModelNet, or 1 for y.
    """

    azimuth_deg: float = 35.0
    elevation_deg: float = 25.0
    up: int = 2

    def axes(self) -> Float[np.ndarray, "3 3"]:
        """Unit vectors to the right, upwards, and towards the camera, as rows."""
        a, e = np.deg2rad([self.azimuth_deg, self.elevation_deg])
        right = np.array([np.cos(a), np.sin(a), 0.0])
        toward = np.array([np.sin(a) * np.cos(e), -np.cos(a) * np.cos(e), np.sin(e)])
        turned = np.stack([right, np.cross(toward, right), toward])
        # cycling the axes turns z up into y up and keeps the handedness
        return turned if self.up == 2 else turned[:, [1, 2, 0]]


def draw_solid(axes: Axes, mesh: Mesh, camera: Camera) -> None:
    """Draw a mesh in [-1, 1]^3 without perspective, lit from beside the camera.

    Both sides of a face are lit alike, because faces of real meshes point either way.
    """
    seen = mesh.vertices @ camera.axes().T
    # The painter's algorithm: far triangles first. It errs where triangles pierce each other.
    corners = seen[mesh.faces]
    cross = mesh.cross @ camera.axes().T
    length = np.linalg.norm(cross, axis=1, keepdims=True)
    normals = cross / np.where(length > 0, length, 1.0)
    light = np.array([-0.35, 0.55, 0.75]) / np.linalg.norm([-0.35, 0.55, 0.75])
    shade = np.abs(normals @ light)[:, None] ** 0.8
    order = np.argsort(corners[:, :, 2].mean(axis=1))
    colours = (_DARK + shade * (_LIT - _DARK))[order]
    axes.add_collection(
        # Edges in the colour of their face hide the seams that antialiasing leaves.
        PolyCollection(
            list(corners[order, :, :2]), facecolors=colours, edgecolors=colours, linewidths=0.3
        )
    )
    axes.set(xlim=(-1.25, 1.25), ylim=(-1.25, 1.25), aspect="equal")
    axes.axis("off")
