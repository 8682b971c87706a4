"""Exact changes of convention: other weights, the same picture as others read it.

Each function edits weights and leaves what they show as it was, so the only error is rounding.
What shows the same: a point at the same place of the grid, a value at the same place of its range.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec

_PAIRS = ({"xy", "ij"},)


def map_coords(
    params: Params, order: tuple[int, ...], scale: float, shift: Float[Tensor, " d_in"]
) -> Params:
    """g(x) = f(y), where coordinate order[i] of x, times scale, plus shift[i], is y's i-th.

    W_0 (scale P x + shift) + b_0 has the weights scale W_0 P and the bias b_0 + W_0 shift.
    """
    first = params.weights[0]
    columns = [order.index(i) for i in range(len(order))]
    moved = scale * first[:, :, columns]
    bias = params.biases[0] + (first * shift.to(first)).sum(dim=2)
    return Params(weights=(moved, *params.weights[1:]), biases=(bias, *params.biases[1:]))


def map_values(
    params: Params,
    scale: Float[Tensor, " d_out"],
    shift: Float[Tensor, " d_out"],
    offsets: tuple[float, float],
) -> Params:
    """g = scale f + shift, for each output, where f adds offsets[0] to its last layer and g [1].

    W_L <- scale W_L; b_L <- scale (b_L + offsets[0]) + shift - offsets[1].
    """
    scale, shift = scale.to(params.biases[-1]), shift.to(params.biases[-1])
    weight = scale[:, None] * params.weights[-1]
    # b is kept apart from the sum of constants, so that steps that cancel leave it as it was
    bias = scale * params.biases[-1] + (scale * offsets[0] + shift - offsets[1])
    return Params(weights=(*params.weights[:-1], weight), biases=(*params.biases[:-1], bias))


def set_omega(params: Params, before: tuple[float, ...], after: tuple[float, ...]) -> Params:
    """The same pre-activations omega (W h + b) from another omega: W and b times before / after."""
    ratios = [old / new for old, new in zip(before, after, strict=True)] + [1.0]
    return Params(
        weights=tuple(w * r for w, r in zip(params.weights, ratios, strict=True)),
        biases=tuple(b * r for b, r in zip(params.biases, ratios, strict=True)),
    )


def _coord_order(before: InrSpec, after: InrSpec) -> tuple[int, ...]:
    if before.coord_order == after.coord_order:
        return tuple(range(before.d_in))
    if {before.coord_order, after.coord_order} not in _PAIRS:
        raise ValueError(
            f"coord_order {before.coord_order!r} cannot become {after.coord_order!r}: "
            "only xy and ij are each other's mirror"
        )
    return (1, 0)


def convert(params: Params, before: InrSpec, after: InrSpec) -> Params:
    """Weights that show under the conventions of after what params show under those of before.

    Coordinates follow coord_order and coord_range, values value_range and output_offset, and
    hidden layers omega. Occupancy f, a half on the surface, may become the logit 0.5 - f, which is
    negative inside as a distance is. Worked out in the dtype of params.

    Raises ValueError for specs of other widths, activation or kind of values.
    """
    turned = (before.value_kind, after.value_kind) == ("occupancy", "logit")
    for name in ("widths", "activation", *(() if turned else ("value_kind",))):
        if getattr(before, name) != getattr(after, name):
            raise ValueError(
                f"{name} must stay as it is; got {getattr(before, name)} and {getattr(after, name)}"
            )
    order = _coord_order(before, after)
    (low, high), (new_low, new_high) = before.coord_range, after.coord_range
    ratio = (high - low) / (new_high - new_low)
    shift = torch.full((before.d_in,), low - ratio * new_low, dtype=torch.float64)
    gain = after.value_width / before.value_width
    lift = after.value_range[0] - gain * before.value_range[0]
    if turned:
        gain, lift = -1.0, 0.5
    scales = torch.full((before.d_out,), gain, dtype=torch.float64)
    lifts = torch.full((before.d_out,), lift, dtype=torch.float64)
    moved = map_coords(params, order, ratio, shift)
    valued = map_values(moved, scales, lifts, (before.output_offset, after.output_offset))
    return set_omega(valued, before.omega, after.omega)


def standardisation(
    spec: InrSpec, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[Float[Tensor, " d_out"], Float[Tensor, " d_out"]]:
    """Mean and deviation of each output, from one number or one for each.

    Raises ValueError for any other count, numbers that are not finite and a std of 0 or less.
    """
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, spec.d_out):
            raise ValueError(
                f"{name} needs 1 or {spec.d_out} numbers for {spec.architecture}; got {values}"
            )
    means, stds = (torch.tensor(v, dtype=torch.float64).expand(spec.d_out) for v in (mean, std))
    if not bool(means.isfinite().all()):
        raise ValueError(f"mean must be finite; got {mean}")
    if not bool((stds.isfinite() & (stds > 0)).all()):
        raise ValueError(f"std must be positive; got {std}")
    return means, stds


def standardise(
    params: Params, spec: InrSpec, mean: tuple[float, ...], std: tuple[float, ...]
) -> Params:
    """g = (f - mean) / std for each output, as data sets are standardised; spec's offset stays."""
    means, stds = standardisation(spec, mean, std)
    offset = spec.output_offset
    return map_values(params, 1.0 / stds, -means / stds, (offset, offset))


def unstandardise(
    params: Params, spec: InrSpec, mean: tuple[float, ...], std: tuple[float, ...]
) -> Params:
    """g = std f + mean: the inverse of standardise."""
    means, stds = standardisation(spec, mean, std)
    offset = spec.output_offset
    return map_values(params, stds, means, (offset, offset))


def pictures_as(
    spec: InrSpec,
    *,
    coord_order: str,
    value_range: tuple[float, float],
    output_offset: float,
    omega: float | None,
) -> InrSpec:
    """The spec as a family of formats has it: images converted, other signals left as they are.

    Only omega changes for signals that are no images: their values have no range to agree on.
    """
    omegas = spec.omega if omega is None else (omega,) * spec.num_hidden
    if spec.d_in != 2 or spec.value_kind != "intensity":
        return replace(spec, omega=omegas)
    return replace(
        spec,
        omega=omegas,
        coord_order=coord_order,
        coord_range=(-1.0, 1.0),
        coord_center=(0.0, 0.0),
        value_range=value_range,
        output_offset=output_offset,
    )
