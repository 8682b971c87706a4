"""Statistics that inputs are normalised by, no finer than a network's symmetries allow."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.core.params import Params

Normalisation = Literal["element", "tensor", "none"]


def coarsen(kind: Normalisation, mean: Params, deviation: Params) -> tuple[Params, Params]:
    """Mean and deviation by which inputs of a network are normalised, as Params of one INR.

    "element" keeps one number a parameter. It tells units of a layer apart, so a network that
    shall not see their order needs "tensor": one mean and one deviation for all of a tensor's
    entries in all INRs. A network that shall not see signs either bears no mean, which they do not
    turn: "none" is for one that takes weights as they are. What never varies is divided by 1.

    Args:
        kind: what the network names as its `normalisation`.
        mean, deviation: of every parameter over the training rows (variance over their number).
    """
    if kind == "none":
        return mean.map(torch.zeros_like), deviation.map(torch.ones_like)
    weights = [_coarse(kind, m, s) for m, s in zip(mean.weights, deviation.weights, strict=True)]
    biases = [_coarse(kind, m, s) for m, s in zip(mean.biases, deviation.biases, strict=True)]
    return (
        Params(weights=tuple(w[0] for w in weights), biases=tuple(b[0] for b in biases)),
        Params(weights=tuple(w[1] for w in weights), biases=tuple(b[1] for b in biases)),
    )


def _coarse(
    kind: Normalisation, mean: Float[Tensor, "1 ..."], deviation: Float[Tensor, "1 ..."]
) -> tuple[Float[Tensor, "1 ..."], Float[Tensor, "1 ..."]]:
    """The statistics of one tensor, each number at every place that it holds for."""
    center, spread = mean.double(), deviation.double()
    if kind == "tensor":
        power = (center.square() + spread.square()).mean()
        center = center.mean().expand(mean.shape)
        spread = (power - center.square()).clamp(min=0).sqrt()
    # Below a float's rounding of the mean a deviation is noise, and dividing by it would blow up.
    tiny = spread <= 1e-6 * center.abs()
    spread = torch.where(tiny, torch.ones_like(spread), spread)
    return center.to(mean.dtype).clone(), spread.to(mean.dtype).clone()
