"""Random symmetries: other weights, exactly the same function."""

import math
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core import rng, symmetry
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.core.symmetry import Symmetry


def _still(spec: InrSpec, keys: Int[Tensor, " b"]) -> Symmetry:
    """The element that changes nothing for each key, all of them one piece of memory."""
    one = symmetry.identity(spec, 1, keys.device)

    def each(layers: tuple[Int[Tensor, "1 _h"], ...]) -> tuple[Int[Tensor, "b _h"], ...]:
        return tuple(layer.expand(len(keys), -1) for layer in layers)

    return replace(
        one,
        permutations=each(one.permutations),
        signs=each(one.signs),
        phases=each(one.phases),
    )


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Permute:
    """Reorder the units of every hidden layer, all orders being as likely; any activation."""

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> Symmetry:
        still = _still(spec, keys)
        return replace(still, permutations=symmetry.random_permutations(spec, keys))

    def apply(self, params: Params, draw: Symmetry) -> Params:
        return symmetry.permute(params, draw.permutations)

    def undo(self, params: Params, draw: Symmetry) -> Params:
        return symmetry.apply(params, symmetry.inverse(draw))


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SirenNegation:
    """Negate each hidden unit with a probability: "SIREN negation"; sine and tanh.

    Exact: sin(-z) = -sin(z), and the outgoing weights are negated with the incoming ones.
    """

    probability: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"probability must lie in [0, 1]; got {self.probability}")

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> Symmetry:
        symmetry.require_activation(spec, "negation", ("sine", "tanh"))
        still = _still(spec, keys)
        signs = tuple(
            1 - 2 * (rng.uniform(rng.fold(keys, layer), (width,)) < self.probability).long()
            for layer, width in enumerate(spec.widths[1:-1])
        )
        return replace(still, signs=signs)

    def apply(self, params: Params, draw: Symmetry) -> Params:
        return symmetry.negate(params, draw.signs)

    def undo(self, params: Params, draw: Symmetry) -> Params:
        return symmetry.apply(params, symmetry.inverse(draw))


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SirenBias:
    """Shift each hidden unit by k half periods, b -> b + k pi / omega: "SIREN bias"; sine only.

    Exact for the function, and far off the distribution of trained biases: one step is pi / 30 =
    0.105 where biases of zero-initialised fits spread over 0.02 to 0.03.

    max_phase: k is drawn evenly from -max_phase to max_phase.
    published: leave max_phase itself out, as the published code does (-4..3).
    wrap: bring biases into one period afterwards, which leaves of k its parity alone.
    """

    max_phase: int = 4
    published: bool = False
    wrap: bool = False

    def __post_init__(self) -> None:
        if self.max_phase < 1:
            raise ValueError(f"max_phase must be at least 1; got {self.max_phase}")

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> Symmetry:
        symmetry.require_activation(spec, "a phase shift", ("sine",))
        still = _still(spec, keys)
        end = self.max_phase if self.published else self.max_phase + 1
        phases = tuple(
            rng.integers(rng.fold(keys, layer), (width,), -self.max_phase, end)
            for layer, width in enumerate(spec.widths[1:-1])
        )
        return replace(still, phases=phases)

    def apply(self, params: Params, draw: Symmetry) -> Params:
        shifted = symmetry.shift_phase(params, draw.phases, draw.omega)
        return symmetry.wrap_phase(shifted, draw.omega) if self.wrap else shifted

    def undo(self, params: Params, draw: Symmetry) -> Params:
        """Take apply back; with wrap, for biases that were within one period."""
        back = symmetry.apply(params, symmetry.inverse(draw))
        return symmetry.wrap_phase(back, draw.omega) if self.wrap else back


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class RandomSymmetry:
    """Permutation, sign and phase of every hidden unit at once: a random group element.

    Signs are drawn for odd activations and phases for sine, so it fits any spec.

    max_phase: k is drawn evenly from -max_phase to max_phase; 0 leaves phases alone.
    """

    max_phase: int = 0

    def __post_init__(self) -> None:
        if self.max_phase < 0:
            raise ValueError(f"max_phase must not be negative; got {self.max_phase}")

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> Symmetry:
        element = Permute().draw(spec, rng.fold(keys, 0))
        if spec.activation in ("sine", "tanh"):
            element = replace(element, signs=SirenNegation().draw(spec, rng.fold(keys, 1)).signs)
        if self.max_phase > 0:
            shift = SirenBias(max_phase=self.max_phase).draw(spec, rng.fold(keys, 2))
            element = replace(element, phases=shift.phases)
        return element

    def apply(self, params: Params, draw: Symmetry) -> Params:
        return symmetry.apply(params, draw)

    def undo(self, params: Params, draw: Symmetry) -> Params:
        return symmetry.apply(params, symmetry.inverse(draw))


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitFactors:
    """A positive factor for each hidden unit of each INR."""

    factors: tuple[Float[Tensor, "b _h"], ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ReluScale:
    """Scale each hidden unit of a ReLU network by c and what leaves it by 1/c. Exact.

    max_factor: log c is uniform in +-log max_factor (this project's choice: none is published).
    """

    max_factor: float = 2.0

    def __post_init__(self) -> None:
        if not self.max_factor > 1.0:
            raise ValueError(f"max_factor must be above 1; got {self.max_factor}")

    def draw(self, spec: InrSpec, keys: Int[Tensor, " b"]) -> UnitFactors:
        symmetry.require_activation(spec, "scaling of units", ("relu",))
        bound = math.log(self.max_factor)
        exponents = (
            rng.uniform(rng.fold(keys, layer), (width,), -bound, bound, torch.float64)
            for layer, width in enumerate(spec.widths[1:-1])
        )
        return UnitFactors(factors=tuple(map(torch.exp, exponents)))

    def apply(self, params: Params, draw: UnitFactors) -> Params:
        return symmetry.scale_units(params, draw.factors)

    def undo(self, params: Params, draw: UnitFactors) -> Params:
        return symmetry.scale_units(params, tuple(1.0 / factor for factor in draw.factors))
