"""Random motions of the signal, drawn for each INR; defaults are the published ones.

Distances are in coordinate units, and points follow the spec's convention. published=True does what
the published code (arXiv 2402.04081) does: it rotates about the origin, shrinks where we enlarge,
and translates at a layer that it draws, which moves the signal for the first layer alone.
"""

import math
from dataclasses import dataclass
from typing import Literal, final, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core import geometry, rng
from inrgen.core.geometry import Motion
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec, ValueKind

Axis = Literal["any", "uniform", "x", "y", "z"]
ScaledValues = Literal["auto", "keep"]
# Kinds of value that keep their size when the signal grows.
_SIZELESS: tuple[ValueKind, ...] = ("intensity", "occupancy", "quantity")


def _uniform(
    keys: Int[Tensor, " b"], shape: tuple[int, ...], low: float, high: float
) -> Float[Tensor, "b ..."]:
    """Uniform numbers in float64, so that a motion is as exact as the weights it acts on."""
    return rng.uniform(keys, shape, low, high, torch.float64)


def _check_one_form(published: bool, is_reversed: bool) -> None:
    if published and is_reversed:
        raise ValueError("published and reversed are two forms; got both")


@dataclass(frozen=True, kw_only=True, slots=True)
class PushedOffset:
    """Draw of a published translation: an offset t, and the layer that receives its image."""

    offset: Float[Tensor, "b d_in"]
    layer: Int[Tensor, " b"]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Translate:
    """Move the signal by t: g(x) = f(x - t).

    Published: draw one of the hidden layers, and add W_l ... W_0 t to its bias. That is
    g(x) = f(x + t) for the first layer, and no translation for others.

    Attributes:
        bound: each coordinate of t is uniform in +-bound.
        published: take the published form.
        reversed: take g(x) = f(x + t), which has the same distribution. Earlier versions called
            this form published.
    """

    bound: float = 0.25
    published: bool = False
    reversed: bool = False

    def __post_init__(self) -> None:
        if not self.bound >= 0:
            raise ValueError(f"bound must not be negative; got {self.bound}")
        _check_one_form(self.published, self.reversed)

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> "Motion | PushedOffset":
        offset = _uniform(keys, (spec.d_in,), -self.bound, self.bound)
        if self.published:
            geometry.check_linear(spec)
            layer = rng.integers(rng.fold(keys, 1), (), 0, spec.num_hidden)
            return PushedOffset(offset=offset, layer=layer)
        # Negated rather than drawn again: the range is symmetric, and both forms share a draw.
        return geometry.translation(spec, -offset if self.reversed else offset)

    def apply(self, params: Params, draw: "Motion | PushedOffset") -> Params:
        if isinstance(draw, PushedOffset):
            return geometry.push_offset(params, draw.offset, draw.layer)
        return geometry.apply(params, draw)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Rotate:
    """Turn the signal by R about the spec's centre: g(x) = f(R^T (x - c) + c); 2-D and 3-D.

    Published: the same about the origin, in 2-D.

    Attributes:
        bound_deg: the angle is uniform in +-bound_deg; in 3-D the axis is uniform on the sphere.
        around: for 3-D only. "any" takes the axis above; "uniform" draws all rotations uniformly
            (Haar) and ignores the bound; "x", "y" and "z" turn about that axis, as ModelNet work
            does about the up axis.
        published: take the published form.
        reversed: take g(x) = f(R x), which turns the signal by R^T about the origin. Earlier
            versions called this form published.
    """

    bound_deg: float = 30.0
    around: Axis = "any"
    published: bool = False
    reversed: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.bound_deg <= 180:
            raise ValueError(f"bound_deg must lie in [0, 180]; got {self.bound_deg}")
        if self.around not in get_args(Axis):
            raise ValueError(f"around must be one of {get_args(Axis)}; got {self.around!r}")
        _check_one_form(self.published, self.reversed)

    def _turn_3d(
        self, keys: Int[Tensor, " b"], angle_rad: Float[Tensor, " b"]
    ) -> Float[Tensor, "b 3 3"]:
        # A normal quaternion has a uniform direction, so its rotation is uniform (Haar) on SO(3).
        if self.around == "uniform":
            return geometry.rotation_of_quaternion(
                rng.normal(rng.fold(keys, 1), (4,), torch.float64)
            )
        if self.around == "any":
            axis = rng.normal(rng.fold(keys, 1), (3,), torch.float64)
        else:
            axis = torch.eye(3, dtype=torch.float64, device=keys.device)["xyz".index(self.around)]
            axis = axis.repeat(len(keys), 1)
        return geometry.rotation_3d(axis, angle_rad)

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> Motion:
        bound = math.radians(self.bound_deg)
        angle_rad = _uniform(keys, (), -bound, bound)
        if spec.d_in == 3:
            matrix = self._turn_3d(keys, angle_rad)
        elif spec.d_in == 2 and self.around == "any":
            matrix = geometry.rotation_2d(angle_rad)
        else:
            raise ValueError(
                f"rotation needs 2 or 3 coordinates, and 3 for around={self.around!r}; "
                f"got {spec.d_in}"
            )
        if self.published or self.reversed:
            turn = matrix.mT if self.reversed else matrix
            return geometry.rotation(spec, turn, about=(0.0,) * spec.d_in)
        return geometry.rotation(spec, matrix)

    def apply(self, params: Params, draw: Motion) -> Params:
        return geometry.apply(params, draw)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Enlarge the signal by s about the spec's centre: g(x) = f(c + (x - c) / s).

    Published: g(x) = f(s x), which shrinks the signal by s towards the origin and keeps values.

    Attributes:
        bound: s is uniform in 1 +- bound.
        values: "auto" scales distances with the shape, keeps intensities, occupancies and
            quantities, and refuses cut-off distances and logits, because no rescaling gives their
            scaled field.
            "keep" moves only the coordinates, for any values.
        published: take the published form.
    """

    bound: float = 0.2
    values: ScaledValues = "auto"
    published: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.bound < 1:
            raise ValueError(f"bound must lie in [0, 1); got {self.bound}")
        if self.values not in get_args(ScaledValues):
            raise ValueError(f"values must be one of {get_args(ScaledValues)}; got {self.values!r}")

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> Motion:
        factor = _uniform(keys, (), 1.0 - self.bound, 1.0 + self.bound)
        # f(s x) shrinks by s, hence the inverse.
        if self.published:
            return geometry.scaling(spec, 1.0 / factor, about=(0.0,) * spec.d_in)
        with_values = self.values == "auto" and spec.value_kind not in _SIZELESS
        return geometry.scaling(spec, factor, scale_values=with_values)

    def apply(self, params: Params, draw: Motion) -> Params:
        return geometry.apply(params, draw)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Reflect:
    """Mirror the signal through the spec's centre, along each axis with a probability.

    Attributes:
        probability: probability that an axis is mirrored.
        axes: the coordinates that may be mirrored; None means all.
    """

    probability: float = 0.5
    axes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability must lie in [0, 1]; got {self.probability}")

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> Motion:
        axes = tuple(range(spec.d_in)) if self.axes is None else self.axes
        if not all(0 <= axis < spec.d_in for axis in axes):
            raise ValueError(f"axes must lie in 0..{spec.d_in - 1}; got {axes}")
        # Every axis is drawn, so that axes only masks and cannot shift the draws of others.
        may = torch.tensor([axis in axes for axis in range(spec.d_in)], device=keys.device)
        flipped = may & (_uniform(keys, (spec.d_in,), 0.0, 1.0) < self.probability)
        return geometry.reflection(spec, 1.0 - 2.0 * flipped.to(torch.float64))

    def apply(self, params: Params, draw: Motion) -> Params:
        return geometry.apply(params, draw)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Affine:
    """Move the signal by x -> c + A (x - c) + t, with A near the identity.

    Attributes:
        strength: every entry of A - I is uniform in +-strength. strength times the number of
            coordinates must stay below 1, which keeps A invertible.
        bound: each coordinate of t is uniform in +-bound.
    """

    strength: float = 0.2
    bound: float = 0.0

    def __post_init__(self) -> None:
        if not (self.strength >= 0 and self.bound >= 0):
            raise ValueError(
                f"strength and bound must not be negative; got {self.strength} and {self.bound}"
            )

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> Motion:
        # Below this, A is strictly diagonally dominant, so it has an inverse.
        if not self.strength * spec.d_in < 1:
            raise ValueError(
                f"strength must be below {1 / spec.d_in:.3g} for {spec.architecture}; "
                f"got {self.strength}"
            )
        shape = (spec.d_in, spec.d_in)
        change = _uniform(rng.fold(keys, 0), shape, -self.strength, self.strength)
        offset = _uniform(rng.fold(keys, 1), (spec.d_in,), -self.bound, self.bound)
        eye = torch.eye(spec.d_in, dtype=torch.float64, device=keys.device)
        center = torch.tensor(spec.coord_center, dtype=torch.float64, device=keys.device)
        # c + A (x - c) + t = A x + t - (A - I) c
        return geometry.affine(spec, eye + change, offset - (change * center).sum(dim=2))

    def apply(self, params: Params, draw: Motion) -> Params:
        return geometry.apply(params, draw)
