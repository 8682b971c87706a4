"""One reference for many INRs: aligned to it once, any two are aligned to each other.

The chosen INR itself, the medoid of a few, or the iterated mean of the aligned weights, which is
the idea of Git Re-Basin's MergeMany (arXiv 2209.04836, algorithm 3).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core.matching import MatchConfig, match
from inrgen.core.params import Params
from inrgen.core.spec import InrSpec

# Rounds of the iterated mean that come close to the end on fitted images.
ROUNDS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignedSum:
    """What aligned INRs add up to: sums over the finite ones, in float64, and how many they are.

    distance is the sum of their squared distances from the template. Sums of parts add up to the
    sum of the whole, so many workers can share a round.
    """

    total: Params
    count: int
    distance: float

    def __add__(self, other: "AlignedSum") -> "AlignedSum":
        pairs = zip(self.total.weights, other.total.weights, strict=True)
        biases = zip(self.total.biases, other.total.biases, strict=True)
        return AlignedSum(
            total=Params(
                weights=tuple(a + b for a, b in pairs), biases=tuple(a + b for a, b in biases)
            ),
            count=self.count + other.count,
            distance=self.distance + other.distance,
        )

    def mean(self) -> Params:
        """The mean of the aligned INRs, a float32 template of one; ValueError if there is none."""
        if self.count == 0:
            raise ValueError("a mean needs at least 1 INR that is finite; got 0")
        return self.total.map(lambda tensor: tensor / self.count).to(dtype=torch.float32)


def aligned_sum(
    spec: InrSpec,
    template: Params,
    params: Params,
    config: MatchConfig | None = None,
    names: Int[Tensor, " b"] | None = None,
) -> AlignedSum:
    """Align a batch to a template and add it up: one part of a round of the iterated mean.

    names: of INRs, as in match: with them it does not matter how parts are cut.
    """
    found = match(spec, template, params, config, names=names)
    good = found.after.isfinite()
    return AlignedSum(
        total=found.aligned.map(lambda tensor: tensor[good].double().sum(dim=0, keepdim=True)),
        count=int(good.sum()),
        distance=float(found.after[good].sum()),
    )


def iterated_mean(
    spec: InrSpec,
    params: Params,
    start: Params | None = None,
    config: MatchConfig | None = None,
    rounds: int = ROUNDS,
    names: Int[Tensor, " b"] | None = None,
) -> Params:
    """The mean of INRs aligned to the mean of INRs aligned to ... a start: a template of one.

    Averaging cannot raise the sum of squared distances from the template, and the best alignment
    could not; one that a search finds comes so near to it that rounds descend, but for the last
    ones, which may waver.

    start: the first template; the first finite INR if None.
    names: of INRs, as in match.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be positive; got {rounds}")
    template = first_finite(params) if start is None else start
    for _ in range(rounds):
        template = aligned_sum(spec, template, params, config, names).mean()
    return template.to(dtype=params.dtype)


def first_finite(params: Params) -> Params:
    """The first INR without a value that is not finite, as a batch of one."""
    finite = params.flat().isfinite().all(dim=1).nonzero()[:, 0]
    if len(finite) == 0:
        raise ValueError(f"params needs at least 1 INR that is finite; got 0 of {len(params)}")
    return params[finite[:1]]


def pairwise_distances(
    spec: InrSpec,
    params: Params,
    config: MatchConfig | None = None,
    names: Int[Tensor, " b"] | None = None,
) -> Float[Tensor, "b b"]:
    """Squared distances after alignment, [i, j] that of j aligned to i; b^2 matchings.

    names: of INRs, as in match.
    """
    num = len(params)
    rows = [match(spec, params[i : i + 1], params, config, names=names).after for i in range(num)]
    return torch.stack(rows) if rows else torch.zeros(0, 0, dtype=torch.float64)


def medoid(
    spec: InrSpec,
    params: Params,
    config: MatchConfig | None = None,
    names: Int[Tensor, " b"] | None = None,
) -> Int[Tensor, ""]:
    """The place of the INR from which all others are least far in sum, after alignment.

    It costs b^2 matchings: give it a few dozen INRs. Those that are not finite do not count.
    names: of INRs, as in match.
    """
    finite = params.flat().isfinite().all(dim=1).nonzero()[:, 0]
    if len(finite) == 0:
        raise ValueError(f"params needs at least 1 INR that is finite; got 0 of {len(params)}")
    called = None if names is None else names.cpu()[finite.cpu()]
    sums = pairwise_distances(spec, params[finite], config, called).sum(dim=1)
    return finite[sums.argmin()]
