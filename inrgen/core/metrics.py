"""How well an INR stands for its signal, and how far two INRs are apart as functions."""

import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec


def psnr_db(
    prediction: Float[Tensor, "b n d_out"], target: Float[Tensor, "b n d_out"], value_width: float
) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio of each INR in dB, unclipped.

    The peak is the width of the convention's value range (1 for [0, 1], 2 for [-1, 1]), not that
    of the one image, so figures compare across items. A perfect fit is +inf. Worked out in float64
    whatever comes in; for an exact figure evaluate the INR in float64 too.
    """
    mse = (prediction.double() - target.double()).square().mean(dim=(1, 2))
    return 10.0 * torch.log10(value_width**2 / mse)


def iou(prediction: Float[Tensor, "b n"], target: Float[Tensor, "b n"]) -> Float[Tensor, " b"]:
    """Intersection over union of the insides, where values are negative; 1 if both are empty."""
    inside_a, inside_b = prediction < 0, target < 0
    union = (inside_a | inside_b).sum(dim=1)
    both = (inside_a & inside_b).sum(dim=1)
    return torch.where(union > 0, both / union.clamp(min=1), torch.ones_like(both / 1))


def function_distance(
    spec: InrSpec, a: Params, b: Params, coords: Float[Tensor, "*shared n d_in"]
) -> Float[Tensor, " b"]:
    """Root mean square difference of two INRs' values over the points, one figure a pair."""
    difference = evaluate(spec, a, coords) - evaluate(spec, b, coords)
    return difference.square().mean(dim=(1, 2)).sqrt()
