"""Exact conversions of convention: other weights that show the same picture.

Each function edits weights and keeps what the INR computes, so the only error is rounding. Two
networks show the same if they agree at each place of the grid on the place within the value range.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from inrgen.core.activations import ACTIVATIONS
from inrgen.core.params import Params
from inrgen.core.spec import CoordOrder, InrSpec


def map_coords(
    params: Params, order: tuple[int, ...], scale: float, shift: Float[Tensor, " d_in"]
) -> Params:
    """Weights of g(x) = f(y), where y[i] = scale * x[order[i]] + shift[i].

    W_0 (scale P x + shift) + b_0 has the weights scale W_0 P and the bias b_0 + W_0 shift.
    """
    first = params.weights[0]
    columns = [order.index(i) for i in range(len(order))]
    weight = scale * first[:, :, columns]
    bias = params.biases[0] + (first * shift.to(first)).sum(dim=2)
    return Params(weights=(weight, *params.weights[1:]), biases=(bias, *params.biases[1:]))


def map_values(
    params: Params,
    scale: Float[Tensor, " d_out"],
    shift: Float[Tensor, " d_out"],
    offsets: tuple[float, float],
) -> Params:
    """Weights of g = scale f + shift, output by output.

    W_L <- scale W_L; b_L <- scale (b_L + offsets[0]) + shift - offsets[1].

    Args:
        offsets: output offset of f, then of g.
    """
    scale, shift = scale.to(params.biases[-1]), shift.to(params.biases[-1])
    weight = scale[:, None] * params.weights[-1]
    # the constants are summed apart from b, so that constants that cancel leave b unchanged
    bias = scale * params.biases[-1] + (scale * offsets[0] + shift - offsets[1])
    return Params(weights=(*params.weights[:-1], weight), biases=(*params.biases[:-1], bias))


def set_omega(params: Params, before: tuple[float, ...], after: tuple[float, ...]) -> Params:
    """Keep the pre-activations omega (W h + b) under another omega: scale W and b by the ratio."""
    # the last layer is linear and has no omega
    ratios = [old / new for old, new in zip(before, after, strict=True)] + [1.0]
    return Params(
        weights=tuple(w * r for w, r in zip(params.weights, ratios, strict=True)),
        biases=tuple(b * r for b, r in zip(params.biases, ratios, strict=True)),
    )


def _coord_permutation(before: InrSpec, after: InrSpec) -> tuple[int, ...]:
    if before.coord_order == after.coord_order:
        return tuple(range(before.d_in))
    if {before.coord_order, after.coord_order} != {"xy", "ij"}:
        raise ValueError(
            f"coord_order {before.coord_order!r} cannot become {after.coord_order!r}: "
            "only xy and ij mirror each other"
        )
    return (1, 0)


def check_conversion(before: InrSpec, after: InrSpec) -> None:
    """Raise ValueError unless convert can keep the picture between these conventions."""
    to_logit = (before.value_kind, after.value_kind) == ("occupancy", "logit")
    for name in ("widths", "activation", *(() if to_logit else ("value_kind",))):
        if getattr(before, name) != getattr(after, name):
            raise ValueError(
                f"{name} must stay as it is; got {getattr(before, name)} and {getattr(after, name)}"
            )
    if before.encoding != after.encoding:
        raise ValueError("encoding must stay as it is; got two encodings")
    moved = [n for n in ("coord_order", "coord_range") if getattr(before, n) != getattr(after, n)]
    if before.encoding is not None and moved:
        raise ValueError(f"{moved[0]} cannot change behind Fourier features; got {before.kind}")
    if before.omega != after.omega and not ACTIVATIONS[before.activation].scales_input:
        raise ValueError(f"omega of {before.activation} cannot change; leave it at {before.omega}")


def convert(params: Params, before: InrSpec, after: InrSpec) -> Params:
    """Convert weights from the conventions of one spec to those of another.

    Coordinates follow coord_order and coord_range, values value_range and output_offset, and
    hidden layers omega. Occupancy f, which is 0.5 on the surface, may become the logit 0.5 - f,
    which is negative inside as a signed distance is. Computes in the dtype of params.

    Raises ValueError where check_conversion does.
    """
    check_conversion(before, after)
    order = _coord_permutation(before, after)
    # a coordinate keeps its place within its range: x_old = ratio * x_new + shift
    (low, high), (new_low, new_high) = before.coord_range, after.coord_range
    ratio = (high - low) / (new_high - new_low)
    shift = torch.full((before.d_in,), low - ratio * new_low, dtype=torch.float64)
    # and so does a value: v_new = gain * v_old + lift
    gain = after.value_width / before.value_width
    lift = after.value_range[0] - gain * before.value_range[0]
    if before.value_kind != after.value_kind:
        # occupancy to logit, the one change of kind
        gain, lift = -1.0, 0.5
    scales = torch.full((before.d_out,), gain, dtype=torch.float64)
    lifts = torch.full((before.d_out,), lift, dtype=torch.float64)
    moved = map_coords(params, order, ratio, shift)
    valued = map_values(moved, scales, lifts, (before.output_offset, after.output_offset))
    return set_omega(valued, before.omega, after.omega)


def standardisation(
    spec: InrSpec, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[Float[Tensor, " d_out"], Float[Tensor, " d_out"]]:
    """Mean and deviation of each output, from one number or one an output.

    Raises ValueError for any other count, non-finite numbers and a std of 0 or less.
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
    """Weights of g = (f - mean) / std, as data sets are standardised; spec's offset stays."""
    means, stds = standardisation(spec, mean, std)
    return map_values(params, 1.0 / stds, -means / stds, (spec.output_offset, spec.output_offset))


def unstandardise(
    params: Params, spec: InrSpec, mean: tuple[float, ...], std: tuple[float, ...]
) -> Params:
    """Weights of g = std f + mean: the inverse of standardise."""
    means, stds = standardisation(spec, mean, std)
    return map_values(params, stds, means, (spec.output_offset, spec.output_offset))


def image_spec(
    spec: InrSpec,
    *,
    coord_order: CoordOrder,
    value_range: tuple[float, float],
    output_offset: float,
    omega: float | None,
) -> InrSpec:
    """The spec of an image INR under a family's conventions, on coordinates in [-1, 1].

    Other signals change omega only, since families agree on no range for their values.
    """
    if spec.encoding is not None:
        raise ValueError(
            "this format's readers give a network the coordinates themselves; got "
            f"{spec.architecture}, {spec.kind}"
        )
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
