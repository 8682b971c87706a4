"""Where everything that fitting one INR needs lies within one float32 workspace.

A point is a row and features are the vector axis, so that all three products of a layer (forward,
gradient of its input, gradient of its weights) read whole vectors and no operand is transposed
except the weights, once a step. Hence a weight is kept as (in, out) with out padded to whole
vectors, and the last layer, whose out is small, as (out, in) with in padded. Padding starts at
zero and stays there: its features are sin(0), its gradients products with zeros.

Points are taken a tile at a time, through the network and back, so that a tile's activations are
still in cache when their gradient is formed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Int

from inrgen.core.spec import InrSpec
from inrgen.kernels.emitter import Tile

# Activations and gradients of a tile, in floats: half of a small first-level cache.
_TILE_VALUES = 8192
_FEWEST_POINTS = 64


def round_up(size: int, multiple: int) -> int:
    """The smallest multiple that holds size."""
    return -(-size // multiple) * multiple


@dataclass(frozen=True, kw_only=True, slots=True)
class HiddenPlace:
    """One hidden layer: sizes, and offsets in floats.

    weight is (num_rows, width), of which (fan_in, fan_out) are real; bias follows it. scaled is
    both again, times omega / pi; turned is the scaled weight as (width, num_rows).
    sine and slope are (points of a tile, width).
    """

    fan_in: int
    num_rows: int
    fan_out: int
    width: int
    weight: int
    scaled: int
    turned: int
    sine: int
    slope: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """The workspace of one INR.

    theta, first, second, gradient: num_state floats each; theta comes first, and offsets of
        weights count from it. last_weight is (d_out, width), last_bias d_out floats.
    coords is (num_rows, input_width), values and, for a tile, residual (points, d_out).
    """

    hidden: tuple[HiddenPlace, ...]
    last_weight: int
    last_bias: int
    num_state: int
    coords: int
    input_width: int
    values: int
    residual: int
    d_out: int
    num_points: int
    num_rows: int
    tile_points: int
    size: int


def lay_out(spec: InrSpec, tile: Tile, num_points: int) -> Layout:
    """Plan the workspace for fits that look at num_points points a step."""
    block = max(tile.lanes, tile.rows)
    used = 0

    def take(size: int) -> int:
        """The next size floats, from the start of a cache line on."""
        nonlocal used
        start, used = used, used + round_up(size, 16)
        return start

    padded = [round_up(width, block) for width in spec.widths[1:-1]]
    in_rows = [round_up(spec.d_in, tile.input_rows), *padded[:-1]]
    weights = [take((rows + 1) * width) for rows, width in zip(in_rows, padded, strict=True)]
    last_weight, last_bias = take(spec.d_out * padded[-1]), take(spec.d_out)
    num_state = used
    take(3 * num_state)
    num_rows = round_up(num_points, tile.rows)
    per_point = 2 * sum(padded)
    tile_points = max(_FEWEST_POINTS, _TILE_VALUES // per_point // tile.rows * tile.rows)
    tile_points = min(tile_points, num_rows)
    hidden = tuple(
        HiddenPlace(
            fan_in=spec.widths[layer],
            num_rows=in_rows[layer],
            fan_out=spec.widths[layer + 1],
            width=width,
            weight=weights[layer],
            scaled=take((in_rows[layer] + 1) * width),
            turned=take(width * in_rows[layer]),
            sine=take(tile_points * width),
            slope=take(tile_points * width),
        )
        for layer, width in enumerate(padded)
    )
    return Layout(
        hidden=hidden,
        last_weight=last_weight,
        last_bias=last_bias,
        num_state=num_state,
        coords=take(num_rows * in_rows[0]),
        input_width=in_rows[0],
        values=take(num_rows * spec.d_out),
        residual=take(tile_points * spec.d_out),
        d_out=spec.d_out,
        num_points=num_points,
        num_rows=num_rows,
        tile_points=tile_points,
        size=used,
    )


def as_records(parts: Sequence[HiddenPlace] | Sequence[Layout]) -> np.ndarray:
    """Dataclasses of whole numbers as a structured array, the form that compiled code reads."""
    names = [f.name for f in fields(parts[0]) if f.name != "hidden"]
    rows = [tuple(getattr(part, name) for name in names) for part in parts]
    return np.array(rows, dtype=[(name, np.int64) for name in names])


def places(spec: InrSpec, layout: Layout) -> Int[np.ndarray, " p"]:
    """Where in theta each entry of a flat row of parameters lies."""
    parts = []
    for place in layout.hidden:
        out, into = np.meshgrid(np.arange(place.fan_out), np.arange(place.fan_in), indexing="ij")
        parts.append((place.weight + into * place.width + out).ravel())
        parts.append(place.weight + place.num_rows * place.width + np.arange(place.fan_out))
    width = layout.hidden[-1].width
    out, into = np.meshgrid(np.arange(spec.d_out), np.arange(spec.widths[-2]), indexing="ij")
    parts.append((layout.last_weight + out * width + into).ravel())
    parts.append(layout.last_bias + np.arange(spec.d_out))
    return np.concatenate(parts).astype(np.int64)
