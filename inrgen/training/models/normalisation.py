"""Statistics that inputs are normalised by, no finer than a network's symmetries allow."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.core.params import Params

Normalisation = Literal["element", "tensor", "none"]


def coarsen(kind: Normalisation, mean: Params, deviation: Params) -> tuple[Params, Params]:
    """Mean and deviation for the inputs of a network, as Params of one INR.

    "element" keeps one number a parameter. Such statistics distinguish the units of a layer, so a
    network that is blind to their order needs "tensor": one mean and one deviation for all entries
    of a tensor in all INRs. A network that is blind to signs can have no mean, because means do not
    change sign with the units: "none" is for networks that take weights as they are. A parameter
    that never varies is divided by 1.

    Args:
        kind: the network's `normalisation`.
        mean, deviation: statistics of every parameter over the training rows, the variance
            divided by their number.
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
    """The statistics of one tensor, expanded to its shape."""
    # The difference of squares below would cancel in float32.
    center, spread = mean.double(), deviation.double()
    if kind == "tensor":
        # E[x^2] of all entries, from the mean and deviation of each.
        power = (center.square() + spread.square()).mean()
        center = center.mean().expand(mean.shape)
        spread = (power - center.square()).clamp(min=0).sqrt()
    # Below the rounding of a float mean, a deviation is noise, and dividing by it would explode.
    tiny = spread <= 1e-6 * center.abs()
    spread = torch.where(tiny, torch.ones_like(spread), spread)
    return center.to(mean.dtype).clone(), spread.to(mean.dtype).clone()
