"""Symmetries: changes of weights that keep the function, as actions and as group elements.

For a hidden unit with incoming row (W, b) and outgoing column U, these keep the network's
function: reordering the units (any activation); (W, b, U) -> (-W, -b, -U) for odd activations,
and (-W, -b, U) for even ones; b -> b + k pi / omega, U -> (-1)^k U for sine;
(W, b, U) -> (cW, cb, U/c), c > 0, for ReLU. All hold behind any encoding of the coordinates.
Sources: DWSNets, arXiv 2301.12780, and arXiv 2402.04081.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.activations import ACTIVATIONS
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Symmetry:
    """Element of each INR's symmetry group: permutation, sign and phase of hidden units.

    It moves (W, b, U) of unit permutations[l][i] to position i as
    (s W, s b + k pi / omega[l], (-1)^k s U), with s = signs[l][i] and k = phases[l][i]. The group
    is a product over layers of wreath products of D_inf with S_n. For an even activation U stays.

    Attributes:
        permutations: (b, h_l) for each hidden layer.
        signs: (b, h_l) of +1 and -1.
        phases: (b, h_l) of integers; zero unless the activation is sine.
        omega: that of the spec, so that apply needs no spec.
        is_even: whether the activation is even.
    """

    permutations: tuple[Int[Tensor, "b _h"], ...]
    signs: tuple[Int[Tensor, "b _h"], ...]
    phases: tuple[Int[Tensor, "b _h"], ...]
    omega: tuple[float, ...]
    is_even: bool = False

    def __len__(self) -> int:
        return self.permutations[0].shape[0]


def identity(spec: InrSpec, num: int, device: torch.device | str | None = None) -> Symmetry:
    """The identity element for num INRs."""
    hidden = spec.widths[1:-1]
    units = [torch.arange(h, device=device).repeat(num, 1) for h in hidden]
    return Symmetry(
        permutations=tuple(units),
        signs=tuple(torch.ones_like(u) for u in units),
        phases=tuple(torch.zeros_like(u) for u in units),
        omega=spec.omega,
        is_even=ACTIVATIONS[spec.activation].parity == "even",
    )


def random_permutations(spec: InrSpec, keys: Int[Tensor, " b"]) -> tuple[Int[Tensor, "b _h"], ...]:
    """Uniform permutations of hidden units, by sorting 64-bit draws, which almost never tie."""
    return tuple(
        rng.bits(rng.fold(keys, layer), width).argsort(dim=1)
        for layer, width in enumerate(spec.widths[1:-1])
    )


def _map(function: Callable[..., Int[Tensor, "b _h"]], symmetries: Sequence[Symmetry]) -> Symmetry:
    def each(*layers: tuple[Int[Tensor, "_b _h"], ...]) -> tuple[Int[Tensor, "b _h"], ...]:
        return tuple(function(*layer) for layer in zip(*layers, strict=True))

    return replace(
        symmetries[0],
        permutations=each(*(s.permutations for s in symmetries)),
        signs=each(*(s.signs for s in symmetries)),
        phases=each(*(s.phases for s in symmetries)),
    )


def take(symmetry: Symmetry, index: slice | Int[Tensor, " r"]) -> Symmetry:
    """The elements of the INRs at index."""
    return _map(lambda layer: layer[index], [symmetry])


def select(mask: Bool[Tensor, " b"], yes: Symmetry, no: Symmetry) -> Symmetry:
    """The elements of yes where mask is true and those of no elsewhere."""
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
    """Reorder hidden units; no bit of any weight changes.

    Position i takes unit permutations[l][:, i]: rows of a layer and columns of the next move
    together, so the function stays the same.
    """
    _check_layers("permutations", permutations, params)
    weights, biases = list(params.weights), list(params.biases)
    for l, order in enumerate(permutations):
        # Indexing moves numbers without arithmetic, so every bit survives.
        weights[l] = torch.take_along_dim(weights[l], order[:, :, None], dim=1)
        biases[l] = torch.take_along_dim(biases[l], order, dim=1)
        weights[l + 1] = torch.take_along_dim(weights[l + 1], order[:, None, :], dim=2)
    return Params(weights=tuple(weights), biases=tuple(biases))


def negate(
    params: Params,
    signs: Sequence[Int[Tensor, "b _h"] | Float[Tensor, "b _h"]],
    is_even: bool = False,
) -> Params:
    """Flip the signs of hidden units; exact for odd activations, and for even ones if is_even.

    sin(-z) = -sin(z), so negating all that enters a unit and all that leaves it cancels. An even
    function has no sign to cancel, so what leaves the unit stays.

    Args:
        signs: (b, h_l) of +1 and -1 for each hidden layer.
    """
    _check_layers("signs", signs, params)
    weights, biases = list(params.weights), list(params.biases)
    for l, sign in enumerate(signs):
        # Products with +1 and -1 are exact in any dtype.
        sign = sign.to(params.dtype)
        weights[l] = sign[:, :, None] * weights[l]
        biases[l] = sign * biases[l]
        if not is_even:
            weights[l + 1] = weights[l + 1] * sign[:, None, :]
    return Params(weights=tuple(weights), biases=tuple(biases))


def shift_phase(
    params: Params, phases: Sequence[Int[Tensor, "b _h"]], omega: Sequence[float]
) -> Params:
    """Shift sine units by k half periods.

    sin(omega (z + k pi / omega)) = (-1)^k sin(omega z), and the outgoing weights undo the (-1)^k.
    This is exact up to the rounding of the new bias, which changes the phase by omega times half
    a unit in its last place. So compose or wrap shifts that follow each other.

    Args:
        phases: (b, h_l) integers k for each hidden layer.
        omega: frequency of each hidden layer.
    """
    _check_layers("phases", phases, params)
    weights, biases = list(params.weights), list(params.biases)
    for l, (phase, frequency) in enumerate(zip(phases, omega, strict=True)):
        # In float64, because float32 would lose digits of large k.
        shift = (phase.to(torch.float64) * (math.pi / frequency)).to(params.dtype)
        biases[l] = biases[l] + shift
        weights[l + 1] = weights[l + 1] * parity(phase)[:, None, :].to(params.dtype)
    return Params(weights=tuple(weights), biases=tuple(biases))


def wrap_phase(params: Params, omega: Sequence[float]) -> Params:
    """Wrap hidden biases of a sine network into one period, [-pi / omega, pi / omega].

    Whole periods change neither the function nor the outgoing weights.
    """
    biases = list(params.biases)
    for l, frequency in enumerate(omega):
        period = 2.0 * math.pi / frequency
        # Detached: the number of periods is constant, and round has no useful gradient.
        biases[l] = biases[l] - period * torch.round(biases[l].detach() / period)
    return Params(weights=params.weights, biases=tuple(biases))


def scale_units(params: Params, factors: Sequence[Float[Tensor, "b _h"]]) -> Params:
    """Scale hidden units of a ReLU network by positive factors.

    relu(c z) = c relu(z) for c > 0, so dividing the outgoing weights by c keeps the function.
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
    """(-1)^k, also for negative k."""
    # In two's complement, & 1 gives the parity of negative numbers, too.
    return 1 - 2 * (phases & 1)


