"""Templates: one reference for many INRs, so that aligning each once aligns any two of them.

A template is an INR of the batch, the medoid of a few, or the iterated mean of aligned weights,
the idea of Git Re-Basin's MergeMany (arXiv 2209.04836, algorithm 3).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core.config import MatchConfig
from inrgen.core.matching import match
from inrgen.core.params import Params, map_pairs
from inrgen.core.spec import InrSpec

# Enough rounds of the iterated mean to come close to its limit on fitted images.
ROUNDS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignedSum:
    """Sums over aligned INRs that are finite, in float64.

    Sums of parts add up to the sum of the whole, so many workers can share a round.

    Attributes:
        total: sum of the weights, as a batch of one.
        count: number of INRs.
        distance: sum of their squared distances from the template.
    """

    total: Params
    count: int
    distance: float

    def __add__(self, other: "AlignedSum") -> "AlignedSum":
        return AlignedSum(
            total=map_pairs(torch.add, self.total, other.total),
            count=self.count + other.count,
            distance=self.distance + other.distance,
        )

    def mean(self) -> Params:
        """The mean as a float32 batch of one. Raises ValueError if no INR was finite."""
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
    """Align a batch to a template and sum it: one part of a round of the iterated mean.

    names: names of INRs, as in match; they make the result independent of the parts.
    """
    found = match(spec, template, params, config, names=names)
    # A single NaN would spoil the whole mean.
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
    """Align INRs to a template, take their mean as the next template, and repeat.

    Averaging cannot raise the sum of squared distances from the template, nor could the best
    alignment. A search comes near enough to the best one that rounds descend, except that the
    last ones may waver.

    Args:
        start: the first template; the first finite INR if None.
        names: names of INRs, as in match.

    Returns:
        A batch of one.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be positive; got {rounds}")
    template = first_finite(params) if start is None else start
    for _ in range(rounds):
        template = aligned_sum(spec, template, params, config, names).mean()
    return template.to(dtype=params.dtype)


def first_finite(params: Params) -> Params:
    """The first INR whose values are all finite, as a batch of one."""
    finite = params.flat().isfinite().all(dim=1).nonzero()[:, 0]
    if len(finite) == 0:
        raise ValueError(f"params needs at least 1 INR that is finite; got 0 of {len(params)}")
    return params[finite[:1]]


def _pairwise_distances(
    spec: InrSpec,
    params: Params,
    config: MatchConfig | None,
    names: Int[Tensor, " b"] | None,
) -> Float[Tensor, "b b"]:
    """Squared distances after alignment; entry [i, j] aligns j to i. Takes b^2 matchings."""
    num = len(params)
    rows = [match(spec, params[i : i + 1], params, config, names=names).after for i in range(num)]
    return torch.stack(rows) if rows else torch.zeros(0, 0, dtype=torch.float64)


def medoid(
    spec: InrSpec,
    params: Params,
    config: MatchConfig | None = None,
    names: Int[Tensor, " b"] | None = None,
) -> Int[Tensor, ""]:
    """Index of the INR with the smallest sum of squared distances to the others, once aligned.

    It takes b^2 matchings, so give it a few dozen INRs. It skips INRs that are not finite.

    Args:
        names: names of INRs, as in match.
    """
    finite = params.flat().isfinite().all(dim=1).nonzero()[:, 0]
    if len(finite) == 0:
        raise ValueError(f"params needs at least 1 INR that is finite; got 0 of {len(params)}")
    # Names must follow their INRs through the selection.
    called = None if names is None else names.cpu()[finite.cpu()]
    sums = _pairwise_distances(spec, params[finite], config, called).sum(dim=1)
    return finite[sums.argmin()]
