"""Settings that turn a mesh into a signal: placement, measured quantity and points."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from inrgen.core.spec import ValueKind
from inrgen.sources.mesh import Fill

Sign = Literal["winding", "none"]
Target = Literal["distance", "occupancy"]

# Names of the sources that these settings apply to.
MESH_SOURCES = ("mesh-folder", "modelnet40")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShapeConfig:
    """Settings for signals of shapes. Lengths are in an INR's coordinates: a shape is about 2 long.

    Attributes:
        fill: the region that a shape fills: the cube [-1, 1]^3 by its longest side, or the unit
            sphere.
        margin: share of the region left free around a shape.
        sign: winding makes distances negative inside, by the generalised winding number, which
            closes holes softly; none keeps distances positive, for meshes that enclose nothing.
        target: distance, or occupancy, which is 1 inside and 0 outside.
        truncation: for distances, clip them to within +-truncation; 0 clips none.
        num_points: sample points of each shape.
        surface_share: for distances, share of points on the surface; occupancy samples these
            points uniformly.
        near_share: share of points near the surface, half at each of near_widths; the rest is
            uniform over [-1, 1]^3.
        near_widths: standard deviations of the normal offsets from the surface, along each axis.
        sample_seed: seed of the points, together with the item's id; independent of the build's.
        max_faces: a mesh with more faces is not fitted.
        cache: folder that keeps prepared shapes for other builds; the default keeps none.
    """

    fill: Fill = "cube"
    margin: float = 0.1
    sign: Sign = "winding"
    target: Target = "distance"
    truncation: float = 0.1
    num_points: int = 100_000
    surface_share: float = 0.2
    near_share: float = 0.6
    near_widths: tuple[float, float] = (0.01, 0.05)
    sample_seed: int = 0
    max_faces: int = 2_000_000
    cache: str | None = None

    def __post_init__(self) -> None:
        for name, choices in (("fill", Fill), ("sign", Sign), ("target", Target)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(
                    f"{name} must be one of {get_args(choices)}; got {getattr(self, name)!r}"
                )
        if (self.target, self.sign) == ("occupancy", "none"):
            raise ValueError("sign must tell in from out for target occupancy; got 'none'")
        if not 0 <= self.margin < 1:
            raise ValueError(f"margin must be in [0, 1); got {self.margin}")
        if not self.truncation >= 0:
            raise ValueError(f"truncation must not be negative; got {self.truncation}")
        for name in ("num_points", "max_faces"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")
        shares = (self.surface_share, self.near_share)
        if min(shares) < 0 or sum(shares) > 1:
            raise ValueError(
                "surface_share and near_share must not be negative, nor over 1 together; "
                f"got {shares}"
            )
        if not min(self.near_widths) > 0:
            raise ValueError(f"near_widths must be positive; got {self.near_widths}")

    @property
    def value_kind(self) -> ValueKind:
        """The kind of value of the signals."""
        if self.target == "occupancy":
            return "occupancy"
        if self.sign == "none":
            return "unsigned_distance"
        return "truncated_distance" if self.truncation else "signed_distance"

    @property
    def value_range(self) -> tuple[float, float]:
        """Range of the signals' values: up to the truncation, or to the size of the cube."""
        if self.target == "occupancy":
            return (0.0, 1.0)
        reach = self.truncation or 1.0
        return (0.0 if self.sign == "none" else -reach, reach)

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Numbers of points on the surface, near it by each width, and uniform over the cube."""
        on_surface = 0.0 if self.target == "occupancy" else self.surface_share
        surface = round(on_surface * self.num_points)
        near = round(self.near_share * self.num_points / 2)
        near = min(near, (self.num_points - surface) // 2)
        return surface, near, near, self.num_points - surface - 2 * near

    def identity(self) -> dict[str, Any]:
        """All settings that decide the signals, as plain JSON values; the cache does not."""
        facts = asdict(self) | {"near_widths": list(self.near_widths), "axes": "as in the file"}
        del facts["cache"]
        return facts