def apply(params: Params, symmetry: Symmetry) -> Params:
    """Apply a group element: new weights, the same function."""
    permuted = permute(params, symmetry.permutations)
    signed = negate(permuted, symmetry.signs, symmetry.is_even)
    return shift_phase(signed, symmetry.phases, symmetry.omega)


def compose(second: Symmetry, first: Symmetry) -> Symmetry:
    """The element that applies first, then second, with every phase wrapped to 0 or 1.

    Two half periods do not change the function, so wrapping keeps the biases of long products
    small. Applying the elements one after the other can give biases that differ by whole periods.
    """
    if second.omega != first.omega:
        raise ValueError(f"second and first need one omega; got {second.omega} and {first.omega}")
    if second.is_even != first.is_even:
        raise ValueError("second and first need one activation; got an even one and another")
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
        # The second sign also flips the shift that the first element made.
        phases.append((phase + sign * phase_1.gather(1, order)) & 1)
    return replace(
        first, permutations=tuple(permutations), signs=tuple(signs), phases=tuple(phases)
    )


def inverse(symmetry: Symmetry) -> Symmetry:
    """The inverse element; its phases are not wrapped."""
    # argsort of a permutation is its inverse.
    back = tuple(order.argsort(dim=1) for order in symmetry.permutations)
    signs = tuple(s.gather(1, order) for s, order in zip(symmetry.signs, back, strict=True))
    phases = tuple(
        -sign * phase.gather(1, order)
        for sign, phase, order in zip(signs, symmetry.phases, back, strict=True)
    )
    return replace(symmetry, permutations=back, signs=signs, phases=phases)


def require_activation(spec: InrSpec, action: str, allowed: Sequence[str]) -> None:
    """Raise ValueError unless the action suits the activation of this spec."""
    if spec.activation not in allowed:
        raise ValueError(
            f"{action} needs an activation among {', '.join(allowed)}; got {spec.activation}"
        )
