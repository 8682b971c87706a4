"""How well an INR stands for its signal, and how far two INRs are apart as functions."""

import math
from importlib.util import find_spec

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core.assignment import share_out
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec

# Activations held at once where torch works errors out, in float64: about 64 MB.
_ACTIVATIONS_AT_ONCE = 8_000_000


def psnr_db(
    prediction: Float[Tensor, "b n d_out"], target: Float[Tensor, "b n d_out"], value_width: float
) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio of each INR in dB, unclipped.

    The peak is the width of the convention's value range (1 for [0, 1], 2 for [-1, 1]), not that
    of the one image, so figures compare across items. A perfect fit is +inf. Worked out in float64
    whatever comes in; for an exact figure evaluate the INR in float64 too.
    """
    return _to_db((prediction.double() - target.double()).square().mean(dim=(1, 2)), value_width)


def reconstruction_psnr_db(
    spec: InrSpec,
    params: Params,
    coords: Float[Tensor, "c n d_in"],
    values: Float[Tensor, "s n d_out"],
    signal_of: Int[Tensor, " b"],
) -> Float[Tensor, " b"]:
    """PSNR of b INRs over the points of the signal of each, evaluated in float64, on their device.

    coords has one entry that all signals share, or one a signal; NaN for weights that are not
    finite. Sine networks on a CPU go through compiled code, one INR at a time on torch's threads.
    """
    compiled = spec.activation == "sine" and find_spec("numba") is not None
    if params.device.type == "cpu" and compiled:
        return _to_db(_errors_compiled(spec, params, coords, values, signal_of), spec.value_width)
    step = max(1, _ACTIVATIONS_AT_ONCE // (coords.shape[1] * max(spec.widths)))
    parts = []
    for rows in torch.arange(len(params), device=params.device).split(step):
        of = signal_of[rows]
        at = coords[of] if len(coords) > 1 else coords[0]
        prediction = evaluate(spec, params[rows].to(dtype=torch.float64), at.double())
        parts.append(psnr_db(prediction, values[of], spec.value_width))
    return torch.cat(parts)


def _to_db(mse: Float[Tensor, " b"], value_width: float) -> Float[Tensor, " b"]:
    return 10.0 * torch.log10(value_width**2 / mse)


def _errors_compiled(
    spec: InrSpec, params: Params, coords: Tensor, values: Tensor, signal_of: Tensor
) -> Float[Tensor, " b"]:
    """Mean squared errors, of each INR alone, so that they depend on no batch."""
    # numba is slow to load, and absent on bare GPU machines
    from inrgen.kernels.rows import mean_squares

    found = np.empty(len(params))
    shared = (
        np.array(spec.widths),
        np.array([omega / math.pi for omega in spec.omega] + [1.0]),
        spec.output_offset,
        params.flat().contiguous().numpy(),
        coords.contiguous().numpy(),
        values.contiguous().numpy(),
        signal_of.contiguous().numpy(),
        found,
    )

    def work(start: int, stop: int) -> None:
        mean_squares(*shared, start, stop)

    share_out(work, len(params), spec.num_params * values.shape[1])
    return torch.from_numpy(found)


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
