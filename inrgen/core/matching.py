"""Find the symmetry that carries one INR nearest another: weight matching, for a batch of pairs.

Git Re-Basin (arXiv 2209.04836), algorithm 1: coordinate descent over hidden layers. With all other
layers held, the inner product of two INRs is a sum over matched units of layer l of
A[i, j] = [W_l, b_l]_1 P_{l-1} [W_l, b_l]_2^T + W_{l+1,1}^T P_{l+1} W_{l+1,2}, so the best
permutation of the layer is a linear assignment. For odd activations a unit may also be negated:
the assignment is then solved on |A|, and the sign of a matched entry is that unit's sign. For sine
half periods may be searched as well; they change the norm of the biases, so the gain of a match is
what it takes off half the squared distance.

A descent ends where no layer alone can do better, and where that is depends on where it starts.
The identity, as published, tells nothing of the units' order. Openings from the ends settle the
last hidden layer first, by its biases and outgoing weights alone, since outputs have no order that
could be lost; then the layer below by what it shares with that one, and so on. On 3,000 fitted
Fashion-MNIST images and a template this costs no more and comes as near as the better of two
descents from random starts; two openings more, by disturbed ends, do what four restarts from random
permutations do. Where units stand in order already, as after a shared start or an alignment,
they may end farther than they began, which no descent from the identity does: so the thorough
search makes one of each, and comes no less near to the templates of fitted images.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core import rng, symmetry
from inrgen.core.matching_compiled import descend_compiled
from inrgen.core.matching_tensors import descend_tensors
from inrgen.core.mixing import select
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec
from inrgen.core.symmetry import Kind, Symmetry

# Pairs go through in parts of so many numbers, so that what is held besides a batch and its result
# does not grow with the batch: 4 MB in float32, a few times as much with what becomes of it.
PART_NUMBERS = 1 << 20
# How far restarts disturb the ends, in shares of the largest one. A quarter to a whole do alike.
_DISTURBANCE = 0.5

Opening = Literal["identity", "ends", "both"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchConfig:
    """What to search, and for how long.

    kind: "permutation" as published; "signed" with the sign of each unit; "phase" with half
        periods too.
    order: the hidden layers in the order to take them, one tuple a sweep, over again from the
        first when they are through; () takes layers from the first to the last.
    max_sweeps: over the layers; the descent ends sooner where a sweep changes nothing.
    restarts: so many further descents; the nearest result counts. From random permutations or,
        where ends open, by ends that are disturbed at random.
    seed: names the randomness of restarts.
    opening: "identity" starts there, as published; "ends" matches the hidden layers once from the
        last to the first, each by what it shares with outputs, coordinates, and layers matched so
        far, which may end farther than the identity; "both" takes the nearer of the two.
    """

    kind: Kind = "signed"
    order: tuple[tuple[int, ...], ...] = ()
    max_sweeps: int = 100
    restarts: int = 0
    seed: int = 0
    opening: Opening = "identity"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {get_args(Kind)}; got {self.kind!r}")
        if self.max_sweeps < 1 or self.restarts < 0:
            raise ValueError(
                "max_sweeps must be positive and restarts not negative; "
                f"got {self.max_sweeps} and {self.restarts}"
            )
        if self.opening not in get_args(Opening):
            raise ValueError(f"opening must be one of {get_args(Opening)}; got {self.opening!r}")


def thorough(kind: Kind) -> MatchConfig:
    """The search for work that is done once: both openings, and three restarts.

    It takes five times as long as a single descent, and never ends farther than it began.
    """
    return MatchConfig(kind=kind, restarts=3, opening="both")


@dataclass(frozen=True, kw_only=True, slots=True)
class Matching:
    """What a search found for each pair.

    symmetry carries the INR to aligned; before and after are its squared distances from the
    reference, summed over all weights and biases. A pair that holds a value that is not finite
    has the identity, and distances that are not finite.
    """

    symmetry: Symmetry
    aligned: Params
    before: Float[Tensor, " b"]
    after: Float[Tensor, " b"]


def squared_distance(a: Params, b: Params) -> Float[Tensor, " b"]:
    """The sum over all weights and biases of squared differences, in float64, one an INR."""
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

    Args:
        reference: as many INRs as params, or one for them all.
        config: what to search; MatchConfig() if None.
        start: where the first descent starts, in signs and phases as far as they are searched; as
            config.opening says if None.
        names: numbers that name the pairs, for the randomness of restarts: with them a pair's
            result is the same in whatever batch. Places in this one if None.

    The distance never grows over a descent. Raises ValueError for a search that the activation
    does not allow, and for layers in config.order that are not there.
    """
    config = config or MatchConfig()
    names = torch.arange(len(params)) if names is None else names.cpu()
    _check(spec, reference, params, config, names)
    size = max(1, PART_NUMBERS // spec.num_params)
    traced = torch.is_grad_enabled() and any(t.requires_grad for t in params.weights)
    # What a gradient will be asked of is held as a whole anyhow.
    if traced or len(params) <= size:
        return _match_part(spec, reference, params, config, start, names)
    found = _room_for(spec, params)
    for low in range(0, len(params), size):
        rows = slice(low, low + size)
        one = reference if len(reference) == 1 else reference[rows]
        begin = None if start is None else symmetry.take(start, rows)
        part = _match_part(spec, one, params[rows], config, begin, names[rows])
        # Made beforehand: small results kept from each part would keep its memory from the next.
        for place, tensor in zip(_tensors(found), _tensors(part), strict=True):
            place[rows] = tensor
    return found


def _room_for(spec: InrSpec, params: Params) -> Matching:
    """A result to be filled in."""
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
    """Match some pairs of a batch, restarts included."""
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
    """The biases of the last hidden layer and the weights that go out of it, one column a unit.

    keys: of disturbances, evenly spread; none if None.
    """
    ends = torch.cat([params.biases[-2][:, None], params.weights[-1]], dim=1).detach().double()
    if keys is None:
        return ends
    # The largest number is the same to the bit in any batch, which a mean need not be.
    most = _DISTURBANCE * ends.abs().amax(dim=2, keepdim=True)
    return ends + most * rng.uniform(keys, ends.shape[1:], -1.0, 1.0, dtype=torch.float64)


def _check(
    spec: InrSpec,
    reference: Params,
    params: Params,
    config: MatchConfig,
    names: Int[Tensor, " n"],
) -> None:
    if config.kind == "signed":
        symmetry.require_activation(spec, "signed matching", ("sine", "tanh"))
    if config.kind == "phase":
        symmetry.require_activation(spec, "matching of phases", ("sine",))
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
    wins = a.after < b.after
    return Matching(
        symmetry=symmetry.where(wins, a.symmetry, b.symmetry),
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
    """One descent for each pair, from as much of start as the search may use.

    ends: opens the descent, if it is not None: what _ends gives.
    """
    still = symmetry.identity(spec, len(params), params.device)
    start = start or still
    if config.kind == "permutation":
        start = replace(start, signs=still.signs)
    if config.kind != "phase":
        start = replace(start, phases=still.phases)
    sweeps = _sweeps(spec, config)
    with torch.no_grad(), torch.autocast(params.device.type, enabled=False):
        descend = descend_compiled if params.device.type == "cpu" else descend_tensors
        element = descend(spec, reference, params, config.kind, sweeps, start, ends)
    aligned = symmetry.apply(params, element)
    return Matching(
        symmetry=element,
        aligned=aligned,
        before=squared_distance(reference, params),
        after=squared_distance(reference, aligned),
    )


def _sweeps(spec: InrSpec, config: MatchConfig) -> list[tuple[int, ...]]:
    """The hidden layers in their order, one tuple a sweep."""
    order = config.order or (tuple(range(spec.num_hidden)),)
    return [order[sweep % len(order)] for sweep in range(config.max_sweeps)]
