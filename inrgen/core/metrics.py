"""Measures: how well an INR reproduces its signal, and how far apart INRs are.

Views of one item are as far apart in weights as strangers until symmetries are taken out.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from inrgen.core import rng
from inrgen.core.config import MatchConfig, thorough
from inrgen.core.matching import match, squared_distance
from inrgen.core.mixing import mix
from inrgen.core.params import Params
from inrgen.core.siren import evaluate
from inrgen.core.spec import InrSpec
from inrgen.kernels import has_numba, share_out

# Float64 activations held at once without numba: about 64 MB.
_ACTIVATIONS_AT_ONCE = 8_000_000


def psnr_db(
    prediction: Float[Tensor, "b n d_out"],
    target: Float[Tensor, "b n d_out"],
    value_width: float,
    weights: Float[Tensor, "b n"] | None = None,
) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio of each INR in dB, unclipped.

    The peak is the width of the spec's value range (1 for [0, 1], 2 for [-1, 1]), not of the one
    image, so results compare across items. A perfect fit gives +inf. The arithmetic is float64 for
    any input; for an exact result evaluate the INR in float64, too.

    weights have the mean 1 over the points of a signal; None weighs all alike.
    """
    square = (prediction.double() - target.double()).square()
    if weights is not None:
        square = weights.double()[:, :, None] * square
    return _to_db(square.mean(dim=(1, 2)), value_width)


