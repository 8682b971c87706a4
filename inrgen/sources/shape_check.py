"""What a fit to a shape is measured against."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from inrgen.sources.mesh import Mesh, Placement


@dataclass(frozen=True, kw_only=True, slots=True)
class ShapeCheck:
    """A shape in an INR's coordinates, and points that no fit has seen.

    placement: how the file's coordinates became these.
    sign: the method that told inside from outside, "winding number (closed)" where it is exact;
        "none" for unsigned distances.
    sign_trust: the share of the surface that parts inside from outside beyond doubt.
    near_points, near_values: points near the surface and the distances there.
    inside: on a cubic grid over [-1, 1]^3, ends included; all False without a sign.
    """

    mesh: Mesh
    placement: Placement
    sign: str
    sign_trust: float
    near_points: Float[np.ndarray, "n 3"]
    near_values: Float[np.ndarray, " n"]
    inside: Bool[np.ndarray, "r r r"]
