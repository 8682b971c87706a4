"""Memory layout of a fit of one INR within one float32 workspace.

A point is a row and features are the vector axis. All three products of a layer (forward, gradient
of its input, gradient of its weights) then read whole vectors, and only the weights are transposed,
once a step. So a weight lies as (in, out) with out padded to whole vectors; the last layer, whose
out is small, lies as (out, in) with in padded. Padding starts at zero and stays there: its features
are sin(0), and its gradients are products with zeros.

Points go through the network and back a tile at a time, so that a tile's activations are still in
cache when their gradient is formed.
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
    """A hidden layer: sizes, and offsets in floats.

    weight is (num_rows, width), of which (fan_in, fan_out) is not padding; bias follows it. scaled
    holds both times omega / pi; turned is the scaled weight as (width, num_rows). sine and slope
    are (points of a tile, width).
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

    theta, first moment, second moment and gradient come first, num_state floats each; offsets of
    weights count from theta. Learned step sizes lie in place of the first moment. last_weight is
    (d_out, width) and last_bias d_out floats. coords is (num_rows, input_width), values is (points,
    d_out), and so is residual, for one tile.
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
    """Plan the workspace for fits with num_points points a step."""
    block = max(tile.lanes, tile.rows)
    used = 0

    def take(size: int) -> int:
        """Reserve size floats from the next cache line; returns their offset."""
        nonlocal used
        # 16 floats are a cache line of 64 bytes.
        start, used = used, used + round_up(size, 16)
        return start

    # A layer's output is the next one's input, so one padding must suit both uses.
    padded = [round_up(width, block) for width in spec.widths[1:-1]]
    in_rows = [round_up(spec.d_in, tile.input_rows), *padded[:-1]]
    # one more row for the bias
    weights = [take((rows + 1) * width) for rows, width in zip(in_rows, padded, strict=True)]
    last_weight, last_bias = take(spec.d_out * padded[-1]), take(spec.d_out)
    num_state = used
    take(3 * num_state)  # both moments and the gradient, with the same offsets as theta
    num_rows = round_up(num_points, tile.rows)
    # sine and slope of every hidden unit
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
    """Dataclasses of integers as a structured array, which compiled code reads."""
    names = [f.name for f in fields(parts[0]) if f.name != "hidden"]
    rows = [tuple(getattr(part, name) for name in names) for part in parts]
    return np.array(rows, dtype=[(name, np.int64) for name in names])


def places(spec: InrSpec, layout: Layout) -> Int[np.ndarray, " p"]:
    """The place in theta of each entry of a flat row of parameters."""
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