def reconstruction_psnr_db(
    spec: InrSpec,
    params: Params,
    coords: Float[Tensor, "c n d_in"],
    values: Float[Tensor, "s n d_out"],
    signal_of: Int[Tensor, " b"],
    weights: Float[Tensor, "s n"] | None = None,
) -> Float[Tensor, " b"]:
    """PSNR of b INRs over the points of their signals, evaluated in float64 on their device.

    The result is NaN for weights that are not finite. SIRENs on a CPU go through compiled
    code, one INR at a time.

    Args:
        coords: one entry that all signals share, or one for each signal.
        values: the signals.
        signal_of: the signal of each INR.
        weights: of the points of each signal, as psnr_db takes them.
    """
    compiled = spec.is_siren and has_numba() and weights is None
    if params.device.type == "cpu" and compiled:
        return _to_db(_errors_compiled(spec, params, coords, values, signal_of), spec.value_width)
    step = max(1, _ACTIVATIONS_AT_ONCE // (coords.shape[1] * max(spec.widths)))
    parts = []
    for rows in torch.arange(len(params), device=params.device).split(step):
        of = signal_of[rows]
        at = coords[of] if len(coords) > 1 else coords[0]
        prediction = evaluate(spec, params[rows].to(dtype=torch.float64), at.double())
        shares = None if weights is None else weights[of]
        parts.append(psnr_db(prediction, values[of], spec.value_width, shares))
    return torch.cat(parts)


def _to_db(mse: Float[Tensor, " b"], value_width: float) -> Float[Tensor, " b"]:
    return 10.0 * torch.log10(value_width**2 / mse)


def _errors_compiled(
    spec: InrSpec, params: Params, coords: Tensor, values: Tensor, signal_of: Tensor
) -> Float[Tensor, " b"]:
    """Mean squared errors; each INR is evaluated alone, so its batch cannot change the result."""
    # numba is slow to load, and absent on bare GPU machines
    from inrgen.kernels.rows import mean_squares

    found = np.empty(len(params))
    # The kernel computes in half turns, so sines need no multiplication by pi.
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
    # Signed distances are negative inside a shape.
    union = (inside_a | inside_b).sum(dim=1)
    both = (inside_a & inside_b).sum(dim=1)
    return torch.where(union > 0, both / union.clamp(min=1), torch.ones_like(both / 1))


def function_distance(
    spec: InrSpec, a: Params, b: Params, coords: Float[Tensor, "*shared n d_in"]
) -> Float[Tensor, " b"]:
    """Root mean square difference of two INRs' values over the points, for each pair."""
    difference = evaluate(spec, a, coords) - evaluate(spec, b, coords)
    return difference.square().mean(dim=(1, 2)).sqrt()


def midpoint_error(
    spec: InrSpec,
    first: Params,
    second: Params,
    coords: Float[Tensor, "n d_in"],
) -> Float[Tensor, " b"]:
    """Distance from the INR halfway between two to the mean of their functions, in value units.

    It is the root mean square over the points. For two views of one signal it is the height of
    the barrier on the straight path between them.
    """
    halfway = mix(first, second, torch.full((len(first),), 0.5, device=first.device))
    mean = (evaluate(spec, first, coords) + evaluate(spec, second, coords)) / 2
    return (evaluate(spec, halfway, coords) - mean).square().mean(dim=(1, 2)).sqrt()


@dataclass(frozen=True, kw_only=True, slots=True)
class DiversityRow:
    """Means over pairs of one sort under one alignment.

    Attributes:
        pairs: "views" of one item, or different "items".
        alignment: "none", or the kind of matching of each pair.
        num_pairs: number of pairs.
        distance: root of the mean squared distance in weights.
        function_rms: root mean square difference of the functions over the points, in value units.
        midpoint_rms: root mean square of midpoint_error.
    """

    pairs: str
    alignment: str
    num_pairs: int
    distance: float
    function_rms: float
    midpoint_rms: float


def _draw_pairs(
    items: Int[Tensor, " b"], num_pairs: int, seed: int
) -> dict[str, tuple[Int[Tensor, " _q"], Int[Tensor, " _q"]]]:
    """Random pairs of rows, up to num_pairs of one item and as many of different items."""
    keys = rng.keys(seed, "diversity", torch.arange(num_pairs, device=items.device))
    # After sorting by item, neighbours are views of one item wherever an item has two views.
    order = items.argsort(stable=True)
    twins = (items[order][1:] == items[order][:-1]).nonzero()[:, 0]
    found = {}
    if len(twins):
        chosen = twins[rng.integers(rng.fold(keys, 0), (), 0, len(twins))].unique()
        found["views"] = (order[chosen], order[chosen + 1])
    first, second = (rng.integers(rng.fold(keys, part), (), 0, len(items)) for part in (1, 2))
    apart = items[first] != items[second]
    found["items"] = (first[apart], second[apart])
    return found


def measure_diversity(
    spec: InrSpec,
    params: Params,
    items: Int[Tensor, " b"],
    coords: Float[Tensor, "n d_in"],
    alignments: tuple[MatchConfig, ...] = (thorough("permutation"), thorough("signed")),
    num_pairs: int = 256,
    seed: int = 0,
) -> tuple[DiversityRow, ...]:
    """Distances between views of one item and between items, before and after alignment.

    INRs that are not finite do not count.

    Args:
        items: the item of each INR.
        coords: the points at which functions are compared.
        alignments: the matchings to try; each aligns pair by pair.
        num_pairs: number of pairs of each sort to draw. Repeats are dropped, and so are pairs of
            one item among those of different items.

    Raises ValueError for items that do not fit params.
    """
    if len(items) != len(params):
        raise ValueError(f"items needs {len(params)} entries; got {len(items)}")
    if num_pairs < 1:
        raise ValueError(f"num_pairs must be positive; got {num_pairs}")
    # One bad INR would turn every mean into NaN.
    good = params.flat().isfinite().all(dim=1)
    params, items = params[good], items.to(params.device)[good]
    rows = []
    for sort, (first, second) in _draw_pairs(items, num_pairs, seed).items():
        if len(first) == 0:
            continue
        one, two = params[first], params[second]
        apart = function_distance(spec, one, two, coords)
        trials = [("none", two, squared_distance(one, two))]
        for config in alignments:
            found = match(spec, one, two, config)
            trials.append((config.kind, found.aligned, found.after))
        for name, moved, distance in trials:
            halfway = midpoint_error(spec, one, moved, coords)
            rows.append(
                DiversityRow(
                    pairs=sort,
                    alignment=name,
                    num_pairs=len(first),
                    distance=float(distance.mean().sqrt()),
                    function_rms=float(apart.square().mean().sqrt()),
                    midpoint_rms=float(halfway.square().mean().sqrt()),
                )
            )
    return tuple(rows)
