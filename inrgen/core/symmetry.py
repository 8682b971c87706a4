"""Symmetries: other weights, the same function; as actions and as elements of a group.

For a hidden unit with incoming row (W, b) and outgoing column U these leave the network's
function alone: reordering the units (any activation); (W, b, U) -> (-W, -b, -U) for odd
activations; b -> b + k pi / omega, U -> (-1)^k U for sine; (W, b, U) -> (cW, cb, U/c), c > 0, for
ReLU. Sources: DWSNets, arXiv 2301.12780, and arXiv 2402.04081.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec

# How much of the group a search may use; each holds the one before.
Kind = Literal["permutation", "signed", "phase"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Symmetry:
    """One element of each INR's symmetry group: permutation, sign and phase of hidden units.

    It takes (W, b, U) of unit permutations[l][i] to the place i as
    (s W, s b + k pi / omega[l], (-1)^k s U), with s = signs[l][i] and k = phases[l][i]: a product
    over layers of wreath products of D_inf with S_n. omega is the spec's, so that an element says
    all there is to do; phases are zero where the activation is not sine.

    signs holds +1 and -1; phases any whole numbers.
    """

    permutations: tuple[Int[Tensor, "b _h"], ...]
    signs: tuple[Int[Tensor, "b _h"], ...]
    phases: tuple[Int[Tensor, "b _h"], ...]
    omega: tuple[float, ...]

    def __len__(self) -> int:
        return self.permutations[0].shape[0]


def identity(spec: InrSpec, num: int, device: torch.device | str | None = None) -> Symmetry:
    """The element that changes nothing, for num INRs."""
    hidden = spec.widths[1:-1]
    units = [torch.arange(h, device=device).repeat(num, 1) for h in hidden]
    return Symmetry(
        permutations=tuple(units),
        signs=tuple(torch.ones_like(u) for u in units),
        phases=tuple(torch.zeros_like(u) for u in units),
        omega=spec.omega,
    )


def random_permutations(spec: InrSpec, keys: Int[Tensor, " b"]) -> tuple[Int[Tensor, "b _h"], ...]:
    """Uniform orders of hidden units: those of as many 64-bit draws, ties being out of reach."""
    return tuple(
        rng.bits(rng.fold(keys, layer), width).argsort(dim=1)
        for layer, width in enumerate(spec.widths[1:-1])
    )


def _map(function: Callable[..., Int[Tensor, "b _h"]], symmetries: Sequence[Symmetry]) -> Symmetry:
    def each(*layers: tuple[Int[Tensor, "_b _h"], ...]) -> tuple[Int[Tensor, "b _h"], ...]:
        return tuple(function(*layer) for layer in zip(*layers, strict=True))

    return Symmetry(
        permutations=each(*(s.permutations for s in symmetries)),
        signs=each(*(s.signs for s in symmetries)),
        phases=each(*(s.phases for s in symmetries)),
        omega=symmetries[0].omega,
    )


def take(symmetry: Symmetry, index: slice | Int[Tensor, " r"]) -> Symmetry:
    """The elements of the INRs at index."""
    return _map(lambda layer: layer[index], [symmetry])


def cat(symmetries: Sequence[Symmetry]) -> Symmetry:
    """The elements of several batches as one batch, in order."""
    return _map(lambda *layers: torch.cat(layers), symmetries)


def where(mask: Bool[Tensor, " b"], yes: Symmetry, no: Symmetry) -> Symmetry:
    """The elements of yes where mask holds and of no elsewhere."""
    return _map(lambda a, b: torch.where(mask[:, None], a, b), [yes, no])


def _check_layers(name: str, layers: Sequence[Tensor], params: Params) -> None:
    if len(layers) != len(params.weights) - 1:
        raise ValueError(f"{name} needs {len(params.weights) - 1} hidden layers; got {len(layers)}")
    for layer, choice in enumerate(layers):
        if choice.shape != params.biases[layer].shape:
            raise ValueError(
                f"{name}[{layer}] needs shape {tuple(params.biases[layer].shape)}; "
                f"got {tuple(choice.shape)}"
            )


def permute(params: Params, permutations: Sequence[Int[Tensor, "b _h"]]) -> Params:
    """Reorder hidden units without changing the function: exact to the last bit of each weight.

    Place i takes unit permutations[l][:, i]: rows of a layer and columns of the next move together.
    """
    _check_layers("permutations", permutations, params)
    weights, biases = list(params.weights), list(params.biases)
    for l, order in enumerate(permutations):
        weights[l] = torch.take_along_dim(weights[l], order[:, :, None], dim=1)
        biases[l] = torch.take_along_dim(biases[l], order, dim=1)
        weights[l + 1] = torch.take_along_dim(weights[l + 1], order[:, None, :], dim=2)
    return Params(weights=tuple(weights), biases=tuple(biases))


def negate(params: Params, signs: Sequence[Int[Tensor, "b _h"] | Float[Tensor, "b _h"]]) -> Params:
    """Flip hidden units without changing the function; exact for odd activations.

    sin(-z) = -sin(z), so negating all that enters a unit and all that leaves it cancels.
    signs holds +1 and -1.
    """
    _check_layers("signs", signs, params)
    weights, biases = list(params.weights), list(params.biases)
    for l, sign in enumerate(signs):
        sign = sign.to(params.dtype)
        weights[l] = sign[:, :, None] * weights[l]
        biases[l] = sign * biases[l]
        weights[l + 1] = weights[l + 1] * sign[:, None, :]
    return Params(weights=tuple(weights), biases=tuple(biases))


def shift_phase(
    params: Params, phases: Sequence[Int[Tensor, "b _h"]], omega: Sequence[float]
) -> Params:
    """Shift sine units by k half periods without changing the function.

    sin(omega (z + k pi / omega)) = (-1)^k sin(omega z), and the outgoing weights take (-1)^k back.
    Exact up to the rounding of the new bias, which costs a phase of omega times half a unit in
    its last place: so shifts that follow each other should be composed first, or wrapped.
    """
    _check_layers("phases", phases, params)
    weights, biases = list(params.weights), list(params.biases)
    for l, (phase, frequency) in enumerate(zip(phases, omega, strict=True)):
        shift = (phase.to(torch.float64) * (math.pi / frequency)).to(params.dtype)
        biases[l] = biases[l] + shift
        weights[l + 1] = weights[l + 1] * parity(phase)[:, None, :].to(params.dtype)
    return Params(weights=tuple(weights), biases=tuple(biases))


def wrap_phase(params: Params, omega: Sequence[float]) -> Params:
    """Bring hidden biases of a sine network into one period, [-pi / omega, pi / omega].

    Whole periods change neither the function nor the outgoing weights.
    """
    biases = list(params.biases)
    for l, frequency in enumerate(omega):
        period = 2.0 * math.pi / frequency
        biases[l] = biases[l] - period * torch.round(biases[l].detach() / period)
    return Params(weights=params.weights, biases=tuple(biases))


def scale_units(params: Params, factors: Sequence[Float[Tensor, "b _h"]]) -> Params:
    """Scale hidden units of a ReLU network without changing the function.

    relu(c z) = c relu(z) for c > 0: what enters a unit is multiplied and what leaves it divided.
    """
    _check_layers("factors", factors, params)
    weights, biases = list(params.weights), list(params.biases)
    for l, factor in enumerate(factors):
        factor = factor.to(params.dtype)
        weights[l] = factor[:, :, None] * weights[l]
        biases[l] = factor * biases[l]
        weights[l + 1] = weights[l + 1] / factor[:, None, :]
    return Params(weights=tuple(weights), biases=tuple(biases))


def parity(phases: Int[Tensor, "b h"]) -> Int[Tensor, "b h"]:
    """(-1)^k, for negative k too."""
    return 1 - 2 * (phases & 1)


def apply(params: Params, symmetry: Symmetry) -> Params:
    """Carry a group element out: new weights, the same function."""
    permuted = permute(params, symmetry.permutations)
    return shift_phase(negate(permuted, symmetry.signs), symmetry.phases, symmetry.omega)


def compose(second: Symmetry, first: Symmetry) -> Symmetry:
    """The element that does first, then second, with every phase wrapped to 0 or 1.

    Two half periods are no change of the function, so a long product keeps small biases; its
    weights differ from those of one application after the other by whole periods in biases.
    """
    if second.omega != first.omega:
        raise ValueError(f"second and first need one omega; got {second.omega} and {first.omega}")
    permutations, signs, phases = [], [], []
    for order, sign, phase, below, sign_1, phase_1 in zip(
        second.permutations,
        second.signs,
        second.phases,
        first.permutations,
        first.signs,
        first.phases,
        strict=True,
    ):
        permutations.append(below.gather(1, order))
        signs.append(sign * sign_1.gather(1, order))
        phases.append((phase + sign * phase_1.gather(1, order)) & 1)
    return Symmetry(
        permutations=tuple(permutations),
        signs=tuple(signs),
        phases=tuple(phases),
        omega=first.omega,
    )


def inverse(symmetry: Symmetry) -> Symmetry:
    """The element that takes symmetry back; phases are as drawn, not wrapped."""
    back = tuple(order.argsort(dim=1) for order in symmetry.permutations)
    signs = tuple(s.gather(1, order) for s, order in zip(symmetry.signs, back, strict=True))
    phases = tuple(
        -sign * phase.gather(1, order)
        for sign, phase, order in zip(signs, symmetry.phases, back, strict=True)
    )
    return Symmetry(permutations=back, signs=signs, phases=phases, omega=symmetry.omega)


def require_activation(spec: InrSpec, action: str, allowed: Sequence[str]) -> None:
    """Raise ValueError unless the action keeps the function of networks of this spec."""
    if spec.activation not in allowed:
        raise ValueError(
            f"{action} needs an activation among {tuple(allowed)}; got {spec.activation!r}"
        )
