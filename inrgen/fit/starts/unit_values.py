"""Values of width one, for which starts are learned whatever the width of a source's range.

Truncated distances span 0.2, so their squared errors and the gradients of the inner steps are tens
of times smaller than those of occupancy. Settings of the outer loop would mean another thing.
"""

from dataclasses import replace

from inrgen.core.params import Params
from inrgen.core.spec import InrSpec


def unit_spec(spec: InrSpec) -> InrSpec:
    """The networks of the same signals, with their values divided by the range's width."""
    low, high = spec.value_range
    width = spec.value_width
    return replace(
        spec, output_offset=spec.output_offset / width, value_range=(low / width, high / width)
    )


def scale_last(params: Params, factor: float) -> Params:
    """INRs whose outputs, apart from the offset, are factor times as large."""
    weights, biases = params.weights, params.biases
    return Params(
        weights=(*weights[:-1], factor * weights[-1]), biases=(*biases[:-1], factor * biases[-1])
    )


def scale_steps(step_sizes: Params, factor: float) -> Params:
    """Step sizes that move scale_last's INRs as step_sizes move those of unit values.

    The gradient of the squared error is factor times as large in the last layer, which shall move
    factor times as far; it is factor^2 times as large in the others, which shall move as before.
    """
    weights, biases = step_sizes.weights, step_sizes.biases
    return Params(
        weights=(*(w / factor**2 for w in weights[:-1]), weights[-1]),
        biases=(*(b / factor**2 for b in biases[:-1]), biases[-1]),
    )
