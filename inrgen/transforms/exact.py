"""Random symmetries: other weights that compute exactly the same function."""

import math
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core import rng, symmetry
from inrgen.core.activations import HOMOGENEOUS, PERIODIC, SYMMETRIC
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.core.symmetry import Symmetry


def _identities(spec: InrSpec, keys: Int[Tensor, " b"]) -> Symmetry:
    """The identity for each key; all of them share one piece of memory."""
    one = symmetry.identity(spec, 1, keys.device)

    def expand(layers: tuple[Int[Tensor, "1 _h"], ...]) -> tuple[Int[Tensor, "b _h"], ...]:
        return tuple(layer.expand(len(keys), -1) for layer in layers)

    return replace(
        one,
        permutations=expand(one.permutations),
        signs=expand(one.signs),
        phases=expand(one.phases),
    )


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Permute:
    """Reorder the units of every hidden layer uniformly at random; any activation."""

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> Symmetry:
        permutations = symmetry.random_permutations(spec, keys)
        return replace(_identities(spec, keys), permutations=permutations)

    def apply(self, params: Params, draw: Symmetry) -> Params:
        return symmetry.permute(params, draw.permutations)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SirenNegation:
    """Negate each hidden unit with a probability; odd and even activations ("SIREN negation").

    Exact, since sin(-z) = -sin(z) and the outgoing weights are negated with the incoming ones. For
    an even activation the outgoing weights stay.

    Attributes:
        probability: probability that a unit is negated.
    """

    probability: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"probability must lie in [0, 1]; got {self.probability}")

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> Symmetry:
        symmetry.require_activation(spec, "negation", SYMMETRIC)
        signs = tuple(
            1 - 2 * (rng.uniform(rng.fold(keys, layer), (width,)) < self.probability).long()
            for layer, width in enumerate(spec.widths[1:-1])
        )
        return replace(_identities(spec, keys), signs=signs)

    def apply(self, params: Params, draw: Symmetry) -> Params:
        return symmetry.negate(params, draw.signs, draw.is_even)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SirenBias:
    """Shift each hidden unit by k half periods, b -> b + k pi / omega; sine only ("SIREN bias").

    Exact for the function, but far off the distribution of trained biases: one step is
    pi / 30 = 0.105, while biases of zero-initialised fits spread over 0.02 to 0.03.

    Attributes:
        max_phase: k is uniform on the whole numbers from -max_phase to max_phase.
        published: leave max_phase itself out, as the published code does (-4..3).
        wrap: bring biases into one period afterwards, which keeps only the parity of k.
    """

    max_phase: int = 4
    published: bool = False
    wrap: bool = False

    def __post_init__(self) -> None:
        if self.max_phase < 1:
            raise ValueError(f"max_phase must be at least 1; got {self.max_phase}")

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> Symmetry:
        symmetry.require_activation(spec, "a phase shift", PERIODIC)
        # integers leaves its end out.
        end = self.max_phase if self.published else self.max_phase + 1
        phases = tuple(
            rng.integers(rng.fold(keys, layer), (width,), -self.max_phase, end)
            for layer, width in enumerate(spec.widths[1:-1])
        )
        return replace(_identities(spec, keys), phases=phases)

    def apply(self, params: Params, draw: Symmetry) -> Params:
        shifted = symmetry.shift_phase(params, draw.phases, draw.omega)
        return symmetry.wrap_phase(shifted, draw.omega) if self.wrap else shifted


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class RandomSymmetry:
    """Draw a permutation, a sign and a phase for every hidden unit: a random group element.

    Signs are drawn for odd and even activations and phases for sine, so it fits any spec.

    Attributes:
        max_phase: k is uniform on the whole numbers from -max_phase to max_phase; 0 draws none.
    """

    max_phase: int = 0

    def __post_init__(self) -> None:
        if self.max_phase < 0:
            raise ValueError(f"max_phase must not be negative; got {self.max_phase}")

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> Symmetry:
        # Each part has its own key, so a larger max_phase leaves permutations and signs alone.
        element = Permute().draw(spec, rng.fold(keys, 0))
        if spec.activation in SYMMETRIC:
            element = replace(element, signs=SirenNegation().draw(spec, rng.fold(keys, 1)).signs)
        if self.max_phase > 0:
            shift = SirenBias(max_phase=self.max_phase).draw(spec, rng.fold(keys, 2))
            element = replace(element, phases=shift.phases)
        return element

    def apply(self, params: Params, draw: Symmetry) -> Params:
        return symmetry.apply(params, draw)


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitFactors:
    """A positive factor for each hidden unit of each INR; factors[l] is (b, h_l)."""

    factors: tuple[Float[Tensor, "b _h"], ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ReluScale:
    """Multiply what enters each hidden unit by c and divide what leaves it by c; ReLU only.

    Exact, since relu(c z) = c relu(z) for c > 0.

    Attributes:
        max_factor: log c is uniform in +-log max_factor. The range is this project's choice,
            because none is published.
    """

    max_factor: float = 2.0

    def __post_init__(self) -> None:
        if not self.max_factor > 1.0:
            raise ValueError(f"max_factor must be above 1; got {self.max_factor}")

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> UnitFactors:
        symmetry.require_activation(spec, "scaling of units", HOMOGENEOUS)
        bound = math.log(self.max_factor)
        # In float64, so that factors are as exact as the weights they act on.
        exponents = (
            rng.uniform(rng.fold(keys, layer), (width,), -bound, bound, torch.float64)
            for layer, width in enumerate(spec.widths[1:-1])
        )
        return UnitFactors(factors=tuple(map(torch.exp, exponents)))

    def apply(self, params: Params, draw: UnitFactors) -> Params:
        return symmetry.scale_units(params, draw.factors)
