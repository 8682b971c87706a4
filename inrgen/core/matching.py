"""Weight matching: find the symmetry that brings each INR nearest to a reference.

Git Re-Basin (arXiv 2209.04836), algorithm 1, is coordinate descent over hidden layers. With all
other layers held, the inner product of two INRs is a sum over matched units of layer l of
A[i, j] = [W_l, b_l]_1 P_{l-1} [W_l, b_l]_2^T + W_{l+1,1}^T P_{l+1} W_{l+1,2}. So the best
permutation of the layer is a linear assignment. For odd activations a unit may also be negated:
the assignment then uses |A|, and the sign of a matched entry is the sign of its unit. Sine
networks may also be shifted by half periods. These change the norm of the biases, so the gain of a
match is the amount that it takes off half the squared distance.

A descent ends where no single layer can improve, and this end depends on the start. The identity,
the published start, contains no information about the units' order. An opening from the ends
matches the last hidden layer first, by its biases and outgoing weights alone, because outputs keep
their order; then the layer below by its connections to that one, and so on. On 3,000 fitted
Fashion-MNIST images and a template it costs no more and comes as near as the better of two
descents from random starts. Two more openings, from disturbed ends, equal four restarts from
random permutations. If units are in order already, as after a shared start or an alignment, such
an opening may end farther away than it began. A descent from the identity never does. So the
thorough search makes both.

It thus never ends farther away than the published descent through the layers in their order. But
published code draws the order of layers anew for each sweep. Of 400 pairs of Fashion-MNIST fits
(2-32-32-1, `fit_views` of pipelines/bench/fitted.py), a descent that begins with the last layer
ends nearer than the thorough search on 13 %, by at most 6 % of the squared distance (signed: 12 %
and 8 %), and farther on 87 % (88 %).
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core import rng, symmetry
from inrgen.core.activations import ODD, PERIODIC
from inrgen.core.config import Kind, MatchConfig
from inrgen.core.descent import descend
from inrgen.core.params import Params, select
from inrgen.core.spec import InrSpec
from inrgen.core.symmetry import Symmetry

# Parameters matched at once. Parts of this size bound the memory needed besides a batch and its
# result: 4 MB in float32, and a few times that for intermediate results.
PART_NUMBERS = 1 << 20
# Size of the disturbance of the ends in restarts, relative to the largest entry. Values from 0.25
# to 1 do equally well.
_DISTURBANCE = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Matching:
    """Result of a search, for each pair.

    A pair with a value that is not finite has the identity, and distances that are not finite.

    Attributes:
        symmetry: the element that takes the INR to aligned.
        aligned: the weights after alignment.
        before: squared distance from the reference before alignment, over all parameters.
        after: the same after alignment.
    """

    symmetry: Symmetry
    aligned: Params
    before: Float[Tensor, " b"]
    after: Float[Tensor, " b"]


def squared_distance(a: Params, b: Params) -> Float[Tensor, " b"]:
    """The sum of squared differences over all weights and biases, in float64, for each INR."""
    parts = zip(a.weights + a.biases, b.weights + b.biases, strict=True)
    return torch.stack(
        [(x.double() - y.double()).square().flatten(1).sum(dim=1) for x, y in parts]
    ).sum(dim=0)


def match(
    spec: InrSpec,
    reference: Params,
    params: Params,
    config: MatchConfig | None = None,
    start: Symmetry | None = None,
    names: Int[Tensor, " b"] | None = None,
) -> Matching:
    """Match every INR to its reference, in float64, on the device of params.

    The distance never grows during a descent.

    Args:
        reference: as many INRs as params, or one for all of them.
        config: the search; MatchConfig() if None.
        start: start of the first descent; its signs and phases count if they are searched. If
            None, config.opening decides.
        names: numbers that name the pairs for the randomness of restarts, so that the result of
            a pair does not depend on its batch. If None, positions in this batch.

    Raises ValueError for a search that the activation does not allow, and for a config.order that
    does not name each hidden layer once a sweep.
    """
    config = config or MatchConfig()
    names = torch.arange(len(params)) if names is None else names.cpu()
    _check(spec, reference, params, config, names)
    size = max(1, PART_NUMBERS // spec.num_params)
    traced = torch.is_grad_enabled() and any(t.requires_grad for t in params.weights)
    # Gradients need the whole batch in memory anyway.
    if traced or len(params) <= size:
        return _match_part(spec, reference, params, config, start, names)
    found = _empty_matching(spec, params)
    for low in range(0, len(params), size):
        rows = slice(low, low + size)
        one = reference if len(reference) == 1 else reference[rows]
        begin = None if start is None else symmetry.take(start, rows)
        part = _match_part(spec, one, params[rows], config, begin, names[rows])
        # Preallocated: keeping small results of each part would fragment memory for the next.
        for place, tensor in zip(_tensors(found), _tensors(part), strict=True):
            place[rows] = tensor
    return found


def _empty_matching(spec: InrSpec, params: Params) -> Matching:
    """A result whose tensors are still to be filled."""
    distances = torch.empty(2, len(params), dtype=torch.float64, device=params.device)
    return Matching(
        symmetry=symmetry.identity(spec, len(params), params.device),
        aligned=params.map(torch.empty_like),
        before=distances[0],
        after=distances[1],
    )


def _tensors(found: Matching) -> tuple[Tensor, ...]:
    aligned, element = found.aligned, found.symmetry
    choices = element.permutations + element.signs + element.phases
    return (*aligned.weights, *aligned.biases, *choices, found.before, found.after)


def _match_part(
    spec: InrSpec,
    reference: Params,
    params: Params,
    config: MatchConfig,
    start: Symmetry | None,
    names: Int[Tensor, " b"],
) -> Matching:
    """Match some pairs of a batch, with all restarts."""
    by_ends = config.opening != "identity"
    ends = _ends(params) if by_ends and start is None else None
    found = _match_from(spec, reference, params, config, start, ends)
    if config.opening == "both":
        found = _nearer(_match_from(spec, reference, params, config, None, None), found)
    for attempt in range(config.restarts):
        keys = rng.keys(config.seed, "match", names, attempt).to(params.device)
        if by_ends:
            other = _match_from(spec, reference, params, config, None, _ends(params, keys))
        else:
            again = replace(
                symmetry.identity(spec, len(params), params.device),
                permutations=symmetry.random_permutations(spec, keys),
            )
            other = _match_from(spec, reference, params, config, again, None)
        found = _nearer(other, found)
    return found


def _ends(params: Params, keys: Int[Tensor, " b"] | None = None) -> Float[Tensor, "b k h"]:
    """Biases of the last hidden layer and its outgoing weights, one column a unit.

    keys: keys of uniform disturbances; None disturbs nothing.
    """
    ends = torch.cat([params.biases[-2][:, None], params.weights[-1]], dim=1).detach().double()
    if keys is None:
        return ends
    # Unlike a mean, a maximum has the same bits in any batch.
    most = _DISTURBANCE * ends.abs().amax(dim=2, keepdim=True)
    return ends + most * rng.uniform(keys, ends.shape[1:], -1.0, 1.0, dtype=torch.float64)


def check_kind(spec: InrSpec, kind: Kind) -> None:
    """Raise ValueError for a kind of matching that the activation does not allow."""
    # For an even activation a sign changes only what enters a unit, so |A| is not its gain.
    if kind != "permutation":
        action = {"signed": "signed matching", "phase": "matching of phases"}[kind]
        allowed = ODD if kind == "signed" else PERIODIC
        if spec.activation not in allowed:
            raise ValueError(
                f"{action} needs an activation among {', '.join(allowed)}, and here it is "
                f"{spec.activation}; give match permutation"
            )


def _check(
    spec: InrSpec,
    reference: Params,
    params: Params,
    config: MatchConfig,
    names: Int[Tensor, " n"],
) -> None:
    check_kind(spec, config.kind)
    if len(reference) not in (1, len(params)):
        raise ValueError(f"reference needs 1 or {len(params)} INRs; got {len(reference)}")
    if len(names) != len(params):
        raise ValueError(f"names needs {len(params)} entries; got {len(names)}")
    for layers in config.order:
        if sorted(layers) != list(range(spec.num_hidden)):
            raise ValueError(
                f"order needs each of {spec.num_hidden} hidden layers once a sweep; got {layers}"
            )


def _nearer(a: Matching, b: Matching) -> Matching:
    # Strict: b wins ties and NaN.
    wins = a.after < b.after
    return Matching(
        symmetry=symmetry.select(wins, a.symmetry, b.symmetry),
        aligned=select(wins, a.aligned, b.aligned),
        before=b.before,
        after=torch.where(wins, a.after, b.after),
    )


def _match_from(
    spec: InrSpec,
    reference: Params,
    params: Params,
    config: MatchConfig,
    start: Symmetry | None,
    ends: Float[Tensor, "b k h"] | None,
) -> Matching:
    """Descend once for each pair, from the part of start that the search may use.

    ends: opens the descent with the result of _ends, unless it is None.
    """
    still = symmetry.identity(spec, len(params), params.device)
    start = start or still
    if config.kind == "permutation":
        start = replace(start, signs=still.signs)
    if config.kind != "phase":
        start = replace(start, phases=still.phases)
    sweeps = _sweeps(spec, config)
    # Gradients flow through aligned, not through the discrete search; autocast would round it.
    with torch.no_grad(), torch.autocast(params.device.type, enabled=False):
        element = descend(spec, reference, params, config.kind, sweeps, start, ends)
    aligned = symmetry.apply(params, element)
    return Matching(
        symmetry=element,
        aligned=aligned,
        before=squared_distance(reference, params),
        after=squared_distance(reference, aligned),
    )


def _sweeps(spec: InrSpec, config: MatchConfig) -> list[tuple[int, ...]]:
    """The hidden layers in order, one tuple a sweep."""
    order = config.order or (tuple(range(spec.num_hidden)),)
    return [order[sweep % len(order)] for sweep in range(config.max_sweeps)]
